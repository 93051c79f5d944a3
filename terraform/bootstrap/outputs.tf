output "state_bucket" {
  description = "Name of the bucket with the Terraform states and the teardown archives."
  value       = aws_s3_bucket.state.bucket
}

output "state_bucket_arn" {
  description = "ARN of the state bucket, for the policies of deployers."
  value       = aws_s3_bucket.state.arn
}
