# GET /runs/<run_id> and what is below it: the page of a run, by a function and a role of their own.

locals {
  page = local.api.page

  # The page itself, and its parts: poll, log, scripts.
  page_resources = {
    run  = aws_api_gateway_resource.run
    part = aws_api_gateway_resource.run_part
  }
}

resource "aws_api_gateway_resource" "runs" {
  rest_api_id = aws_api_gateway_rest_api.webhook.id
  parent_id   = aws_api_gateway_rest_api.webhook.root_resource_id
  path_part   = local.page.path_part
}

resource "aws_api_gateway_resource" "run" {
  rest_api_id = aws_api_gateway_rest_api.webhook.id
  parent_id   = aws_api_gateway_resource.runs.id
  path_part   = "{run_id}"
}

resource "aws_api_gateway_resource" "run_part" {
  rest_api_id = aws_api_gateway_rest_api.webhook.id
  parent_id   = aws_api_gateway_resource.run.id
  path_part   = "{part}"
}

# No authorizer: the function checks the capability of the link or of the cookie, before it reads anything.
resource "aws_api_gateway_method" "page" {
  for_each = local.page_resources

  rest_api_id   = aws_api_gateway_rest_api.webhook.id
  resource_id   = each.value.id
  http_method   = local.page.method
  authorization = "NONE"
}

resource "aws_api_gateway_integration" "page" {
  for_each = local.page_resources

  rest_api_id             = aws_api_gateway_rest_api.webhook.id
  resource_id             = each.value.id
  http_method             = aws_api_gateway_method.page[each.key].http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = "arn:${local.partition}:apigateway:${var.region}:lambda:path/2015-03-31/functions/${local.function_arns[local.page.function]}/invocations"
  credentials             = aws_iam_role.role[local.page.role].arn
  timeout_milliseconds    = local.page.integration_timeout_ms

  depends_on = [aws_lambda_function.function]
}

# A throttle of its own: each method has its own bucket, so that a flood of pages takes nothing from the webhook.
resource "aws_api_gateway_method_settings" "page" {
  for_each = local.page_resources

  rest_api_id = aws_api_gateway_rest_api.webhook.id
  stage_name  = aws_api_gateway_stage.webhook.stage_name
  method_path = "${trimprefix(each.value.path, "/")}/${local.page.method}"

  settings {
    throttling_rate_limit  = local.page.throttling_rate_per_second
    throttling_burst_limit = local.page.throttling_burst
    metrics_enabled        = true
    logging_level          = "ERROR"
    data_trace_enabled     = false
  }

  depends_on = [aws_cloudwatch_log_group.webhook_errors]
}

# The key that signs links. It is write-only, so it is not in the state. Without a key the parameter has a text that is too
# short to be one: functions then make no link and open no page.
resource "aws_ssm_parameter" "page_key" {
  name             = local.page_key
  description      = "Signs links to pages of runs of ${var.stack}"
  type             = "SecureString"
  value_wo         = var.page_key == null ? "none" : var.page_key
  value_wo_version = var.page_key_version
}
