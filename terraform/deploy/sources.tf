# What the jobs of each source may use. All entries do not fit into one parameter (8,192 characters), so they are divided
# into 64 by the SHA-256 of the source (or of the tagged role), as iac_ci_common.grants divides them; each part has the
# entry "*".

locals {
  # Without a list of roles per source, version by version: in this one every source may use every role.
  role_grants = var.role_allow_list != null ? var.role_allow_list : { for source in ["*"] : source => ["*"] if length(var.target_role_arns) > 0 }

  # The part of each name, as two hexadecimal digits.
  part_of = {
    for name in setunion(keys(var.secret_allow_list), keys(local.role_grants), var.tagged_role_arns) :
    name => format("%02x", parseint(substr(sha256(name), 0, 2), 16) % 64)
  }

  source_parts = {
    for part in [for number in range(64) : format("%02x", number)] : part => jsonencode({
      schema_version = 1
      secrets        = { for source, patterns in var.secret_allow_list : source => patterns if source == "*" || local.part_of[source] == part }
      roles          = { for source, patterns in local.role_grants : source => patterns if source == "*" || local.part_of[source] == part }
      tagged         = [for arn in sort(tolist(var.tagged_role_arns)) : arn if local.part_of[arn] == part]
    })
  }

  # Lists that let sources without an entry of their own use everything, because they were not written per source.
  open_lists = concat(
    lookup(var.secret_allow_list, "*", null) == tolist(["*"]) ? ["secret_allow_list"] : [],
    var.role_allow_list == null && length(var.target_role_arns) > 0 ? ["target_role_arns"] : [],
  )
}

resource "aws_ssm_parameter" "sources" {
  for_each = local.source_parts

  name        = "${local.sources}/${each.key}"
  description = "Secrets and roles that the jobs of each source may use in ${var.stack}: JSON, no secrets"
  type        = "String"
  # The free standard tier holds 4,096 characters; longer lists need the advanced tier.
  tier  = "Intelligent-Tiering"
  value = each.value

  lifecycle {
    precondition {
      condition     = length(each.value) <= 8192
      error_message = "secret_allow_list and role_allow_list do not fit: one of 64 parts of them has more than 8,192 characters as JSON. Use patterns, or let repositories share the source of a connection."
    }
  }
}

check "every_source_is_named" {
  assert {
    condition     = length(local.open_lists) == 0
    error_message = "${join(" and ", local.open_lists)} ${length(local.open_lists) == 1 ? "lets" : "let"} every source without an entry of its own use everything. The next version grants nothing by default: name the sources in secret_allow_list and role_allow_list."
  }
}
