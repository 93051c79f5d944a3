"""The repository's own configuration, ``.iac-ci.yml``: read, checked, and made into the orders of a job."""
