"""A stand-in for the provider hashicorp/aws: its schema is the real one's, its resources are made up."""
