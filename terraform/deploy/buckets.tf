# The buckets for working data and done markers. terraform/bootstrap creates the state bucket.

locals {
  own_buckets = { for name, bucket in local.buckets : name => bucket if name != "state" }
  # The days that variables set, by the name that the rules of buckets.json use.
  retention   = { log_days = var.log_days, plan_days = var.plan_days }
  bucket_arns = { for name, full in local.bucket_names : name => "arn:${local.partition}:s3:::${full}" }
}

resource "aws_s3_bucket" "bucket" {
  for_each = local.own_buckets

  bucket        = local.bucket_names[each.key]
  force_destroy = var.destroy_contents
}

# Encrypted with S3's own key: with KMS, the signer of a presigned URL would need permissions on the key.
resource "aws_s3_bucket_server_side_encryption_configuration" "bucket" {
  for_each = local.own_buckets

  bucket = aws_s3_bucket.bucket[each.key].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "bucket" {
  for_each = local.own_buckets

  bucket                  = aws_s3_bucket.bucket[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "bucket" {
  for_each = local.own_buckets

  bucket = aws_s3_bucket.bucket[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "bucket" {
  for_each = { for name, bucket in local.own_buckets : name => bucket if length(bucket.lifecycle) > 0 }

  bucket = aws_s3_bucket.bucket[each.key].id

  # One rule for each prefix, and none overlaps another: of two rules S3 takes the shorter.
  dynamic "rule" {
    for_each = [for rule in each.value.lifecycle : merge(rule, { days = rule.setting == null ? rule.days : local.retention[rule.setting] })]

    content {
      id     = rule.value.id
      status = "Enabled"

      filter {
        prefix = rule.value.prefix
      }

      expiration {
        days = rule.value.days
      }

      abort_incomplete_multipart_upload {
        days_after_initiation = 1
      }
    }
  }
}

resource "aws_s3_bucket_policy" "bucket" {
  for_each = local.own_buckets

  bucket = aws_s3_bucket.bucket[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arns[each.key], "${local.bucket_arns[each.key]}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })

  # Both change the bucket's access settings; S3 answers 409 to concurrent changes.
  depends_on = [aws_s3_bucket_public_access_block.bucket]
}

resource "aws_lambda_permission" "bucket" {
  for_each = { for name, bucket in local.own_buckets : name => bucket.notification if bucket.notification != null }

  statement_id   = "bucket-${each.key}"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.function[each.value.function].function_name
  principal      = "s3.amazonaws.com"
  source_arn     = local.bucket_arns[each.key]
  source_account = local.account_id
}

resource "aws_s3_bucket_notification" "bucket" {
  for_each = { for name, bucket in local.own_buckets : name => bucket.notification if bucket.notification != null }

  bucket = aws_s3_bucket.bucket[each.key].id

  lambda_function {
    lambda_function_arn = aws_lambda_function.function[each.value.function].arn
    events              = each.value.events
    filter_prefix       = each.value.prefix
    filter_suffix       = each.value.suffix
  }

  # S3 checks the permission when the notification is created.
  depends_on = [aws_lambda_permission.bucket]
}
