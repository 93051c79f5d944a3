"""Orders are stopped: real Terraform keeps its state and releases its lock."""
