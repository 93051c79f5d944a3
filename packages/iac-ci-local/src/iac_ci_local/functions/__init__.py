"""Lambda of the local cloud where it is kinder than AWS: sandboxes, states of functions, and the concurrency limit."""
