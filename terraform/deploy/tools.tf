# Where the versions of tools that orders ask for are fetched. A change takes effect without a new deployment of the
# functions.

resource "aws_ssm_parameter" "tools" {
  name        = "/iac-ci/${var.stack}/tools"
  description = "Mirrors of tools for ${var.stack}, and whether builds have an image of their own: JSON, no secrets"
  type        = "String"
  value = jsonencode({
    sources               = { for tool, source in var.tool_sources : tool => { for name, text in source : name => text if text != null } }
    builds_have_own_image = local.build_image_uri != var.image_uri
  })
}
