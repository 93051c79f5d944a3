"""What must be so right after a deployment, on AWS and on the local cloud alike."""
