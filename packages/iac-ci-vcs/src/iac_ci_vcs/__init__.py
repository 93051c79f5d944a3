"""Code hosts, git, and what a run reports to its pull request."""
