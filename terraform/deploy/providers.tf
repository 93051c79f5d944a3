provider "aws" {
  region = var.region

  default_tags {
    tags = merge(var.tags, { "iac-ci:stack" = var.stack })
  }
}
