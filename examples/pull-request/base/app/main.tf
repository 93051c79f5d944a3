variable "registry_token" {
  description = "Token of the address registry; from Parameter Store."
  type        = string
  sensitive   = true
}

resource "terraform_data" "app" {
  input = { replicas = 2 }
}
