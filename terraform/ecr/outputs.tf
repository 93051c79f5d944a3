output "repository_name" {
  description = "Name of the repository."
  value       = aws_ecr_repository.image.name
}

output "repository_url" {
  description = "URL of the repository, without a tag or digest; pipelines/build pushes to it."
  value       = aws_ecr_repository.image.repository_url
}

output "repository_arn" {
  description = "ARN of the repository, for the policies of builders."
  value       = aws_ecr_repository.image.arn
}
