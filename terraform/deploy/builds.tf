# The CodeBuild worker, for orders that do not fit into a Lambda function.

resource "aws_cloudwatch_log_group" "build" {
  for_each = local.stack["builds.json"].projects

  name              = "/aws/codebuild/${var.stack}-${each.key}"
  retention_in_days = var.log_retention_days
}

resource "aws_codebuild_project" "project" {
  for_each = local.stack["builds.json"].projects

  name           = "${var.stack}-${each.key}"
  description    = each.value.description
  service_role   = aws_iam_role.role[each.value.role].arn
  build_timeout  = each.value.timeout_minutes
  queued_timeout = each.value.queued_timeout_minutes

  concurrent_build_limit = var.build_concurrency

  artifacts {
    type = "NO_ARTIFACTS"
  }

  environment {
    compute_type                = coalesce(var.build_compute_type, each.value.compute_type)
    type                        = var.architecture == "arm64" ? "ARM_CONTAINER" : each.value.environment_type
    image                       = local.build_image_uri
    image_pull_credentials_type = "SERVICE_ROLE"
    privileged_mode             = each.value.privileged

    dynamic "environment_variable" {
      for_each = each.value.environment
      content {
        name  = environment_variable.key
        value = environment_variable.value
      }
    }
  }

  source {
    type      = "NO_SOURCE"
    buildspec = jsonencode(each.value.buildspec)
  }

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.build[each.key].name
    }
  }

  dynamic "vpc_config" {
    for_each = var.worker_network == null ? [] : [var.worker_network]
    content {
      vpc_id             = vpc_config.value.vpc_id
      subnets            = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  depends_on = [aws_iam_role_policy.role, aws_iam_role_policy.worker_network]
}
