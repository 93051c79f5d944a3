"""CodeBuild of the local cloud: runs builds in the way that AWS runs them."""
