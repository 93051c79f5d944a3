# The functions: one image, by digest, with a different command for each.

locals {
  # All variables of a function together, as JSON (AWS Lambda Developer Guide, "Lambda quotas").
  environment_bytes = 4096

  # What no plan knows before the first apply, as long as it can be.
  not_known_yet = {
    (local.key_mark)    = var.kms_key_arn != null ? var.kms_key_arn : "arn:${format(local.arn_prefix, "kms")}:key/11111111-2222-3333-4444-555555555555"
    (local.change_mark) = "2000-01-01T00:00:00Z"
    (local.page_mark)   = "https://0123456789.execute-api.${var.region}.${data.aws_partition.current.dns_suffix}/${local.api.stage}/${local.api.page.path_part}"
  }

  # base64 makes four characters of three bytes.
  environment_sizes = {
    for name, function in local.stack["functions.json"].functions : name => {
      for part, left_out in { whole = [], needed = ["IAC_CI_SECRET_ALLOW_LIST"] } :
      part => length(base64encode(jsonencode({
        for variable, value in function.environment : variable => lookup(local.not_known_yet, value, value) if !contains(left_out, variable)
      }))) / 4 * 3
    }
  }

  # The list that versions before read is left out where it does not fit.
  environments = {
    for name, function in local.stack["functions.json"].functions : name => {
      for variable, value in function.environment : variable => value
      if variable != "IAC_CI_SECRET_ALLOW_LIST" || local.environment_sizes[name].whole <= local.environment_bytes
    }
  }
}

resource "aws_cloudwatch_log_group" "function" {
  for_each = local.functions

  name              = "/aws/lambda/${var.stack}-${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "function" {
  for_each = local.stack["functions.json"].functions

  function_name = "${var.stack}-${each.key}"
  description   = each.value.description
  role          = aws_iam_role.role[each.value.role].arn
  package_type  = "Image"
  image_uri     = var.image_uri
  architectures = [var.architecture]
  timeout       = each.value.timeout_seconds
  memory_size   = each.key == "worker" ? coalesce(var.worker_memory_mb, each.value.memory_mb) : each.value.memory_mb

  image_config {
    command = each.value.image_command
  }

  # Only for the worker and the page: a limit must not delay the engine itself.
  reserved_concurrent_executions = coalesce(lookup({ worker = var.worker_concurrency, page = var.page_concurrency }, each.key, null), -1)

  ephemeral_storage {
    size = each.key == "worker" ? coalesce(var.worker_storage_mb, each.value.ephemeral_storage_mb) : each.value.ephemeral_storage_mb
  }

  environment {
    variables = {
      for name, value in local.environments[each.key] : name => (
        value == local.key_mark ? local.kms_key_arn :
        value == local.change_mark ? terraform_data.permissions.output :
        value == local.page_mark ? local.page_address : value
      )
    }
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function[each.key].name

    # Lambda's log level overrides the function's, and Lambda calls WARNING "WARN".
    application_log_level = var.log_level == "WARNING" ? "WARN" : var.log_level
    system_log_level      = "INFO"
  }

  dynamic "vpc_config" {
    for_each = each.key == "worker" && var.worker_network != null ? [var.worker_network] : []
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  lifecycle {
    precondition {
      condition     = local.environment_sizes[each.key].needed <= local.environment_bytes
      error_message = "The variables of ${var.stack}-${each.key} have ${local.environment_sizes[each.key].needed} bytes, and Lambda takes ${local.environment_bytes}: shorten code_hosts, order_sizes, more_webhook_secrets, secrets_prefix or provider_mirror."
    }
  }

  # A build of the new orchestrator needs the new worker, so the project is updated first.
  depends_on = [aws_iam_role_policy.role, aws_iam_role_policy.worker_network, aws_codebuild_project.project, aws_ssm_parameter.sources]
}

# Lambda traces calls from function to S3 to function and would stop a run after about 16 hops (AWS Lambda
# Developer Guide, "Use Lambda recursive loop detection"): a run is such a loop, and the graph bounds it.
resource "aws_lambda_function_recursion_config" "function" {
  for_each = contains(local.without_recursion_setting, var.region) ? {} : local.functions

  function_name  = aws_lambda_function.function[each.key].function_name
  recursive_loop = each.value.recursive_loop
}

resource "aws_lambda_function_event_invoke_config" "function" {
  for_each = local.functions

  function_name                = aws_lambda_function.function[each.key].function_name
  maximum_retry_attempts       = each.value.asynchronous.maximum_retry_attempts
  maximum_event_age_in_seconds = each.value.asynchronous.maximum_event_age_seconds

  destination_config {
    on_failure {
      destination = (
        contains(keys(each.value.asynchronous.on_failure), "function")
        ? local.function_arns[try(each.value.asynchronous.on_failure.function, "")]
        : "arn:${format(local.arn_prefix, "sqs")}:${var.stack}-${try(each.value.asynchronous.on_failure.queue, "")}"
      )
    }
  }

  # Lambda refuses a destination that does not exist or that the function's role may not use.
  depends_on = [aws_iam_role_policy.role, aws_lambda_function.function, aws_sqs_queue.dead_letters]
}

# Events that failed permanently and that no watchdog repairs.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.stack}-dead-letters"
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = local.queue_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}
