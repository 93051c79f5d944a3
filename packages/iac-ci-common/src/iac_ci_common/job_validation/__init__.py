"""The one check of a job, for the webhook endpoint, the triggers and the command line: pure, no AWS, no host."""
