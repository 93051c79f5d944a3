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

# When the policies were created or changed last: until IAM's changes have reached every service, the functions repeat
# calls that miss a permission.
resource "terraform_data" "permissions" {
  input = timestamp()
  triggers_replace = [
    local.policies, local.job_source_policies, local.target_role_lists, var.permissions_boundary_arn, var.worker_network != null,
  ]

  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_iam_role_policy" "role" {
  for_each = local.roles

  name   = each.key
  role   = aws_iam_role.role[each.key].name
  policy = local.role_policies[each.key]
}

# Optional permissions for jobs. The validations of the variables allow no character that JSON would have to escape.

# All inline policies of a role together hold 10,240 characters, a managed policy 6,144, and a role has at most 10 managed
# policies (AWS IAM User Guide, "IAM and AWS STS quotas"). White space does not count.
locals {
  managed_policy_characters = 6144
  managed_policies_per_role = 10

  target_roles_policy = local.policies["broker-target-roles"]

  # Each ARN takes its quotes and a comma, too.
  target_roles_per_policy = max(1, floor(
    (local.managed_policy_characters - length(local.target_roles_policy)) / (max(0, [for arn in var.target_role_arns : length(arn)]...) + 3)
  ))
  target_role_lists = chunklist(sort(tolist(var.target_role_arns)), local.target_roles_per_policy)
}

resource "aws_iam_policy" "target_roles" {
  for_each = { for number, arns in local.target_role_lists : format("%02d", number + 1) => arns }

  name        = "${var.stack}-target-roles-${each.key}"
  description = "Target roles that the broker of ${var.stack} assumes for orders"
  policy      = replace(local.target_roles_policy, jsonencode(["$${target_role_arn}"]), jsonencode(each.value))

  lifecycle {
    precondition {
      condition     = length(local.target_role_lists) <= local.managed_policies_per_role
      error_message = "target_role_arns do not fit: a role has at most 10 managed policies of 6,144 characters. Shorten the roles' paths, or use a second stack."
    }
  }
}

resource "aws_iam_role_policy_attachment" "target_roles" {
  for_each = aws_iam_policy.target_roles

  role       = aws_iam_role.role["broker"].name
  policy_arn = each.value.arn
}

resource "aws_iam_role_policy" "worker_network" {
  for_each = var.worker_network == null ? toset([]) : toset(["worker", "worker-build"])

  name   = "network"
  role   = aws_iam_role.role[each.key].name
  policy = local.policies["worker-network"]
}
