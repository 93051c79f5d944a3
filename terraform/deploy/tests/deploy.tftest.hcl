mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
  }
  mock_resource "aws_api_gateway_stage" {
    defaults = { invoke_url = "https://abc.execute-api.eu-central-1.amazonaws.com/live" }
  }
}

variables {
  stack          = "acme"
  region         = "eu-central-1"
  image_uri      = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  webhook_secret = "a-secret-of-at-least-thirty-two-characters"
}

run "a_teardown_may_delete_tables" {
  command = plan

  variables {
    destroy_contents = true
  }

  assert {
    condition     = alltrue([for table in aws_dynamodb_table.table : !table.deletion_protection_enabled])
    error_message = "DynamoDB would refuse to delete them."
  }
}

run "govcloud_is_a_partition_of_its_own_without_detection_of_loops" {
  command = plan

  variables {
    region    = "us-gov-west-1"
    image_uri = "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/acme@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-us-gov" }
  }

  assert {
    condition     = length(aws_lambda_function_recursion_config.function) == 0
    error_message = "Lambda has no such setting there, and the call would fail."
  }
  assert {
    condition     = !strcontains(jsonencode([local.policies, local.stack]), "arn:aws:") && strcontains(jsonencode(local.policies), "arn:aws-us-gov:")
    error_message = "Every ARN is of the partition."
  }
}

run "null_stands_for_the_default" {
  command = plan

  # As generated files of variables have it.
  variables {
    tags                       = null
    architecture               = null
    log_level                  = null
    log_retention_days         = null
    log_days                   = null
    plan_days                  = null
    dashboard                  = null
    max_parallel               = null
    order_sizes                = null
    tool_sources               = null
    page_key_version           = null
    webhook_secret_version     = null
    more_webhook_secrets       = null
    secrets_prefix             = null
    secret_allow_list          = null
    connections                = null
    notifications              = null
    notification_secrets       = null
    code_hosts                 = null
    code_buckets               = null
    target_role_arns           = null
    tagged_role_arns           = null
    secrets_key_arns           = null
    manage_api_gateway_account = null
    alarm_emails               = null
    destroy_contents           = null
  }

  assert {
    condition     = var.max_parallel == 100 && var.log_level == "INFO" && var.secrets_prefix == "/iac-ci/jobs/" && length(var.connections) == 0
    error_message = "A variable that is null has its default."
  }
}

run "sizes_change_the_worker_and_the_builds_only" {
  command = plan

  variables {
    worker_memory_mb   = 3008
    worker_storage_mb  = 10240
    build_compute_type = "BUILD_GENERAL1_MEDIUM"
    build_image_uri    = "210987654321.dkr.ecr.eu-west-1.amazonaws.com/tools@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    order_sizes        = { large = "BUILD_GENERAL1_LARGE" }
  }

  assert {
    condition = { for name, function in aws_lambda_function.function : name => "${function.memory_size} ${function.ephemeral_storage[0].size}" } == {
      broker         = "256 512"
      init-job       = "512 2048"
      orchestrator   = "512 512"
      page           = "512 512"
      watchdog-check = "256 512"
      worker         = "3008 10240"
    }
    error_message = "Memory and storage are those of the worker."
  }
  assert {
    condition = (
      aws_codebuild_project.project["worker"].environment[0].compute_type == "BUILD_GENERAL1_MEDIUM" &&
      aws_codebuild_project.project["worker"].environment[0].image == var.build_image_uri &&
      alltrue([for function in aws_lambda_function.function : function.image_uri == var.image_uri])
    )
    error_message = "Builds have their own machine and image."
  }
  assert {
    condition     = strcontains(local.policies["worker-build"], "arn:aws:ecr:eu-west-1:210987654321:repository/tools")
    error_message = "Builds may pull their image."
  }
  assert {
    condition     = jsondecode(aws_lambda_function.function["init-job"].environment[0].variables["IAC_CI_ORDER_SIZES"]) == { large = "BUILD_GENERAL1_LARGE" }
    error_message = "Jobs may name the sizes."
  }
}

run "mirrors_of_tools_reach_the_function_that_fetches" {
  command = plan

  variables {
    tool_sources    = { terraform = { address = "https://mirror.example.com/terraform" } }
    build_image_uri = "210987654321.dkr.ecr.eu-west-1.amazonaws.com/tools@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
  }

  assert {
    condition = jsondecode(aws_ssm_parameter.tools.value) == {
      sources               = { terraform = { address = "https://mirror.example.com/terraform" } }
      builds_have_own_image = true
    }
    error_message = "The mirrors, and that the functions' own tools are not those of builds with another image, are in the parameter."
  }
}

run "both_kinds_of_worker_know_the_mirror_of_providers" {
  command = plan

  variables {
    provider_mirror = "https://mirror.example.com/providers/"
  }

  assert {
    condition = (
      aws_lambda_function.function["worker"].environment[0].variables["IAC_CI_PROVIDER_MIRROR"] == var.provider_mirror &&
      anytrue([for entry in aws_codebuild_project.project["worker"].environment[0].environment_variable : entry.name == "IAC_CI_PROVIDER_MIRROR" && entry.value == var.provider_mirror])
    )
    error_message = "Orders install providers from the mirror."
  }
}

run "china_is_refused_by_name" {
  command = plan

  variables {
    region = "cn-north-1"
  }

  expect_failures = [var.region]
}

run "a_plain_stack_is_that_of_the_picture_with_nothing_optional" {
  command = plan

  assert {
    condition = { for name, function in aws_lambda_function.function : name => "${function.timeout} s, ${function.memory_size} MB" } == {
      broker         = "20 s, 256 MB"
      init-job       = "300 s, 512 MB"
      orchestrator   = "600 s, 512 MB"
      page           = "15 s, 512 MB"
      watchdog-check = "60 s, 256 MB"
      worker         = "600 s, 1024 MB"
    }
    error_message = "Sizes and time-outs are those of the architecture diagram."
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.function : function.image_uri == var.image_uri && function.package_type == "Image"])
    error_message = "One image, by digest, serves every function."
  }
  assert {
    condition     = length(distinct([for function in aws_lambda_function.function : function.image_config[0].command[0]])) == length(aws_lambda_function.function)
    error_message = "The command chooses the function."
  }
  assert {
    condition     = alltrue([for config in aws_lambda_function_recursion_config.function : config.recursive_loop == "Allow"])
    error_message = "Loop detection would stop long runs."
  }
  assert {
    condition     = aws_lambda_function_event_invoke_config.function["worker"].maximum_retry_attempts == 0
    error_message = "Lambda never runs a worker's commands twice."
  }
  assert {
    condition = alltrue([
      for name in ["worker", "init-job"] :
      aws_lambda_function_event_invoke_config.function[name].destination_config[0].on_failure[0].destination == "arn:aws:lambda:eu-central-1:123456789012:function:acme-watchdog-check"
    ])
    error_message = "Failed invocations are reported to the watchdog."
  }
  assert {
    condition = alltrue([
      for name in ["orchestrator", "watchdog-check"] :
      aws_lambda_function_event_invoke_config.function[name].destination_config[0].on_failure[0].destination == "arn:aws:sqs:eu-central-1:123456789012:acme-dead-letters"
    ])
    error_message = "Events that the watchdog does not repair are kept."
  }
  assert {
    condition = alltrue([
      for name in ["internal", "done"] : alltrue([
        for rule in aws_s3_bucket_lifecycle_configuration.bucket[name].rule :
        rule.expiration[0].days == lookup({ callbacks = 14, logs = 14, history = 14, files = 14, tools = 35 }, rule.id, 1)
      ])
    ])
    error_message = "Working data and done markers live for one day, results, logs, accepted jobs and files for 14, releases of tools for 35."
  }
  assert {
    condition     = join(",", keys(aws_s3_bucket.bucket)) == "done,internal"
    error_message = "The state bucket is terraform/bootstrap's."
  }
  assert {
    condition = (
      aws_s3_bucket_notification.bucket["internal"].lambda_function[0].filter_prefix == "tmp/callbacks/runs/" &&
      aws_s3_bucket_notification.bucket["internal"].lambda_function[0].filter_suffix == "result.json"
    )
    error_message = "Only results wake the orchestrator."
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.table : table.ttl[0].enabled && table.ttl[0].attribute_name == "expires_at"])
    error_message = "Rows expire by themselves."
  }
  assert {
    condition     = alltrue([for table in aws_dynamodb_table.table : table.deletion_protection_enabled])
    error_message = "Nobody deletes a table by mistake."
  }
  assert {
    condition     = toset([for index in aws_dynamodb_table.table["order-events"].global_secondary_index : index.name]) == toset(["job_day-epoch", "order_name-epoch"])
    error_message = "Events are found by order, and those of runs by day."
  }
  assert {
    condition = length(concat(
      values(aws_iam_role_policy.worker_network), values(aws_iam_policy.job_source), values(aws_iam_policy.target_roles),
      aws_wafv2_web_acl_association.webhook, values(aws_sns_topic_subscription.email),
    )) == 0
    error_message = "VPC, WAF, further permissions and subscriptions exist only on request."
  }
  assert {
    condition     = alltrue([for role in aws_iam_role.role : role.permissions_boundary == null])
    error_message = "A permission boundary exists only on request."
  }
  assert {
    condition     = length(aws_kms_key.runs) == 1 && aws_kms_key.runs[0].enable_key_rotation
    error_message = "A key of the stack's own, rotated."
  }
}

run "what_is_made_is_what_functions_and_the_command_line_read" {
  command = apply

  assert {
    condition     = aws_lambda_function.function["init-job"].environment[0].variables["IAC_CI_SOURCES"] == "ssm:/iac-ci/acme/sources"
    error_message = "init reads what each source may use from parameters."
  }
  assert {
    condition = length(aws_ssm_parameter.sources) == 64 && alltrue([
      for part, parameter in aws_ssm_parameter.sources :
      parameter.name == "/iac-ci/acme/sources/${part}" && jsondecode(parameter.value) == { schema_version = 1, secrets = {}, roles = {}, tagged = [] }
    ])
    error_message = "No source is granted anything by default."
  }
  assert {
    condition     = aws_lambda_function.function["init-job"].environment[0].variables["IAC_CI_ALLOW_FILE_REPOSITORIES"] == "false"
    error_message = "file:// is for the local cloud."
  }
  assert {
    condition = (
      aws_lambda_function.function["init-job"].environment[0].variables["IAC_CI_CONNECTIONS"] == "ssm:${aws_ssm_parameter.connections.name}" &&
      output.connections_parameter == "/iac-ci/acme/connections" && aws_ssm_parameter.connections.value == "[]"
    )
    error_message = "init reads the parameter that Terraform writes; initially it contains no connection."
  }
  assert {
    condition     = aws_lambda_function.function["orchestrator"].environment[0].variables["IAC_CI_WATCHDOG_ARN"] == "arn:aws:states:eu-central-1:123456789012:stateMachine:acme-watchdog"
    error_message = "The built ARN is the state machine's."
  }
  assert {
    condition     = !strcontains(join("", [for policy in aws_iam_role_policy.role : policy.policy]), "$${")
    error_message = "No placeholder is left in a policy."
  }
  assert {
    condition     = output.webhook_url == "https://abc.execute-api.eu-central-1.amazonaws.com/live/webhook"
    error_message = "The URL ends with the path."
  }
  assert {
    condition     = output.outputs_parameter == "/iac-ci/acme/outputs"
    error_message = "iac-ci --stack acme reads this parameter."
  }
  assert {
    condition = jsondecode(aws_ssm_parameter.outputs.value).webhook_secret_location == "ssm:/iac-ci/acme/webhook-secret" && alltrue([
      for name in ["webhook_url", "internal_bucket", "done_bucket", "orders_table", "events_table", "locks_table"] :
      contains(keys(jsondecode(aws_ssm_parameter.outputs.value)), name)
    ])
    error_message = "The parameter contains every name that iac-ci needs."
  }
  assert {
    condition     = !strcontains(aws_ssm_parameter.outputs.value, var.webhook_secret)
    error_message = "The outputs contain no secret."
  }
}

run "everything_optional_can_be_on" {
  command = plan

  variables {
    kms_key_arn              = "arn:aws:kms:eu-central-1:123456789012:key/99999999-2222-3333-4444-555555555555"
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
    web_acl_arn              = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/front/1234"
    code_buckets             = ["acme-code"]
    target_role_arns         = ["arn:aws:iam::210987654321:role/deployer"]
    secret_allow_list        = { "*" = ["shared/*"], "github.com/acme/network" = ["network/*"], accounts = ["accounts/*"] }
    role_allow_list          = { "github.com/acme/network" = ["arn:aws:iam::210987654321:role/deployer"] }
    secrets_key_arns         = ["arn:aws:kms:eu-central-1:123456789012:key/88888888-2222-3333-4444-555555555555"]
    more_webhook_secrets     = ["-next"]
    alarm_emails             = ["platform@example.com"]
    connections = [
      {
        repositories    = ["https://github.com/acme/network", "https://git.example.com:8443/acme/sub/dns.git"]
        webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
        token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      },
      {
        repositories    = ["https://github.com/acme/accounts"]
        webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-accounts"]
        token_location  = "secretsmanager:iac-ci/jobs/tokens/accounts#token"
        source          = "accounts"
      },
    ]
    code_hosts = { "git.example.com:8443" = { kind = "gitlab", api_url = "https://git.example.com:8443/api/v4" } }
    worker_network = {
      vpc_id             = "vpc-1"
      subnet_ids         = ["subnet-1", "subnet-2"]
      security_group_ids = ["sg-1"]
    }
    manage_api_gateway_account = false
    architecture               = "arm64"
    worker_concurrency         = 50
    build_concurrency          = 5
  }

  assert {
    condition = alltrue([
      for permission in ["role/deployer", "acme-code", "88888888-2222", "policy/boundary"] :
      strcontains(jsonencode(terraform_data.permissions.triggers_replace), permission)
    ])
    error_message = "Also optional permissions are on their way after a change."
  }
  assert {
    condition     = length(aws_kms_key.runs) == 0 && aws_lambda_function.function["init-job"].environment[0].variables["IAC_CI_KMS_KEY_ARN"] == var.kms_key_arn
    error_message = "The given key replaces the stack's own."
  }
  assert {
    condition     = alltrue([for role in aws_iam_role.role : role.permissions_boundary == var.permissions_boundary_arn])
    error_message = "Every role has the boundary."
  }
  assert {
    condition     = length(aws_lambda_function.function["worker"].vpc_config) == 1 && length(aws_lambda_function.function["init-job"].vpc_config) == 0
    error_message = "Only workers are in the VPC."
  }
  assert {
    condition     = aws_codebuild_project.project["worker"].vpc_config[0].vpc_id == "vpc-1" && join(",", keys(aws_iam_role_policy.worker_network)) == "worker,worker-build"
    error_message = "Both kinds of worker are in the VPC, with the permissions for it."
  }
  assert {
    condition     = jsondecode(aws_iam_policy.target_roles["01"].policy).Statement[0].Resource == ["arn:aws:iam::210987654321:role/deployer"] && aws_iam_role_policy_attachment.target_roles["01"].role == "acme-broker"
    error_message = "The broker may assume the one role, and nothing else may."
  }
  assert {
    condition = (
      jsonencode(jsondecode(aws_iam_policy.job_source["code-buckets-1"].policy).Statement[*].Resource) == jsonencode([["arn:aws:s3:::acme-code/*"], ["arn:aws:s3:::acme-code"]]) &&
      jsonencode(jsondecode(aws_iam_policy.job_source["secrets-keys"].policy).Statement[0].Resource) == jsonencode(var.secrets_key_arns) &&
      contains(jsondecode(aws_iam_policy.job_source["secrets-keys"].policy).Statement[0].Condition.StringEquals["kms:ViaService"], "s3.eu-central-1.amazonaws.com") &&
      toset([for attachment in aws_iam_role_policy_attachment.job_source : attachment.role]) == toset(["acme-init-job"])
    )
    error_message = "init reads code from the bucket, and secrets and code of the key."
  }
  assert {
    condition     = jsondecode(aws_lambda_function.function["init-job"].environment[0].variables["IAC_CI_WEBHOOK_SECRETS"]) == ["ssm:/iac-ci/acme/webhook-secret", "ssm:/iac-ci/acme/webhook-secret-next"]
    error_message = "Both secrets are accepted."
  }
  assert {
    condition     = [for connection in jsondecode(aws_ssm_parameter.connections.value) : connection.token_location] == [for connection in var.connections : connection.token_location]
    error_message = "The connections are passed as JSON."
  }
  assert {
    condition = alltrue([
      for name in ["init-job", "orchestrator"] :
      jsondecode(aws_lambda_function.function[name].environment[0].variables["IAC_CI_CODE_HOSTS"]) == { "git.example.com:8443" = { kind = "gitlab", api_url = "https://git.example.com:8443/api/v4" } }
    ])
    error_message = "Every function that calls a code host has its provider."
  }
  assert {
    condition     = aws_api_gateway_method_settings.webhook.settings[0].throttling_rate_limit > 0 && length(aws_wafv2_web_acl_association.webhook) == 1
    error_message = "The webhook is throttled and has the web ACL."
  }
  assert {
    condition     = { for name, function in aws_lambda_function.function : name => function.reserved_concurrent_executions } == { "broker" = -1, "init-job" = -1, "orchestrator" = -1, "page" = -1, "watchdog-check" = -1, "worker" = 50 } && aws_codebuild_project.project["worker"].concurrent_build_limit == 5
    error_message = "Both kinds of worker are limited across all runs; the engine is not."
  }
  assert {
    condition     = length(aws_api_gateway_account.logs) == 0 && aws_codebuild_project.project["worker"].environment[0].type == "ARM_CONTAINER"
    error_message = "The account's setting is unchanged; the project has the image's architecture."
  }
}

run "a_source_has_its_own_entry_in_its_part" {
  command = plan

  variables {
    target_role_arns  = ["arn:aws:iam::210987654321:role/deployer"]
    tagged_role_arns  = ["arn:aws:iam::210987654321:role/deployer"]
    secret_allow_list = { "*" = ["shared/*"], "github.com/acme/network" = ["network/*"] }
    role_allow_list   = { "github.com/acme/network" = ["arn:aws:iam::210987654321:role/deployer"] }
  }

  assert {
    condition = alltrue([
      for part, parameter in aws_ssm_parameter.sources : parameter.value == jsonencode({
        schema_version = 1
        secrets        = merge({ "*" = ["shared/*"] }, part == format("%02x", parseint(substr(sha256("github.com/acme/network"), 0, 2), 16) % 64) ? { "github.com/acme/network" = ["network/*"] } : {})
        roles          = part == format("%02x", parseint(substr(sha256("github.com/acme/network"), 0, 2), 16) % 64) ? { "github.com/acme/network" = ["arn:aws:iam::210987654321:role/deployer"] } : {}
        tagged         = part == format("%02x", parseint(substr(sha256("arn:aws:iam::210987654321:role/deployer"), 0, 2), 16) % 64) ? ["arn:aws:iam::210987654321:role/deployer"] : []
      })
    ])
    error_message = "Each part has the entry * and the entries of its own sources."
  }
}

run "policies_of_200_roles_and_500_sources_fit" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/99999999-2222-3333-4444-555555555555"
    # Names of 64 characters, the longest that IAM allows, in the folder of their stack.
    target_role_arns  = [for number in range(200) : format("arn:aws:iam::2109%08d:role/iac-ci/%s%03d", number, join("", [for letter in range(61) : "r"]), number)]
    tagged_role_arns  = [for number in range(200) : format("arn:aws:iam::2109%08d:role/iac-ci/%s%03d", number, join("", [for letter in range(61) : "r"]), number)]
    secret_allow_list = merge({ "*" = ["shared/*"] }, { for number in range(500) : format("github.com/acme-platform/infrastructure-%03d", number) => [format("infrastructure-%03d/*", number)] })
    role_allow_list = {
      for number in range(500) : format("github.com/acme-platform/infrastructure-%03d", number) => [
        format("arn:aws:iam::2109%08d:role/iac-ci/%s%03d", number % 200, join("", [for letter in range(61) : "r"]), number % 200)
      ]
    }
  }

  assert {
    condition     = length(aws_iam_policy.target_roles) <= 10 && alltrue([for policy in aws_iam_policy.target_roles : length(policy.policy) <= 6144])
    error_message = "The roles fit into managed policies of the broker."
  }
  assert {
    condition     = length(flatten([for policy in aws_iam_policy.target_roles : jsondecode(policy.policy).Statement[0].Resource])) == 200
    error_message = "Every role is in a policy."
  }
  assert {
    condition     = alltrue([for policy in aws_iam_role_policy.role : length(policy.policy) <= 10240])
    error_message = "No policy of a role depends on the number of roles or sources."
  }
  assert {
    condition     = alltrue([for parameter in aws_ssm_parameter.sources : length(parameter.value) <= 8192])
    error_message = "The sources fit into their parameters."
  }
  assert {
    condition     = alltrue([for function, bytes in local.environment_sizes : bytes.needed <= local.environment_bytes])
    error_message = "No function's environment depends on the number of roles or sources."
  }
}

run "lists_without_sources_are_kept_with_a_warning" {
  command = plan

  variables {
    target_role_arns  = ["arn:aws:iam::210987654321:role/deployer"]
    secret_allow_list = { "*" = ["*"] }
  }

  expect_failures = [check.every_source_is_named]
}

run "sources_that_no_job_has_and_roles_that_are_not_named_are_refused" {
  command = plan

  variables {
    secret_allow_list = { "github.com/Acme/infra" = ["*"] }
    role_allow_list   = { "github.com/acme/infra.git" = ["*"] }
    tagged_role_arns  = ["arn:aws:iam::210987654321:role/other"]
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      source          = "network"
    }]
  }

  expect_failures = [var.secret_allow_list, var.role_allow_list, var.tagged_role_arns]
}

run "a_source_in_another_spelling_is_refused" {
  command = plan

  variables {
    secret_allow_list = { "https://github.com/acme/infra" = [] }
    role_allow_list   = { "network" = [] }
  }

  expect_failures = [var.secret_allow_list, var.role_allow_list]
}

run "a_source_without_its_path_is_refused" {
  command = plan

  variables {
    secret_allow_list = { "github.com/acme" = [] }
    role_allow_list   = { "github.com//acme/infra" = [] }
  }

  expect_failures = [var.secret_allow_list, var.role_allow_list]
}

run "patterns_that_are_not_valid_are_refused" {
  command = plan

  variables {
    secret_allow_list = { api = ["network**"] }
    role_allow_list   = { api = ["arn:aws:iam::210987654321:role/**deployer"] }
  }

  expect_failures = [var.secret_allow_list, var.role_allow_list]
}

run "an_exclusion_before_what_it_should_exclude_is_refused" {
  command = plan

  variables {
    secret_allow_list = { api = ["!prod/**", "**"] }
    role_allow_list   = { api = ["!arn:aws:iam::210987654321:role/prod", "**"] }
  }

  expect_failures = [var.secret_allow_list, var.role_allow_list]
}

run "branches_that_begin_with_an_exclusion_are_refused" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/infra"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      branches        = ["!prod", "**"]
    }]
  }

  expect_failures = [var.connections]
}

run "patterns_of_every_kind_are_accepted" {
  command = plan

  variables {
    target_role_arns  = ["arn:aws:iam::210987654321:role/deployer"]
    secret_allow_list = { api = ["*", "**", "network", "network/*", "network/**", "**/a?b", "*a*b*/c", "!network/**", "iac_ci+x=y@z"] }
    role_allow_list   = { api = ["arn:aws:iam::*:role/iac-ci/*", "!arn:aws:iam::210987654321:role/**"], "*" = [], "git.example.com:8443/~ann/infra" = [] }
  }

  assert {
    condition     = length(local.open_lists) == 0
    error_message = "Only the entry * is for every source."
  }
}

run "what_would_be_dangerous_is_refused" {
  command = plan
  variables {
    # By tag; for ever; every secret of the account; too short to sign with.
    image_uri          = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme:latest"
    log_retention_days = 0
    log_days           = 0.5
    plan_days          = 0
    secrets_prefix     = "/"
    webhook_secret     = "hunter2"
    page_key           = "hunter2"
    # Patterns and aliases where one thing must be named; half a network.
    target_role_arns = ["arn:aws:iam::210987654321:role/*"]
    code_buckets     = ["acme-*"]
    kms_key_arn      = "alias/acme"
    secrets_key_arns = ["alias/secrets"]
    web_acl_arn      = "front"
    worker_network   = { vpc_id = "vpc-1", subnet_ids = [], security_group_ids = ["sg-1"] }
  }
  expect_failures = [
    var.image_uri, var.log_retention_days, var.log_days, var.plan_days, var.secrets_prefix, var.webhook_secret, var.page_key,
    var.target_role_arns, var.code_buckets, var.kms_key_arn, var.secrets_key_arns, var.web_acl_arn,
    var.worker_network,
  ]
}

run "what_only_another_region_has_is_refused" {
  command = plan
  variables {
    tags             = { "IAC-CI:Stack" = "acme" }
    secrets_prefix   = "/SSM/jobs/"
    target_role_arns = ["arn:aws:iam::210987654321:role/deployer/"]
    alarm_emails     = ["platform@example.com\n"]
    kms_key_arn      = "arn:aws:kms:us-east-1:123456789012:key/99999999-2222-3333-4444-555555555555"
    secrets_key_arns = ["arn:aws:kms:us-east-1:123456789012:key/88888888-2222-3333-4444-555555555555"]
    web_acl_arn      = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/front/1234"
    notifications    = { pager = { kind = "sns", topic_arn = "arn:aws:sns:us-east-1:123456789012:pager" } }
  }
  expect_failures = [
    var.tags, var.secrets_prefix, var.target_role_arns, var.alarm_emails, var.kms_key_arn, var.secrets_key_arns, var.web_acl_arn,
    var.notifications,
  ]
}

run "an_arn_of_another_partition_is_refused" {
  command = plan
  variables {
    target_role_arns = ["arn:aws-us-gov:iam::210987654321:role/deployer"]
    role_allow_list  = { api = ["**"] }
  }
  expect_failures = [data.aws_caller_identity.current]
}

run "a_boundary_of_another_account_is_refused" {
  command = plan
  variables {
    permissions_boundary_arn = "arn:aws:iam::210987654321:policy/boundary"
  }
  expect_failures = [data.aws_caller_identity.current]
}

run "a_boundary_of_aws_is_accepted" {
  command = plan
  variables {
    permissions_boundary_arn = "arn:aws:iam::aws:policy/PowerUserAccess"
    target_role_arns         = ["arn:aws:iam::210987654321:role/team/one/deployer"]
    role_allow_list          = { api = ["**"] }
  }
}

run "a_prefix_that_opens_the_webhook_secret_is_refused" {
  command = plan
  variables {
    secrets_prefix = "/iac-ci/"
  }
  expect_failures = [var.secrets_prefix]
}

run "a_stack_among_the_jobs_secrets_is_refused" {
  command = plan
  variables {
    stack          = "jobs"
    secrets_prefix = "/elsewhere/"
  }
  expect_failures = [var.stack]
}

# Parameter Store takes {{…}} for a reference to another parameter, and refuses it.
run "secrets_that_parameter_store_refuses_are_refused" {
  command = plan

  variables {
    webhook_secret = "{{a-secret-of-at-least-thirty-two-characters\n}}"
    page_key       = "a-key-of-at-least-thirty-two-{{}}-characters"
  }
  expect_failures = [var.webhook_secret, var.page_key]
}

run "a_stack_without_a_webhook_secret_is_refused" {
  command = plan
  variables {
    webhook_secret = null
  }
  expect_failures = [aws_ssm_parameter.webhook_secret]
}

run "misspelt_choices_are_refused" {
  command = plan
  variables {
    stack                    = "-acme"
    region                   = "eu"
    tags                     = { "AWS:x" = "y" }
    log_level                = "verbose"
    architecture             = "riscv"
    max_parallel             = 0
    worker_concurrency       = 0
    build_concurrency        = 1.5
    page_concurrency         = -1
    page_key_version         = 0
    worker_memory_mb         = 256
    worker_storage_mb        = 512
    build_compute_type       = "LARGE"
    build_image_uri          = "tools:latest"
    order_sizes              = { Large = "BUILD_GENERAL1_LARGE" }
    provider_mirror          = "http://mirror.example.com/"
    tool_sources             = { ansible = { address = "http://mirror.example.com" } }
    webhook_secret_version   = 0
    more_webhook_secrets     = ["github"]
    permissions_boundary_arn = "boundary"
    alarm_emails             = ["platform"]
  }
  expect_failures = [
    var.stack, var.region, var.tags, var.log_level, var.architecture, var.max_parallel, var.worker_concurrency,
    var.build_concurrency, var.page_concurrency, var.page_key_version, var.worker_memory_mb, var.worker_storage_mb, var.build_compute_type, var.build_image_uri,
    var.order_sizes, var.tool_sources, var.provider_mirror, var.webhook_secret_version,
    var.more_webhook_secrets, var.permissions_boundary_arn, var.alarm_emails,
  ]
}

run "a_generation_of_links_is_a_whole_number" {
  command = plan
  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      link_generation = 0
    }]
  }
  expect_failures = [var.connections]
}

run "a_repository_in_clear_text_is_no_connection" {
  command = plan
  variables {
    connections = [{
      repositories    = ["http://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }
  expect_failures = [var.connections]
}

run "a_repository_in_two_connections_is_refused_however_it_is_spelt" {
  command = plan
  variables {
    connections = [for repository in ["https://github.com/acme/network", "https://GitHub.com/Acme/network.git/"] : {
      repositories    = [repository]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }
  expect_failures = [var.connections]
}

run "a_code_host_never_shares_the_secret_that_signs_jobs" {
  command = plan
  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }
  expect_failures = [var.connections]
}

run "a_code_host_never_shares_a_further_secret_that_signs_jobs" {
  command = plan
  variables {
    more_webhook_secrets = ["-github"]
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }
  expect_failures = [var.connections]
}

run "a_token_that_the_orchestrator_cannot_read_is_refused" {
  command = plan
  variables {
    secrets_prefix = "/elsewhere/"
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }
  expect_failures = [var.connections]
}

run "a_pattern_of_branches_that_init_would_refuse_is_refused_here" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      branches        = ["release/[0-9"]
    }]
  }

  expect_failures = [var.connections]
}

run "a_pattern_of_branches_with_an_empty_range_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      branches        = ["main", "release/[z-a]"]
    }]
  }

  expect_failures = [var.connections]
}

run "a_pattern_of_branches_with_alternatives_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      branches        = ["release/{1,2}"]
    }]
  }

  expect_failures = [var.connections]
}

run "a_pattern_of_branches_with_a_full_reference_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      branches        = ["refs/heads/main"]
    }]
  }

  expect_failures = [var.connections]
}

run "a_pattern_of_branches_with_white_space_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      branches        = ["main", "release/* "]
    }]
  }

  expect_failures = [var.connections]
}

run "a_regular_expression_for_branches_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      branches        = ["release/.*"]
    }]
  }

  expect_failures = [var.connections]
}

run "a_full_reference_for_schedules_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      schedule_branch = "refs/heads/main"
    }]
  }

  expect_failures = [var.connections]
}

run "a_full_reference_of_the_branch_that_may_be_applied_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      require         = { from = ["refs/heads/release"] }
    }]
  }

  expect_failures = [var.connections]
}

run "the_engines_own_token_for_modules_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories           = ["https://github.com/acme/network"]
      webhook_secrets        = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location         = "ssm:/iac-ci/jobs/tokens/acme"
      modules_token_location = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }

  expect_failures = [var.connections]
}

run "a_token_for_modules_outside_of_the_tokens_is_refused" {
  command = plan

  variables {
    connections = [{
      repositories           = ["https://github.com/acme/network"]
      webhook_secrets        = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location         = "ssm:/iac-ci/jobs/tokens/acme"
      modules_token_location = "ssm:/iac-ci/jobs/elsewhere"
    }]
  }

  expect_failures = [var.connections]
}

run "a_token_for_modules_is_stored_where_it_is_set" {
  command = plan

  variables {
    connections = [
      {
        repositories           = ["https://github.com/acme/network"]
        webhook_secrets        = ["ssm:/iac-ci/acme/webhook-secret-github"]
        token_location         = "ssm:/iac-ci/jobs/tokens/acme"
        modules_token_location = "ssm:/iac-ci/jobs/tokens/acme-modules"
      },
      {
        repositories    = ["https://github.com/acme/other"]
        webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
        token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      },
    ]
  }

  assert {
    condition     = [for connection in jsondecode(aws_ssm_parameter.connections.value) : try(connection.modules_token_location, "none")] == ["ssm:/iac-ci/jobs/tokens/acme-modules", "none"]
    error_message = "A connection without a token for modules must not have the field: versions before refuse it."
  }
}

run "a_trusted_account_that_init_would_refuse_is_refused_here" {
  command = plan

  variables {
    connections = [{
      repositories     = ["https://github.com/acme/network"]
      webhook_secrets  = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location   = "ssm:/iac-ci/jobs/tokens/acme"
      trusted_accounts = [""]
    }]
  }

  expect_failures = [var.connections]
}

run "an_account_that_may_write_needs_an_id" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://bitbucket.org/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-bitbucket"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      writers         = [""]
    }]
  }

  expect_failures = [var.connections]
}

run "a_requirement_that_init_would_refuse_is_refused_here" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      require         = { checks = ["iac-ci/apply"] }
    }]
  }

  expect_failures = [var.connections]
}

run "a_connection_may_require_approvals_of_all_its_repositories" {
  command = plan

  variables {
    connections = [
      {
        repositories    = ["https://github.com/acme/network"]
        webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
        token_location  = "ssm:/iac-ci/jobs/tokens/acme"
        require         = { approved = { teams = ["acme/platform"] }, mergeable = true, from = ["release/*"] }
      },
      {
        repositories    = ["https://github.com/acme/app"]
        webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
        token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      },
    ]
  }

  assert {
    condition     = [for connection in jsondecode(aws_ssm_parameter.connections.value) : try(connection.require.approved.teams, ["none"])] == [["acme/platform"], ["none"]]
    error_message = "A connection without requirements must not have the field: versions before refuse it."
  }
}

run "schedules_run_on_one_branch" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      schedule_branch = "release/*"
    }]
  }

  expect_failures = [var.connections]
}

run "a_repository_that_init_would_refuse_is_refused_here" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/.."]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }

  expect_failures = [var.connections]
}

run "a_token_that_init_would_refuse_is_refused_here" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/a b"
    }]
  }

  expect_failures = [var.connections]
}

run "patterns_of_branches_of_every_kind_are_accepted" {
  command = plan

  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      branches        = ["main", "release/[0-9]*", "[!a-z]x", "[]]", "[a-]", "[\\d]", "a\\[z-a]", "a\\{b,c}", "a\\*b", "**/x?", "!release/**", "é"]
    }]
  }

  assert {
    condition     = length(var.connections) == 1
    error_message = "a pattern that init accepts is refused"
  }
}

run "a_source_that_init_would_refuse_is_refused_here" {
  command = plan
  variables {
    connections = [{
      repositories    = ["https://github.com/acme/network"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
      source          = "* or anything"
    }]
  }
  expect_failures = [var.connections]
}

run "more_connections_than_a_parameter_holds_are_refused" {
  command = plan
  variables {
    connections = [{
      # Digests do not compress.
      repositories    = [for number in range(300) : "https://github.com/acme/${sha256(number)}"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }
  expect_failures = [var.connections]
}

run "a_long_list_of_connections_is_compressed" {
  command = plan
  variables {
    connections = [for number in range(500) : {
      repositories    = ["https://github.com/acme/repository-${number}"]
      webhook_secrets = ["ssm:/iac-ci/acme/webhook-secret-github"]
      token_location  = "ssm:/iac-ci/jobs/tokens/acme"
    }]
  }
  assert {
    condition     = aws_ssm_parameter.connections.value == base64gzip(jsonencode([for connection in var.connections : { for name, value in connection : name => value if !contains(["modules_token_location", "link_generation", "require", "unlockers", "schedule_branch", "schedules_may_apply"], name) }])) && length(aws_ssm_parameter.connections.value) <= 8192
    error_message = "500 connections fit into one parameter."
  }
}

run "a_code_host_by_address_is_refused" {
  command = plan
  variables {
    code_hosts = { "https://git.example.com" = { kind = "gitlab" } }
  }
  expect_failures = [var.code_hosts]
}

run "a_code_host_of_no_provider_is_refused" {
  command = plan
  variables {
    code_hosts = { "git.example.com" = { kind = "GitLab CE" } }
  }
  expect_failures = [var.code_hosts]
}

run "a_token_is_sent_to_no_api_in_clear_text" {
  command = plan
  variables {
    code_hosts = { "git.example.com" = { kind = "gitlab", api_url = "http://git.example.com/api/v4" } }
  }
  expect_failures = [var.code_hosts]
}

run "runs_are_announced_on_a_bus_of_the_stacks_own" {
  command = plan

  assert {
    condition     = aws_cloudwatch_event_bus.runs.name == "acme-runs"
    error_message = "The bus is the stack's."
  }
  assert {
    condition = jsondecode(aws_cloudwatch_event_bus_policy.runs.policy).Statement == [{
      Sid       = "OnlyTheOrchestratorPuts"
      Effect    = "Deny"
      Principal = "*"
      Action    = "events:PutEvents"
      Resource  = "arn:aws:events:eu-central-1:123456789012:event-bus/acme-runs"
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = "arn:aws:iam::123456789012:role/acme-orchestrator" } }
    }]
    error_message = "Nobody but the orchestrator puts events."
  }
  assert {
    condition     = [for name, policy in local.policies : name if strcontains(policy, "events:PutEvents")] == ["orchestrator"]
    error_message = "No other role has the right."
  }
  assert {
    condition     = length(aws_cloudwatch_event_rule.notification) + length(aws_iam_role.notifications) == 0
    error_message = "Announcements go nowhere unless the operator says so."
  }
}

run "announcements_go_where_the_operator_says" {
  command = plan

  variables {
    notifications = {
      failures = { kind = "slack", events = ["run_ended"], statuses = ["failed", "timed_out"] }
      audit    = { kind = "https", address = "https://audit.example.com/events", header = "X-Key" }
      pager    = { kind = "sns", topic_arn = "arn:aws:sns:eu-central-1:123456789012:pager", events = ["drift_found"] }
    }
    notification_secrets = { failures = "https://hooks.slack.example/services/T/B/x", audit = "a-key" }
  }

  assert {
    condition = { for name, rule in aws_cloudwatch_event_rule.notification : name => jsondecode(rule.event_pattern) } == {
      failures = {
        source        = ["iac-ci"]
        "detail-type" = ["run_ended"]
        detail        = { "$or" = [{ kind = [{ "anything-but" = ["run_ended"] }] }, { end = { status = ["failed", "timed_out"] } }] }
      }
      audit = { source = ["iac-ci"], "detail-type" = ["drift_found", "drift_gone", "run_ended", "run_waits"] }
      pager = { source = ["iac-ci"], "detail-type" = ["drift_found"] }
    }
    error_message = "Each gets the announcements that it asks for."
  }
  assert {
    condition = { for name, target in aws_cloudwatch_event_target.notification : name => [for one in target.input_transformer : one.input_template] } == {
      failures = ["{\"text\": <text>, \"blocks\": [{\"type\": \"section\", \"text\": {\"type\": \"plain_text\", \"emoji\": false, \"text\": <text>}}]}"]
      audit    = []
      pager    = ["\"<text>\""]
    }
    error_message = "People get one line, an endpoint the event."
  }
  assert {
    condition = (
      aws_cloudwatch_event_api_destination.notification["audit"].invocation_endpoint == "https://audit.example.com/events" &&
      nonsensitive(aws_cloudwatch_event_api_destination.notification["failures"].invocation_endpoint) == "https://hooks.slack.example/services/T/B/x" &&
      aws_cloudwatch_event_target.notification["pager"].arn == "arn:aws:sns:eu-central-1:123456789012:pager"
    )
    error_message = "Targets are the operator's."
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.notifications[0].policy).Statement[0].Resource == [
      "arn:aws:events:eu-central-1:123456789012:api-destination/acme-audit/*",
      "arn:aws:events:eu-central-1:123456789012:api-destination/acme-failures/*",
    ]
    error_message = "The role sends to these targets alone."
  }
}

run "a_tag_that_only_codebuild_refuses_is_refused" {
  command = plan
  variables {
    tags = { (join("", [for _ in range(128) : "n"])) = "v" }
  }
  expect_failures = [var.tags]
}

run "a_tag_whose_value_only_codebuild_refuses_is_refused" {
  command = plan
  variables {
    tags = { (join("", [for _ in range(127) : "n"])) = join("", [for _ in range(256) : "v"]) }
  }
  expect_failures = [var.tags]
}

run "a_notification_of_no_kind_is_refused" {
  command = plan
  variables {
    notifications = { one = { kind = "carrier pigeon" } }
  }
  expect_failures = [var.notifications]
}

run "a_notification_in_clear_text_is_refused" {
  command = plan
  variables {
    notifications        = { one = { kind = "https", address = "http://audit.example.com" } }
    notification_secrets = { one = "a-key" }
  }
  expect_failures = [var.notifications]
}

run "a_notification_to_an_address_that_eventbridge_refuses_is_refused" {
  command = plan
  variables {
    notifications        = { one = { kind = "https", address = "https://audit.example.com/events#runs" } }
    notification_secrets = { one = "a-key" }
  }
  expect_failures = [var.notifications]
}

run "a_notification_with_a_header_that_eventbridge_refuses_is_refused" {
  command = plan
  variables {
    notifications        = { one = { kind = "https", address = "https://audit.example.com/%7Eevents?of=runs&x=(1)" } }
    notification_secrets = { one = "user:password" }
  }
  expect_failures = [var.notification_secrets]
}

run "a_notification_without_its_secret_is_refused" {
  command = plan
  variables {
    notifications = { one = { kind = "slack" } }
  }
  expect_failures = [var.notification_secrets]
}

run "a_teardown_needs_no_secrets_of_notifications" {
  command = plan
  variables {
    destroy_contents = true
    notifications = {
      failures = { kind = "slack" }
      audit    = { kind = "https", address = "https://audit.example.com/events" }
    }
  }

  # The provider takes no empty texts, also in a destroy.
  assert {
    condition = (
      startswith(nonsensitive(aws_cloudwatch_event_api_destination.notification["failures"].invocation_endpoint), "https://") &&
      nonsensitive(aws_cloudwatch_event_connection.notification["audit"].auth_parameters[0].api_key[0].value) != ""
    )
    error_message = "A destroy has values that the provider takes."
  }
}
