"""The check of a job, for the webhook endpoint, the triggers and the command line: pure, without AWS or code host."""
