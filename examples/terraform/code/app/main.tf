resource "terraform_data" "app" {
  input = {
    subnet   = data.terraform_remote_state.network.outputs.subnets[2]
    replicas = 2
  }
}

output "url" {
  description = "Where the application answers."
  value       = "https://app.${replace(terraform_data.app.output.subnet, "/", "-")}.internal"
}
