"""The dependency graph: decides what runs next and dispatches it."""
