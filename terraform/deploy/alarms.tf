# The alarms. docs/operations.md says what each one means and what to do.

locals {
  alarms_by_function = {
    errors = {
      metric      = "Errors"
      description = "failed or timed out"
    }
    throttles = {
      metric      = "Throttles"
      description = "was throttled: the concurrency of the account or of the function is used up"
    }
    undelivered = {
      metric      = "DestinationDeliveryFailures"
      description = "failed, and its failure record could not be delivered"
    }
  }

  function_alarms = merge([
    for name in keys(local.functions) : {
      for kind, alarm in local.alarms_by_function : "${name}-${kind}" => merge(alarm, { function = name })
    }
  ]...)

  alarms = merge(
    {
      for name, alarm in local.function_alarms : name => {
        description = "${var.stack}-${alarm.function} ${alarm.description}"
        namespace   = "AWS/Lambda"
        metric      = alarm.metric
        statistic   = "Sum"
        dimensions  = { FunctionName = "${var.stack}-${alarm.function}" }
        period      = 300
        threshold   = 1
      }
    },
    {
      dead-letters = {
        description = "Events failed permanently and are in the queue ${var.stack}-dead-letters"
        namespace   = "AWS/SQS"
        metric      = "ApproximateNumberOfMessagesVisible"
        statistic   = "Maximum"
        dimensions  = { QueueName = "${var.stack}-dead-letters" }
        period      = 300
        threshold   = 1
      }
      stuck-runs = {
        description = "Watchdogs nudged runs or repeated preparations ten times within 15 minutes"
        namespace   = local.metric_namespace
        metric      = local.repairs_metric
        statistic   = "Sum"
        dimensions  = {}
        period      = 900
        threshold   = 10
      }
      abandoned-runs = {
        description = "A watchdog reached its time-out before its run ended"
        namespace   = "AWS/States"
        metric      = "ExecutionsTimedOut"
        statistic   = "Sum"
        dimensions  = { StateMachineArn = local.placeholders.watchdog_arn }
        period      = 300
        threshold   = 1
      }
      failed-watchdogs = {
        description = "A watchdog execution failed"
        namespace   = "AWS/States"
        metric      = "ExecutionsFailed"
        statistic   = "Sum"
        dimensions  = { StateMachineArn = local.placeholders.watchdog_arn }
        period      = 300
        threshold   = 1
      }
      webhook-errors = {
        description = "The webhook answered 5xx"
        namespace   = "AWS/ApiGateway"
        metric      = "5XXError"
        statistic   = "Sum"
        dimensions  = { ApiName = local.api.name, Stage = local.api.stage }
        period      = 300
        threshold   = 1
      }
    },
  )

  metric_namespace = "iac-ci/${var.stack}"
  repairs_metric   = "WatchdogRepairs"
}

# The message and the actions come from iac_ci_watchdog.act and iac_ci_watchdog.decide; a test compares them.
resource "aws_cloudwatch_log_metric_filter" "repairs" {
  name           = "${var.stack}-watchdog-repairs"
  log_group_name = aws_cloudwatch_log_group.function["watchdog-check"].name
  pattern        = "{ ($.message = \"watchdog repaired run\") && (($.action = \"nudge\") || ($.action = \"prepare_again\")) }"

  metric_transformation {
    name          = local.repairs_metric
    namespace     = local.metric_namespace
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "alarm" {
  for_each = local.alarms

  alarm_name          = "${var.stack}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.stack}-alarms"
  kms_master_key_id = local.kms_key_arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = "arn:${format(local.arn_prefix, "sns")}:${var.stack}-alarms"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
      },
      {
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = "arn:${format(local.arn_prefix, "sns")}:${var.stack}-alarms"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}
