"""What stands in for Terraform's registry, a Docker engine and its base images where they do not answer."""
