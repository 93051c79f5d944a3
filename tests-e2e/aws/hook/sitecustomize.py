"""Holds the AWS requests of a process to the service models, where the tests put this folder on ``PYTHONPATH``."""

import held_requests

held_requests.install_with_botocore()
