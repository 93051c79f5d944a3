# The repositories that may start jobs. The list contains locations of secrets, not secrets, so every reader of the stack's
# parameters may read it. A change takes effect without a new deployment of the functions.

locals {
  # Versions before refuse a connection with a field that they do not know, so a field that is not set is left out.
  connections_json = jsonencode([
    for connection in var.connections :
    {
      for name, value in connection : name => value
      if !contains(["modules_token_location", "link_generation", "require", "unlockers", "schedule_branch", "schedules_may_apply"], name) || (value != null && value != false)
    }
  ])
  # A parameter holds 8,192 bytes; base64 makes four characters of three bytes. A longer list is compressed: 500
  # repositories need about 3,500 characters.
  stored_connections = length(base64encode(local.connections_json)) <= 10920 ? local.connections_json : base64gzip(local.connections_json)
}

resource "aws_ssm_parameter" "connections" {
  name        = local.connections
  description = "Repositories that may start jobs in ${var.stack}: JSON, no secrets"
  type        = "String"
  # The free standard tier holds 4,096 characters; longer lists need the advanced tier.
  tier  = "Intelligent-Tiering"
  value = local.stored_connections
}
