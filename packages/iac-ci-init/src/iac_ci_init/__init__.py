"""The webhook endpoint and the preparation: verifies, checks, packages and queues jobs."""
