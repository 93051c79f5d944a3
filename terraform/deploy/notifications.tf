# Where announcements go besides the bus: Slack, an HTTPS endpoint or an SNS topic of the operator's. Nothing by default;
# only the operator's variables name targets. docs/notifications.md has examples.

locals {
  http_notifications = { for name, one in var.notifications : name => one if one.kind != "sns" }
  # The provider wants values for a destroy too, which has none of the secrets.
  notification_secrets = { for name, _ in local.http_notifications : name => lookup(var.notification_secrets, name, "https://unused.invalid") }
}

resource "aws_cloudwatch_event_rule" "notification" {
  for_each = var.notifications

  name           = "${var.stack}-${each.key}"
  description    = "Announcements of ${var.stack} for ${each.value.kind}"
  event_bus_name = aws_cloudwatch_event_bus.runs.name

  event_pattern = jsonencode(merge(
    { source = ["iac-ci"], "detail-type" = sort(tolist(each.value.events)) },
    each.value.statuses == null ? {} : {
      detail = { "$or" = [{ kind = [{ "anything-but" = ["run_ended"] }] }, { end = { status = sort(tolist(each.value.statuses)) } }] }
    },
  ))
}

# EventBridge needs a connection with credentials also for an address that takes none.
resource "aws_cloudwatch_event_connection" "notification" {
  for_each = local.http_notifications

  name               = "${var.stack}-${each.key}"
  description        = "Header of ${var.stack}'s announcements for ${each.value.kind}"
  authorization_type = "API_KEY"

  auth_parameters {
    api_key {
      key   = each.value.kind == "slack" ? "X-Sender" : each.value.header
      value = each.value.kind == "slack" ? "iac-ci" : local.notification_secrets[each.key]
    }
  }
}

resource "aws_cloudwatch_event_api_destination" "notification" {
  for_each = local.http_notifications

  name                = "${var.stack}-${each.key}"
  description         = "Announcements of ${var.stack} for ${each.value.kind}"
  connection_arn      = aws_cloudwatch_event_connection.notification[each.key].arn
  invocation_endpoint = each.value.kind == "slack" ? local.notification_secrets[each.key] : each.value.address
  http_method         = "POST"

  # Slack takes one message a second for each webhook.
  invocation_rate_limit_per_second = each.value.kind == "slack" ? 1 : 10
}

resource "aws_cloudwatch_event_target" "notification" {
  for_each = var.notifications

  rule           = aws_cloudwatch_event_rule.notification[each.key].name
  event_bus_name = aws_cloudwatch_event_bus.runs.name
  target_id      = each.value.kind
  arn            = each.value.kind == "sns" ? each.value.topic_arn : aws_cloudwatch_event_api_destination.notification[each.key].arn
  role_arn       = each.value.kind == "sns" ? null : aws_iam_role.notifications[0].arn

  # An HTTPS endpoint gets the whole event; people get the announcement's one line. EventBridge escapes no value that it
  # puts into a string, so a value stands alone, or is the text, in which nothing has to be escaped.
  dynamic "input_transformer" {
    for_each = each.value.kind == "https" ? [] : [local.event_bus.notifications]
    content {
      input_paths    = input_transformer.value.input_paths
      input_template = input_transformer.value[each.value.kind]
    }
  }

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 60
  }
}

resource "aws_iam_role" "notifications" {
  count = length(local.http_notifications) > 0 ? 1 : 0

  name                 = "${var.stack}-notifications"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "notifications" {
  count = length(aws_iam_role.notifications)

  name = "notifications"
  role = aws_iam_role.notifications[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "SendAnnouncements"
      Effect   = "Allow"
      Action   = ["events:InvokeApiDestination"]
      Resource = [for name in sort(keys(local.http_notifications)) : "arn:${format(local.arn_prefix, "events")}:api-destination/${var.stack}-${name}/*"]
    }]
  })
}
