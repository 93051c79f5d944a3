# The repository for the image of every function and of the CodeBuild project.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

resource "aws_ecr_repository" "image" {
  name                 = var.stack
  image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"
  force_delete         = var.destroy_contents

  # Deployments use the digest; `latest` is for people only.
  image_tag_mutability_exclusion_filter {
    filter      = "latest"
    filter_type = "WILDCARD"
  }

  # pipelines/deploy moves these tags to the image that a stack's functions name.
  image_tag_mutability_exclusion_filter {
    filter      = "deployed-*"
    filter_type = "WILDCARD"
  }

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
  }
}

resource "aws_ecr_lifecycle_policy" "image" {
  repository = aws_ecr_repository.image.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Remove images that lost their last tag a week ago"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = 7
        }
        action = { type = "expire" }
      },
      {
        # An image that matches a rule's tags cannot be removed by a later rule (Amazon ECR User Guide, "Automate the
        # cleanup of images by using lifecycle policies"), and no repository has so many stacks.
        rulePriority = 2
        description  = "Keep the images that functions name: an idle function needs its image to become active"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["deployed-*"]
          countType      = "imageCountMoreThan"
          countNumber    = 10000
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 3
        description  = "Keep the newest tagged images"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["*"]
          countType      = "imageCountMoreThan"
          countNumber    = var.kept_images
        }
        action = { type = "expire" }
      },
    ]
  })
}

# Lambda would add this statement itself if the deployer may change the policy; with it here, the deployer needs no such
# permission.
resource "aws_ecr_repository_policy" "image" {
  repository = aws_ecr_repository.image.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "LambdaPullsTheImage"
        Effect    = "Allow"
        Principal = { Service = "lambda.amazonaws.com" }
        Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Condition = {
          ArnLike = {
            "aws:SourceArn" = "arn:${data.aws_partition.current.partition}:lambda:${var.region}:${data.aws_caller_identity.current.account_id}:function:${var.stack}-*"
          }
        }
      },
    ]
  })
}
