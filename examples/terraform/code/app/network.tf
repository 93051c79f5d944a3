variable "state_bucket" {
  description = "Bucket that holds the states."
  type        = string
}

data "terraform_remote_state" "network" {
  backend = "s3"
  config = {
    bucket                      = var.state_bucket
    key                         = "examples/network.tfstate"
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_region_validation      = true
    skip_requesting_account_id  = true
  }
}
