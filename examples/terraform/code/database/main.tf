variable "database_password" {
  description = "Password of the database's owner; from Secrets Manager."
  type        = string
  sensitive   = true
}

resource "terraform_data" "database" {
  input = {
    subnet          = data.terraform_remote_state.network.outputs.subnets[1]
    password_digest = sha256(var.database_password)
  }
}

output "endpoint" {
  description = "Where the database listens."
  value       = "database.${replace(terraform_data.database.output.subnet, "/", "-")}.internal:5432"
}
