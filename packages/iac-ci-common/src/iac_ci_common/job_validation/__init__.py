"""Whether a request is a job that this stack accepts: read and checked in one place for all callers."""
