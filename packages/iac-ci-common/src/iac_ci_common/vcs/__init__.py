"""Code hosts and git."""
