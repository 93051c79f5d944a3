variable "cidr" {
  description = "The network's range of addresses."
  type        = string
}

resource "terraform_data" "network" {
  input = {
    cidr    = var.cidr
    subnets = [for number in range(2) : cidrsubnet(var.cidr, 8, number)]
  }
}
