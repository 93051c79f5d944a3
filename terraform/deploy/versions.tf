terraform {
  # 1.11 is the first version with write-only arguments and with native locking in the S3 backend.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 6.8 is the first version that can leave single tags out of a repository's immutability.
      version = "~> 6.8"
    }
  }

  # Bucket, key and region come from the file that pipelines/ generates.
  backend "s3" {}
}
