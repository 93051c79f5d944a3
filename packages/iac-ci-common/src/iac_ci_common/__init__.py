"""Models, states, keys, errors, ports and adapters that every iac-ci package shares."""
