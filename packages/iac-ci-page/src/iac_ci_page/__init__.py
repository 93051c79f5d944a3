"""The page of a run: read-only, for people who have a link to it."""
