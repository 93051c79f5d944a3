# Which repositories may start jobs. The list holds locations of secrets and no secret, so anybody who may read the
# stack's parameters may read it. A change takes effect without a new deployment of the functions.

resource "aws_ssm_parameter" "connections" {
  name        = local.connections
  description = "Repositories that may start jobs in ${var.stack}: JSON, no secrets"
  type        = "String"
  # Standard up to 4,096 characters, which costs nothing, and advanced beyond.
  tier  = "Intelligent-Tiering"
  value = jsonencode(var.connections)
}
