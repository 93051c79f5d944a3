"""Plans that one order saves and another applies, with real Terraform."""
