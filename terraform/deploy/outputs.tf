# The addresses and names of the stack, as outputs and as one parameter, so that `iac-ci --stack NAME` needs no files.

locals {
  outputs = {
    webhook_url             = "${aws_api_gateway_stage.webhook.invoke_url}/${local.api.path_part}"
    webhook_secret_location = "ssm:${local.webhook_secret}"
    page_address            = "${aws_api_gateway_stage.webhook.invoke_url}/${local.api.page.path_part}"
    internal_bucket         = aws_s3_bucket.bucket["internal"].bucket
    done_bucket             = aws_s3_bucket.bucket["done"].bucket
    state_bucket            = local.bucket_names["state"]
    orders_table            = aws_dynamodb_table.table["orders"].name
    events_table            = aws_dynamodb_table.table["order-events"].name
    locks_table             = aws_dynamodb_table.table["locks"].name
    worker_project          = aws_codebuild_project.project["worker"].name
    watchdog_arn            = local.placeholders.watchdog_arn
    dead_letter_queue       = aws_sqs_queue.dead_letters.name
    alarm_topic_arn         = aws_sns_topic.alarms.arn
    image_uri               = var.image_uri
    stack_level             = local.stack_level
    open_lists              = local.open_lists
  }
}

resource "aws_ssm_parameter" "outputs" {
  name        = "/iac-ci/${var.stack}/outputs"
  description = "Addresses and names of the stack ${var.stack}: JSON, no secrets"
  type        = "String"
  value       = jsonencode(local.outputs)
}

output "webhook_url" {
  description = "URL for jobs and for events of code hosts."
  value       = local.outputs.webhook_url
}

output "webhook_secret_location" {
  description = "Location of the secret that signs jobs."
  value       = local.outputs.webhook_secret_location
}

output "page_address" {
  description = "URL below which each run has its page."
  value       = local.outputs.page_address
}

output "event_bus" {
  description = "Name of the event bus on which runs are announced."
  value       = aws_cloudwatch_event_bus.runs.name
}

output "outputs_parameter" {
  description = "Name of the parameter with all outputs as JSON."
  value       = aws_ssm_parameter.outputs.name
}

output "connections_parameter" {
  description = "Name of the parameter that lists the repositories that may start jobs."
  value       = aws_ssm_parameter.connections.name
}

output "internal_bucket" {
  description = "Bucket for jobs, code, packages, callbacks and logs."
  value       = local.outputs.internal_bucket
}

output "done_bucket" {
  description = "Bucket for done markers."
  value       = local.outputs.done_bucket
}

output "function_names" {
  description = "Names of the functions, by role."
  value       = { for name, function in aws_lambda_function.function : name => function.function_name }
}

output "table_names" {
  description = "Names of the tables, by role."
  value       = { for name, table in aws_dynamodb_table.table : name => table.name }
}

output "worker_project" {
  description = "CodeBuild project for long orders."
  value       = local.outputs.worker_project
}

output "watchdog_arn" {
  description = "ARN of the watchdog's state machine."
  value       = local.outputs.watchdog_arn
}

output "kms_key_arn" {
  description = "Key that encrypts the secrets of runs."
  value       = local.kms_key_arn
}

output "role_to_trust" {
  description = "ARN of the role that the trust policies of target roles name: the broker's."
  value       = aws_iam_role.role["broker"].arn
}

output "alarm_topic_arn" {
  description = "SNS topic of the alarms."
  value       = local.outputs.alarm_topic_arn
}

output "stack_level" {
  description = "Level of the deployed version; pipelines/deploy installs a lower one only if no open run needs this one."
  value       = local.stack_level
}

output "image_uri" {
  description = "The deployed image, by digest; a rollback uses an earlier one."
  value       = var.image_uri
}
