terraform {
  required_version = ">= 1.11"

  backend "s3" {
    key          = "examples/app.tfstate"
    use_lockfile = true
    # The bucket comes from -backend-config. Path style and the skipped look-ups let the same file work against
    # any S3 endpoint; on AWS they change nothing.
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_region_validation      = true
    skip_requesting_account_id  = true
  }
}
