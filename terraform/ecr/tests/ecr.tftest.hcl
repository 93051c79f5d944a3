mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_ecr_repository" {
    defaults = {
      repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme"
      arn            = "arn:aws:ecr:eu-central-1:123456789012:repository/acme"
    }
  }
}

variables {
  stack  = "acme"
  region = "eu-central-1"
}

run "images_stay_what_they_are_and_where_they_are" {
  command = plan

  assert {
    condition     = aws_ecr_repository.image.image_tag_mutability == "IMMUTABLE_WITH_EXCLUSION"
    error_message = "Tags are immutable, so that a rollback is exact."
  }
  assert {
    condition     = [for filter in aws_ecr_repository.image.image_tag_mutability_exclusion_filter : filter.filter] == ["latest", "deployed-*"]
    error_message = "Only latest and the tags of deployments may move."
  }
  assert {
    condition     = aws_ecr_repository.image.image_scanning_configuration[0].scan_on_push
    error_message = "A pushed image is scanned for known vulnerabilities."
  }
  assert {
    condition     = aws_ecr_repository.image.encryption_configuration[0].encryption_type == "KMS"
    error_message = "Images are encrypted under a key."
  }
  assert {
    condition     = aws_ecr_repository.image.force_delete == false
    error_message = "A destroy by mistake must not remove the images."
  }
  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.image.policy).rules[2].selection.countNumber == 50
    error_message = "The newest images are kept."
  }
  assert {
    condition     = !anytrue([for rule in jsondecode(aws_ecr_lifecycle_policy.image.policy).rules : rule.selection.tagStatus == "any"])
    error_message = "A rule over any status would count untagged images against the tagged."
  }
  assert {
    condition     = jsondecode(aws_ecr_repository_policy.image.policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == "arn:aws:lambda:eu-central-1:123456789012:function:acme-*"
    error_message = "The statement names the stack's functions."
  }
}

run "outputs_say_where_to_push" {
  command = apply

  assert {
    condition     = output.repository_url == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme"
    error_message = "pipelines/build reads it."
  }
  assert {
    condition     = output.repository_name == "acme" && endswith(output.repository_arn, "repository/acme")
    error_message = "The policies of builders read them."
  }
}

run "misspelt_choices_are_refused" {
  command = plan
  variables {
    tags        = { "AWS:owner" = "me" }
    kept_images = 1
    stack       = "acme--ci"
    region      = "EU-central-1"
  }
  expect_failures = [var.tags, var.kept_images, var.stack, var.region]
}
