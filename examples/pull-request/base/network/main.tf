variable "registry_token" {
  description = "Token of the address registry; from Parameter Store."
  type        = string
  sensitive   = true
}

resource "terraform_data" "network" {
  input = {
    cidr    = "10.20.0.0/16"
    subnets = [for number in range(2) : cidrsubnet("10.20.0.0/16", 8, number)]
  }
}

resource "terraform_data" "registration" {
  # Only a digest of the token is kept in the state.
  input = sha256(var.registry_token)
}
