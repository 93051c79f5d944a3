"""GitHub, as the engine sees it."""
