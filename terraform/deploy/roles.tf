# One role per function, state machine, project and API, each with its own policy from stack/policies.

locals {
  roles = local.stack["roles.json"].roles

  role_policies = {
    for name, role in local.roles : name => (
      strcontains(local.policies[trimsuffix(basename(role.policy), ".json")], local.key_mark)
      ? replace(local.policies[trimsuffix(basename(role.policy), ".json")], local.key_mark, local.kms_key_arn)
      : local.policies[trimsuffix(basename(role.policy), ".json")]
    )
  }

  # Services that send the source account (each service's guide, "Cross-service confused deputy prevention").
  services_that_name_the_account = ["codebuild.amazonaws.com", "states.amazonaws.com"]
}

resource "aws_iam_role" "role" {
  for_each = local.roles

  name                 = "${var.stack}-${each.key}"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      merge(
        {
          Effect    = "Allow"
          Principal = { Service = each.value.trusted_service }
          Action    = "sts:AssumeRole"
        },
        contains(local.services_that_name_the_account, each.value.trusted_service) ? {
          Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
        } : {},
      ),
    ]
  })
}

resource "aws_iam_role_policy" "role" {
  for_each = local.roles

  name   = each.key
  role   = aws_iam_role.role[each.key].name
  policy = local.role_policies[each.key]
}

# Optional permissions for jobs. The validations of the variables allow no character that JSON would have to escape.

resource "aws_iam_role_policy" "code_bucket" {
  for_each = var.code_buckets

  name   = "code-bucket-${each.key}"
  role   = aws_iam_role.role["init-job"].name
  policy = replace(local.policies["init-job-code-bucket"], "$${code_bucket}", each.key)
}

resource "aws_iam_role_policy" "target_role" {
  for_each = var.target_role_arns

  name   = "target-role-${substr(sha256(each.key), 0, 12)}"
  role   = aws_iam_role.role["init-job"].name
  policy = replace(local.policies["init-job-target-role"], "$${target_role_arn}", each.key)
}

resource "aws_iam_role_policy" "secrets_key" {
  for_each = var.secrets_key_arns

  name   = "secrets-key-${substr(sha256(each.key), 0, 12)}"
  role   = aws_iam_role.role["init-job"].name
  policy = replace(local.policies["init-job-secrets-key"], "$${secrets_key_arn}", each.key)
}

resource "aws_iam_role_policy" "worker_network" {
  for_each = var.worker_network == null ? toset([]) : toset(["worker", "worker-build"])

  name   = "network"
  role   = aws_iam_role.role[each.key].name
  policy = local.policies["worker-network"]
}
