# The tick: one rule that invokes every function. A function that nobody invokes for weeks becomes inactive, and then
# refuses calls for 40 to 106 seconds, longer than the endpoint may wait (AWS Lambda Developer Guide, "Lambda function
# states"). For init-job it is also the start of its regular tasks.

locals {
  tick = local.stack["tick.json"]
}

resource "aws_cloudwatch_event_rule" "tick" {
  name                = "${var.stack}-${local.tick.name}"
  description         = local.tick.description
  schedule_expression = local.tick.schedule
}

resource "aws_cloudwatch_event_target" "tick" {
  for_each = toset(local.tick.functions)

  rule      = aws_cloudwatch_event_rule.tick.name
  target_id = each.key
  arn       = aws_lambda_function.function[each.key].arn

  # The next tick comes soon enough.
  retry_policy {
    maximum_event_age_in_seconds = 300
    maximum_retry_attempts       = 2
  }

  depends_on = [aws_lambda_permission.tick]
}

resource "aws_lambda_permission" "tick" {
  for_each = toset(local.tick.functions)

  statement_id  = "tick"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function[each.key].function_name
  principal     = "events.amazonaws.com"
  source_arn    = local.placeholders.tick_rule_arn
}
