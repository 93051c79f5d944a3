"""The worker: runs an order's commands once, redacts their output and reports the result."""
