# The secret that signs jobs. It is write-only, so it is not in the state. A saved plan contains it, like every variable, so
# pipelines/deploy keeps the plan in a private folder and removes it.

resource "aws_ssm_parameter" "webhook_secret" {
  name        = local.webhook_secret
  description = "Signs jobs sent to ${var.stack}"
  type        = "SecureString"
  # The provider wants a value for a destroy too, which has no secret. No apply writes this one: see the precondition.
  value_wo         = var.webhook_secret == null ? "none" : var.webhook_secret
  value_wo_version = var.webhook_secret_version

  lifecycle {
    precondition {
      condition     = var.webhook_secret != null
      error_message = "webhook_secret is missing: set TF_VAR_webhook_secret."
    }
  }
}
