# The bus on which the orchestrator announces what happens to runs. docs/notifications.md describes the events;
# notifications.tf sends them on where the operator wants it.

locals {
  event_bus = local.stack["event-bus.json"]
}

resource "aws_cloudwatch_event_bus" "runs" {
  name        = "${var.stack}-${local.event_bus.name}"
  description = local.event_bus.description
}

# Policies of other roles of the account may allow PutEvents on every bus.
resource "aws_cloudwatch_event_bus_policy" "runs" {
  event_bus_name = aws_cloudwatch_event_bus.runs.name
  policy         = jsonencode(local.event_bus.policy)
}
