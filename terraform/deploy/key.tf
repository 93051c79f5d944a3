# The key that encrypts the secrets of runs and the alarm topic.

locals {
  kms_key_arn = var.kms_key_arn != null ? var.kms_key_arn : aws_kms_key.runs[0].arn
}

resource "aws_kms_key" "runs" {
  count = var.kms_key_arn == null ? 1 : 0

  description             = "Encrypts the secrets of ${var.stack}'s runs"
  enable_key_rotation     = true
  deletion_window_in_days = 7

  # In a key policy, "*" means this key (AWS KMS Developer Guide, "Key policies in AWS KMS").
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "IamDecides"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "AlarmsReachTheTopic"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
      },
    ]
  })
}

resource "aws_kms_alias" "runs" {
  count = var.kms_key_arn == null ? 1 : 0

  name          = "alias/${var.stack}-runs"
  target_key_id = aws_kms_key.runs[0].key_id
}
