# The files of stack/ with their placeholders replaced. The local cloud renders the same files.

data "aws_caller_identity" "current" {
  lifecycle {
    # IAM and the other services refuse such ARNs, in the middle of an apply.
    postcondition {
      condition     = alltrue([for arn in local.given_arns : split(":", arn)[1] == local.partition])
      error_message = "Every ARN in the variables must be of the partition ${local.partition}, that of the region. These are not: ${join(", ", [for arn in local.given_arns : arn if split(":", arn)[1] != local.partition])}."
    }
    postcondition {
      condition     = var.permissions_boundary_arn == null ? true : contains([self.account_id, "aws"], split(":", var.permissions_boundary_arn)[4])
      error_message = "permissions_boundary_arn must be a policy of the account ${self.account_id}, or of AWS."
    }
  }
}

data "aws_partition" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition

  given_arns = compact(concat(
    [var.kms_key_arn, var.permissions_boundary_arn, var.web_acl_arn],
    sort(tolist(var.secrets_key_arns)),
    sort(tolist(var.target_role_arns)),
    [for one in values(var.notifications) : one.topic_arn],
  ))

  # ARNs and names are built from strings instead of references, because references would form a cycle: a function's
  # environment has the state machine's ARN, whose definition has a function's ARN.
  arn_prefix     = "${local.partition}:%s:${var.region}:${local.account_id}"
  bucket_names   = { for name, _ in local.buckets : name => "${var.stack}-${name}-${local.account_id}-${var.region}" }
  function_arns  = { for name, _ in local.functions : name => "arn:${format(local.arn_prefix, "lambda")}:function:${var.stack}-${name}" }
  queue_arn      = "arn:${format(local.arn_prefix, "sqs")}:${var.stack}-dead-letters"
  webhook_secret = "/iac-ci/${var.stack}/webhook-secret"
  connections    = "/iac-ci/${var.stack}/connections"
  sources        = "/iac-ci/${var.stack}/sources"
  page_key       = "/iac-ci/${var.stack}/page-key"

  # Builds pull their image with their own role, functions do not. For an image outside ECR, as in a local cloud, the ARN
  # of a repository of this account is used.
  build_image_uri  = coalesce(var.build_image_uri, var.image_uri)
  image_repository = split("/", split("@", local.build_image_uri)[0])
  image_name       = join("/", slice(local.image_repository, 1, length(local.image_repository)))
  image_place      = try(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.", local.build_image_uri), [local.account_id, var.region])

  # Regions in which Lambda does not detect recursive loops, so that there is no setting; pipelines/preflight.py has the
  # same list.
  without_recursion_setting = ["us-gov-east-1", "us-gov-west-1", "mx-central-1", "ap-southeast-6"]

  # Names and sizes contain no placeholders, and the placeholders need the names.
  buckets   = jsondecode(file("${path.module}/stack/buckets.json")).buckets
  functions = jsondecode(file("${path.module}/stack/functions.json")).functions

  # Defined once, in a file that the functions and pipelines/levels.py read too.
  stack_level = tonumber(local.functions["init-job"].environment.IAC_CI_STACK_LEVEL)

  # Before the first apply the key has no ARN, and one unknown value would make a whole file unknown in the plan. So this
  # placeholder stays in the rendered files and is replaced later: a first plan shows everything else.
  key_mark = "$${kms_key_arn}"

  # The same for the time of the last change, which is known after an apply.
  change_mark = "$${permissions_changed_at}"

  # The same for the address of pages, which has the id of the API.
  page_mark    = "$${page_address}"
  page_address = "https://${aws_api_gateway_rest_api.webhook.id}.execute-api.${var.region}.${data.aws_partition.current.dns_suffix}/${local.api.stage}/${local.api.page.path_part}"

  placeholders = {
    partition               = local.partition
    region                  = var.region
    account_id              = local.account_id
    stack                   = var.stack
    log_level               = var.log_level
    internal_bucket         = local.bucket_names["internal"]
    done_bucket             = local.bucket_names["done"]
    orders_table            = "${var.stack}-orders"
    events_table            = "${var.stack}-order-events"
    locks_table             = "${var.stack}-locks"
    init_function           = "${var.stack}-init-job"
    orchestrator_function   = "${var.stack}-orchestrator"
    watchdog_check_function = "${var.stack}-watchdog-check"
    worker_function         = "${var.stack}-worker"
    broker_function         = "${var.stack}-broker"
    page_function           = "${var.stack}-page"
    watchdog_check_arn      = local.function_arns["watchdog-check"]
    watchdog_arn            = "arn:${format(local.arn_prefix, "states")}:stateMachine:${var.stack}-watchdog"
    worker_project          = "${var.stack}-worker"
    kms_key_arn             = local.key_mark
    dead_letter_queue       = "${var.stack}-dead-letters"
    event_bus               = "${var.stack}-runs"
    image_repository_arn    = "arn:${local.partition}:ecr:${local.image_place[1]}:${local.image_place[0]}:repository/${local.image_name}"
    webhook_secrets         = jsonencode([for suffix in concat([""], sort(var.more_webhook_secrets)) : "ssm:${local.webhook_secret}${suffix}"])
    secrets_prefix          = var.secrets_prefix
    secrets_manager_prefix  = trimprefix(var.secrets_prefix, "/")
    sources                 = "ssm:${local.sources}"
    # functions.tf leaves it out where a function's environment has no room for it.
    former_secret_allow_list = length(jsonencode(var.secret_allow_list)) <= 1024 ? jsonencode(var.secret_allow_list) : "{}"
    allow_file_repositories  = "false"
    command_options          = var.stack == "iac-ci" ? "" : "--stack ${var.stack}"
    connections              = "ssm:${local.connections}"
    code_hosts               = jsonencode(var.code_hosts)
    max_parallel             = tostring(var.max_parallel)
    metrics_namespace        = var.dashboard ? local.metric_namespace : ""
    plan_days                = tostring(var.plan_days)
    order_sizes              = jsonencode(var.order_sizes)
    provider_mirror          = var.provider_mirror == null ? "" : var.provider_mirror
    permissions_changed_at   = local.change_mark
    page_address             = local.page_mark
    page_key                 = "ssm:${local.page_key}"
    tick_rule_arn            = "arn:${format(local.arn_prefix, "events")}:rule/${var.stack}-tick"
  }

  # Each placeholder is inside a JSON string, so its value is encoded as JSON without the quotes.
  escaped = { for name, value in local.placeholders : name => substr(jsonencode(value), 1, length(jsonencode(value)) - 2) }

  stack = {
    for name in ["api.json", "builds.json", "event-bus.json", "functions.json", "roles.json", "tables.json", "tick.json", "watchdog.asl.json"] :
    name => jsondecode(templatefile("${path.module}/stack/${name}", local.escaped))
  }

  policies = {
    for name in fileset("${path.module}/stack/policies", "*.json") : trimsuffix(name, ".json") =>
    jsonencode(jsondecode(templatefile("${path.module}/stack/policies/${name}", merge(local.escaped, {
      # The optional policies, each rendered once for every bucket, role or key.
      code_bucket = "$${code_bucket}", target_role_arn = "$${target_role_arn}", secrets_key_arn = "$${secrets_key_arn}"
    }))))
  }
}
