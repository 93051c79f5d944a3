mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  stack  = "acme"
  region = "eu-central-1"
}

run "the_state_bucket_is_versioned_encrypted_and_private_and_keeps_the_newest_states" {
  command = plan

  assert {
    condition     = aws_s3_bucket.state.bucket == "acme-state-123456789012-eu-central-1"
    error_message = "The name is the one in the backend files of pipelines/."
  }
  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "A state must be recoverable."
  }
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_server_side_encryption_configuration.state.rule :
      rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
    ])
    error_message = "States are encrypted: they contain names and sometimes secrets."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.state.block_public_acls,
      aws_s3_bucket_public_access_block.state.block_public_policy,
      aws_s3_bucket_public_access_block.state.ignore_public_acls,
      aws_s3_bucket_public_access_block.state.restrict_public_buckets,
    ])
    error_message = "The bucket is not public."
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.state.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "Plain HTTP is refused."
  }
  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.state.rule[0].expiration) == 0
    error_message = "Only replaced versions may be removed."
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.state.rule[0].noncurrent_version_expiration[0].noncurrent_days == 365
    error_message = "Replaced versions are kept for a year."
  }
  assert {
    condition     = output.state_bucket == "acme-state-123456789012-eu-central-1"
    error_message = "pipelines/ reads it."
  }
}

run "misspelt_choices_are_refused" {
  command = plan
  variables {
    stack          = "Acme_CI"
    region         = "frankfurt"
    tags           = { "aws:owner" = "me" }
    old_state_days = 7
  }
  expect_failures = [var.stack, var.region, var.tags, var.old_state_days]
}

run "a_stack_name_that_is_too_long_for_a_bucket_is_refused" {
  command = plan
  variables {
    stack = "a-name-of-twenty-three-c"
  }
  expect_failures = [var.stack]
}
