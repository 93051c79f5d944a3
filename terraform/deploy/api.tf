# The API, and POST /webhook. page.tf has GET /runs/<run_id>.
#
# API Gateway has no setting for the size of bodies: it refuses 10 MB and more, Lambda 6 MB. The function first refuses
# bodies beyond the limit in stack/api.json.

locals {
  api = local.stack["api.json"]
}

resource "aws_api_gateway_rest_api" "webhook" {
  name        = local.api.name
  description = "Webhook of ${var.stack}: signed jobs and events of code hosts"

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_resource" "webhook" {
  rest_api_id = aws_api_gateway_rest_api.webhook.id
  parent_id   = aws_api_gateway_rest_api.webhook.root_resource_id
  path_part   = local.api.path_part
}

# No authorizer: every body is signed, and only the function gets the raw bytes that the signature covers.
resource "aws_api_gateway_method" "webhook" {
  rest_api_id   = aws_api_gateway_rest_api.webhook.id
  resource_id   = aws_api_gateway_resource.webhook.id
  http_method   = local.api.method
  authorization = "NONE"
}

resource "aws_api_gateway_integration" "webhook" {
  rest_api_id             = aws_api_gateway_rest_api.webhook.id
  resource_id             = aws_api_gateway_resource.webhook.id
  http_method             = aws_api_gateway_method.webhook.http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = "arn:${local.partition}:apigateway:${var.region}:lambda:path/2015-03-31/functions/${local.function_arns[local.api.function]}/invocations"
  credentials             = aws_iam_role.role[local.api.role].arn
  timeout_milliseconds    = local.api.integration_timeout_ms

  depends_on = [aws_lambda_function.function]
}

resource "aws_api_gateway_gateway_response" "webhook" {
  for_each = {
    REQUEST_TOO_LARGE = { status = "413", error = "the body is larger than ${local.api.maximum_body_bytes} bytes" }
    THROTTLED         = { status = "429", error = "too many requests; try again in a second" }
  }

  rest_api_id        = aws_api_gateway_rest_api.webhook.id
  response_type      = each.key
  status_code        = each.value.status
  response_templates = { "application/json" = jsonencode({ error = each.value.error, retry = each.key == "THROTTLED" }) }
}

resource "aws_api_gateway_deployment" "webhook" {
  rest_api_id = aws_api_gateway_rest_api.webhook.id

  # A deployment is a snapshot: every change needs a new one.
  triggers = {
    content = sha256(jsonencode([
      local.api,
      aws_api_gateway_resource.webhook.id,
      aws_api_gateway_method.webhook.authorization,
      aws_api_gateway_integration.webhook.uri,
      aws_api_gateway_integration.webhook.credentials,
      [for name, resource in local.page_resources : [resource.id, resource.path_part]],
      [for integration in aws_api_gateway_integration.page : [integration.uri, integration.credentials]],
      [for response in aws_api_gateway_gateway_response.webhook : response.response_templates],
    ]))
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [
    aws_api_gateway_integration.webhook, aws_api_gateway_integration.page, aws_api_gateway_gateway_response.webhook,
  ]
}

resource "aws_cloudwatch_log_group" "webhook" {
  name              = "/aws/apigateway/${var.stack}-webhook"
  retention_in_days = var.log_retention_days
}

# API Gateway would create this group itself, without retention.
resource "aws_cloudwatch_log_group" "webhook_errors" {
  name              = "API-Gateway-Execution-Logs_${aws_api_gateway_rest_api.webhook.id}/${local.api.stage}"
  retention_in_days = var.log_retention_days
}

resource "aws_api_gateway_stage" "webhook" {
  rest_api_id   = aws_api_gateway_rest_api.webhook.id
  deployment_id = aws_api_gateway_deployment.webhook.id
  stage_name    = local.api.stage

  # No bodies, no headers and no query, because all of them can contain secrets: a link to a page has its capability in the
  # query, and the path has none.
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.webhook.arn
    format = jsonencode({
      at                = "$context.requestTime"
      request_id        = "$context.requestId"
      source_ip         = "$context.identity.sourceIp"
      method            = "$context.httpMethod"
      path              = "$context.path"
      status            = "$context.status"
      response_bytes    = "$context.responseLength"
      milliseconds      = "$context.responseLatency"
      integration_error = "$context.integrationErrorMessage"
    })
  }

  depends_on = [aws_api_gateway_account.logs]
}

resource "aws_api_gateway_method_settings" "webhook" {
  rest_api_id = aws_api_gateway_rest_api.webhook.id
  stage_name  = aws_api_gateway_stage.webhook.stage_name
  method_path = "*/*"

  settings {
    throttling_rate_limit  = local.api.throttling_rate_per_second
    throttling_burst_limit = local.api.throttling_burst
    metrics_enabled        = true
    logging_level          = "ERROR"
    data_trace_enabled     = false
  }

  depends_on = [aws_cloudwatch_log_group.webhook_errors]
}

resource "aws_wafv2_web_acl_association" "webhook" {
  count = var.web_acl_arn == null ? 0 : 1

  resource_arn = aws_api_gateway_stage.webhook.arn
  web_acl_arn  = var.web_acl_arn
}

# A setting of the account: without it no stage can write access logs.

resource "aws_iam_role" "api_logs" {
  count = var.manage_api_gateway_account ? 1 : 0

  name                 = "${var.stack}-api-logs"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "apigateway.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
}

# AWS's own policy: API Gateway refuses a role that may write to selected groups only.
resource "aws_iam_role_policy_attachment" "api_logs" {
  count = var.manage_api_gateway_account ? 1 : 0

  role       = aws_iam_role.api_logs[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

resource "aws_api_gateway_account" "logs" {
  count = var.manage_api_gateway_account ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.api_logs[0].arn

  depends_on = [aws_iam_role_policy_attachment.api_logs]
}
