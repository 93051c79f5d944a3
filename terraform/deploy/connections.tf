# The repositories that may start jobs. The list contains locations of secrets, not secrets, so every reader of the stack's
# parameters may read it. A change takes effect without a new deployment of the functions.

resource "aws_ssm_parameter" "connections" {
  name        = local.connections
  description = "Repositories that may start jobs in ${var.stack}: JSON, no secrets"
  type        = "String"
  # The free standard tier holds 4,096 characters; longer lists need the advanced tier.
  tier  = "Intelligent-Tiering"
  value = jsonencode(var.connections)
}
