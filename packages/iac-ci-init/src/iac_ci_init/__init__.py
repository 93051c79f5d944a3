"""The door and the packer: verifies, validates, packages and queues a job."""
