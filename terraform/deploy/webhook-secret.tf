# The secret that signs jobs. Write-only: the state does not hold it. A saved plan does, as any variable, so
# pipelines/deploy keeps its plan in a folder of its own and removes it.

resource "aws_ssm_parameter" "webhook_secret" {
  name             = local.webhook_secret
  description      = "Signs jobs sent to ${var.stack}"
  type             = "SecureString"
  value_wo         = var.webhook_secret
  value_wo_version = var.webhook_secret_version

  lifecycle {
    precondition {
      condition     = var.webhook_secret != null
      error_message = "The webhook secret is missing: set TF_VAR_webhook_secret."
    }
  }
}
