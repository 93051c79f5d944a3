# The state machine that watches each run.

resource "aws_cloudwatch_log_group" "watchdog" {
  # Log groups below this path need no resource policy that grows with each state machine.
  name              = "/aws/vendedlogs/states/${var.stack}-watchdog"
  retention_in_days = var.log_retention_days
}

resource "aws_sfn_state_machine" "watchdog" {
  name       = "${var.stack}-watchdog"
  type       = "STANDARD"
  role_arn   = aws_iam_role.role["watchdog-state-machine"].arn
  definition = jsonencode(local.stack["watchdog.asl.json"])

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = false
    log_destination        = "${aws_cloudwatch_log_group.watchdog.arn}:*"
  }

  depends_on = [aws_iam_role_policy.role]
}
