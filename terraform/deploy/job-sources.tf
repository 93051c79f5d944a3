# Buckets with code and keys of secrets that init reads for jobs. A role's inline policies hold 10,240 characters together,
# so these are in managed policies of 6,144 characters each, of which a role has at most 10 (AWS IAM User Guide, "IAM and
# AWS STS quotas"). The longest names and ARNs need 174 characters for a bucket and 103 for a key.

locals {
  code_bucket_lists = {
    for number, buckets in chunklist(sort(tolist(var.code_buckets)), 30) : format("code-buckets-%d", number + 1) => buckets
  }

  job_source_policies = merge(
    {
      for name, buckets in local.code_bucket_lists : name => replace(
        replace(
          local.policies["init-job-code-bucket"],
          jsonencode("arn:${local.partition}:s3:::$${code_bucket}/*"),
          join(",", [for bucket in buckets : jsonencode("arn:${local.partition}:s3:::${bucket}/*")]),
        ),
        jsonencode("arn:${local.partition}:s3:::$${code_bucket}"),
        join(",", [for bucket in buckets : jsonencode("arn:${local.partition}:s3:::${bucket}")]),
      )
    },
    length(var.secrets_key_arns) == 0 ? {} : {
      secrets-keys = replace(
        local.policies["init-job-secrets-key"],
        jsonencode("$${secrets_key_arn}"),
        join(",", [for arn in sort(tolist(var.secrets_key_arns)) : jsonencode(arn)]),
      )
    },
  )
}

resource "aws_iam_policy" "job_source" {
  for_each = local.job_source_policies

  name        = "${var.stack}-${each.key}"
  description = "What init of ${var.stack} reads for jobs"
  policy      = each.value
}

resource "aws_iam_role_policy_attachment" "job_source" {
  for_each = local.job_source_policies

  role       = aws_iam_role.role["init-job"].name
  policy_arn = aws_iam_policy.job_source[each.key].arn
}
