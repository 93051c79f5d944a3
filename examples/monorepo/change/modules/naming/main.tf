variable "environment" {
  description = "The environment: dev or prod."
  type        = string
}

variable "part" {
  description = "What is named."
  type        = string
}

output "name" {
  description = "The name of a part of an environment."
  value       = "acme-${var.environment}-${var.part}"
}
