"""The orchestrator: decides from the dependency graph which orders run next and dispatches them."""
