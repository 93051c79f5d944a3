variable "environment" {
  description = "The environment: dev or prod."
  type        = string
}

variable "part" {
  description = "What the service is."
  type        = string
}

variable "replicas" {
  description = "How many copies run."
  type        = number
  default     = 1
}

module "naming" {
  source      = "../naming"
  environment = var.environment
  part        = var.part
}

resource "terraform_data" "service" {
  input = {
    name     = module.naming.name
    replicas = var.replicas
  }
}
