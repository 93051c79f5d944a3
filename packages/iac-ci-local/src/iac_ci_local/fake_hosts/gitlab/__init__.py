"""GitLab, as the engine sees it."""
