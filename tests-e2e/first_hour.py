"""Show what only an AWS account can: ``uv run --no-sync python tests-e2e/first_hour.py --region eu-central-1 --yes``.

tests-e2e/aws/first-hour.md says what it does, what it costs and what it leaves.
"""

from __future__ import annotations

import sys

from aws.first_hour.command import main

if __name__ == "__main__":
    sys.exit(main())
