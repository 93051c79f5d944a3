"""Bitbucket Cloud, as the engine sees it."""
