"""Broken Terraform: for each feature, changes to the sources that together break every one of its scenarios."""

from __future__ import annotations

from typing import Final, NamedTuple


class Change(NamedTuple):
    """A text that stands in a file once, and what is put in its place."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A feature and the changes that must turn all of it red."""

    stage: str
    feature: str
    changes: tuple[Change, ...]


def without(file: str, resource: str, key: str, instances: str) -> Change:
    """Leave one instance of a resource out."""
    return Change(
        file,
        f"{resource} {{\n  for_each = {instances}\n",
        f'{resource} {{\n  for_each = {{ for name, it in {instances} : name => it if name != "{key}" }}\n',
    )


def twice(resource: str) -> Change:
    """Make two of a resource, so that neither belongs to the bucket alone."""
    header = f'resource "{resource}" "state" {{\n'
    return Change("state-bucket.tf", header, f"{header}  count  = 2\n")


_ENCRYPTION: Final = 'resource "aws_s3_bucket_server_side_encryption_configuration" "bucket"'
_PUBLIC: Final = 'resource "aws_s3_bucket_public_access_block" "bucket"'
_POLICY: Final = 'resource "aws_s3_bucket_policy" "bucket"'
_LIFECYCLE: Final = 'resource "aws_s3_bucket_lifecycle_configuration" "bucket"'
_RECURSION: Final = 'resource "aws_lambda_function_recursion_config" "function"'
_WITH_RECURSION: Final = "contains(local.without_recursion_setting, var.region) ? {} : local.functions"
_ASYNCHRONOUS: Final = 'resource "aws_lambda_function_event_invoke_config" "function"'
_WAYS: Final = (
    "block_public_acls       ",
    "block_public_policy     ",
    "ignore_public_acls      ",
    "restrict_public_buckets ",
)
_UNSEAL: Final = """"UnsealForOneSourceAndRun",
      "Effect": "Allow",
      "Action": [
        "%s"
"""
_RUN_CONDITION: Final = """"kms:EncryptionContext:iac-ci-source": "*",
          "kms:EncryptionContext:iac-ci-run": "*"
"""
_TRADE: Final = """[
        "arn:${partition}:lambda:${region}:${account_id}:function:${broker_function}"
      ]"""
_PLAIN: Final = '"aws:SecureTransport" = "false"'
_NOT_PLAIN: Final = '"aws:SecureTransport" = "true"'

MUTANTS: Final = (
    Mutant(
        "deploy",
        "encryption",
        (
            without("buckets.tf", _ENCRYPTION, "done", "local.own_buckets"),
            Change("buckets.tf", 'sse_algorithm = "AES256"', 'sse_algorithm = "none"'),
            Change(
                "tables.tf",
                "server_side_encryption {\n    enabled = true",
                "server_side_encryption {\n    enabled = false",
            ),
            Change("functions.tf", "sqs_managed_sse_enabled   = true", "sqs_managed_sse_enabled   = false"),
            Change("alarms.tf", "  kms_master_key_id = local.kms_key_arn\n", ""),
            Change("key.tf", "enable_key_rotation     = true", "enable_key_rotation     = false"),
            Change("webhook-secret.tf", '"SecureString"', '"String"'),
        ),
    ),
    Mutant(
        "deploy",
        "transport",
        (
            without("buckets.tf", _POLICY, "done", "local.own_buckets"),
            Change("buckets.tf", _PLAIN, _NOT_PLAIN),
            Change("functions.tf", _PLAIN, _NOT_PLAIN),
            Change("alarms.tf", _PLAIN, _NOT_PLAIN),
        ),
    ),
    Mutant(
        "deploy",
        "public_access",
        (
            without("buckets.tf", _PUBLIC, "done", "local.own_buckets"),
            *(Change("buckets.tf", f"{way}= true", f"{way}= false") for way in _WAYS),
            Change("buckets.tf", '"BucketOwnerEnforced"', '"ObjectWriter"'),
            Change("buckets.tf", 'Effect    = "Deny"', 'Effect    = "Allow"'),
            Change("functions.tf", 'Effect    = "Deny"', 'Effect    = "Allow"'),
            Change("alarms.tf", 'Effect    = "Deny"', 'Effect    = "Allow"'),
            Change(
                "key.tf",
                'Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }',
                'Principal = "*"',
            ),
            Change("buckets.tf", "  source_arn     = local.bucket_arns[each.key]\n", ""),
            Change("buckets.tf", "  source_account = local.account_id\n", ""),
        ),
    ),
    Mutant(
        "deploy",
        "forgetting",
        (
            Change("tables.tf", "attribute_name = each.value.ttl_attribute", 'attribute_name = "ttl"'),
            Change("tables.tf", "ttl {\n    enabled        = true", "ttl {\n    enabled        = false"),
            Change(
                "buckets.tf", "name => bucket if length(bucket.lifecycle) > 0 }", 'name => bucket if name != "done" }'
            ),
            Change("buckets.tf", 'status = "Enabled"', 'status = "Disabled"'),
            Change("buckets.tf", "        days = rule.value.days", "        days = 7"),
            Change("buckets.tf", "days_after_initiation = 1", "days_after_initiation = 7"),
            Change("functions.tf", "14 * 24 * 3600", "4 * 24 * 3600"),
        ),
    ),
    Mutant(
        "deploy",
        "least_privilege",
        (
            Change("roles.tf", "Principal = { Service = each.value.trusted_service }", 'Principal = { AWS = "*" }'),
            Change("stack/policies/broker.json", _UNSEAL % "kms:Decrypt", _UNSEAL % "kms:*"),
            Change("stack/policies/worker.json", _TRADE, '"*"'),
            Change("stack/policies/orchestrator.json", "${done_bucket}/*/done", "*"),
            Change("stack/policies/broker.json", _RUN_CONDITION, '"kms:EncryptionContext:iac-ci-source": "*"\n'),
            Change("api.tf", "service-role/AmazonAPIGatewayPushToCloudWatchLogs", "AdministratorAccess"),
            Change("builds.tf", "each.value.privileged", "true"),
        ),
    ),
    Mutant(
        "deploy",
        "log_retention",
        (
            Change(
                "api.tf",
                '}-webhook"\n  retention_in_days = var.log_retention_days',
                '}-webhook"\n  retention_in_days = 0',
            ),
            Change(
                "functions.tf",
                "log_group  = aws_cloudwatch_log_group.function[each.key].name",
                'log_group = "/elsewhere"',
            ),
            Change(
                "builds.tf", "group_name = aws_cloudwatch_log_group.build[each.key].name", 'group_name = "/elsewhere"'
            ),
            Change("watchdog.tf", "include_execution_data = false", "include_execution_data = true"),
            Change("api.tf", '      request_id        = "$context.requestId"\n', ""),
            Change("api.tf", "data_trace_enabled     = false", "data_trace_enabled     = true"),
        ),
    ),
    Mutant(
        "deploy", "worker_retries", (Change("functions.tf", "each.value.asynchronous.maximum_retry_attempts", "2"),)
    ),
    Mutant(
        "deploy",
        "recursion",
        (
            without("functions.tf", _RECURSION, "worker", _WITH_RECURSION),
            Change("functions.tf", "recursive_loop = each.value.recursive_loop", 'recursive_loop = "Terminate"'),
        ),
    ),
    Mutant(
        "deploy",
        "image_digest",
        (
            Change("functions.tf", "= var.image_uri", '= "${split("@", var.image_uri)[0]}:latest"'),
            Change("builds.tf", "= local.build_image_uri", '= "${split("@", var.image_uri)[0]}:latest"'),
        ),
    ),
    Mutant(
        "deploy",
        "dead_letters",
        (
            without("functions.tf", _ASYNCHRONOUS, "worker", "local.functions"),
            # Everything that fails for good is handed to a worker.
            Change("functions.tf", 'contains(keys(each.value.asynchronous.on_failure), "function")', "true"),
            Change("functions.tf", "local.function_arns[try(", 'local.function_arns[true ? "worker" : try('),
            Change("alarms.tf", 'QueueName = "${var.stack}-dead-letters"', 'QueueName = "another"'),
        ),
    ),
    Mutant(
        "bootstrap",
        "state_bucket",
        (
            *(
                twice(f"aws_s3_bucket_{guard}")
                for guard in (
                    "versioning",
                    "server_side_encryption_configuration",
                    "public_access_block",
                    "ownership_controls",
                    "lifecycle_configuration",
                    "policy",
                )
            ),
            Change("state-bucket.tf", '"aws:kms"', '"AES256"'),
            Change("state-bucket.tf", 'Effect    = "Deny"', 'Effect    = "Allow"'),
            *(Change("state-bucket.tf", f"{way}= true", f"{way}= false") for way in _WAYS),
            Change(
                "state-bucket.tf",
                'versioning_configuration {\n    status = "Enabled"',
                'versioning_configuration {\n    status = "Suspended"',
            ),
            Change("state-bucket.tf", "noncurrent_days = var.old_state_days", "noncurrent_days = 1"),
            Change("state-bucket.tf", "    filter {}\n", "    filter {}\n    expiration {\n      days = 365\n    }\n"),
        ),
    ),
    Mutant(
        "ecr",
        "repository",
        (
            Change("repository.tf", 'encryption_type = "KMS"', 'encryption_type = "AES256"'),
            Change("repository.tf", "scan_on_push = true", "scan_on_push = false"),
            Change("repository.tf", '"IMMUTABLE_WITH_EXCLUSION"', '"MUTABLE_WITH_EXCLUSION"'),
            Change("repository.tf", 'filter      = "latest"', 'filter      = "*"'),
            Change("repository.tf", "= var.kept_images", "= 1"),
            Change("repository.tf", 'Principal = { Service = "lambda.amazonaws.com" }', 'Principal = "*"'),
            Change("repository.tf", '"ecr:GetDownloadUrlForLayer"]', '"ecr:*"]'),
        ),
    ),
)
