output "repository_name" {
  description = "Name of the repository."
  value       = aws_ecr_repository.image.name
}

output "repository_url" {
  description = "Address of the repository, without a tag or digest: what pipelines/build pushes to."
  value       = aws_ecr_repository.image.repository_url
}

output "repository_arn" {
  description = "ARN of the repository, for the policy of whoever builds."
  value       = aws_ecr_repository.image.arn
}
