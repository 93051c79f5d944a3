"""The names of a local stack's resources, and from them the values of the templates' placeholders."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_vcs.provider import HostSettings

REGION = "us-east-1"
"""The one region of the local cloud."""


@dataclass(frozen=True, slots=True)
class StackNames:
    """Every name of one stack in one account, made as Terraform makes them."""

    stack: str
    account: str
    region: str = REGION

    def resource(self, name: str) -> str:
        """Name a function, table, queue, project or state machine."""
        return f"{self.stack}-{name}"

    def bucket(self, name: str) -> str:
        """Name a bucket: unique over all accounts."""
        return f"{self.stack}-{name}-{self.account}-{self.region}"

    def arn(self, service: str, resource: str) -> str:
        """Build the ARN of a regional resource."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def function_arn(self, name: str) -> str:
        """Build the ARN of a function from its short name."""
        return self.arn("lambda", f"function:{self.resource(name)}")

    @property
    def watchdog_arn(self) -> str:
        """ARN of the state machine."""
        return self.arn("states", f"stateMachine:{self.resource('watchdog')}")

    @property
    def webhook_secret(self) -> str:
        """Name of the parameter with the secret that signs jobs."""
        return f"/iac-ci/{self.stack}/webhook-secret"

    @property
    def connections(self) -> str:
        """Name of the parameter with the repositories that may start jobs."""
        return f"/iac-ci/{self.stack}/connections"

    def role_arn(self, name: str) -> str:
        """Build the ARN of a role from its short name."""
        return f"arn:aws:iam::{self.account}:role/{self.resource(name)}"


def placeholder_values(
    names: StackNames,
    *,
    kms_key_arn: str,
    log_level: str,
    max_parallel: int,
    code_hosts: Mapping[str, HostSettings] | None = None,
) -> dict[str, str]:
    """Return the value of every placeholder that ``terraform/deploy/stack/README.md`` lists, for the local cloud."""
    return {
        "partition": "aws",
        "region": names.region,
        "account_id": names.account,
        "stack": names.stack,
        "log_level": log_level,
        "internal_bucket": names.bucket("internal"),
        "done_bucket": names.bucket("done"),
        "orders_table": names.resource("orders"),
        "events_table": names.resource("order-events"),
        "locks_table": names.resource("locks"),
        "init_function": names.resource("init-job"),
        "orchestrator_function": names.resource("orchestrator"),
        "watchdog_check_function": names.resource("watchdog-check"),
        "worker_function": names.resource("worker"),
        "watchdog_check_arn": names.function_arn("watchdog-check"),
        "watchdog_arn": names.watchdog_arn,
        "worker_project": names.resource("worker"),
        "kms_key_arn": kms_key_arn,
        "dead_letter_queue": names.resource("dead-letters"),
        "image_repository_arn": names.arn("ecr", f"repository/{names.stack}"),
        "webhook_secrets": json.dumps([f"ssm:{names.webhook_secret}"]),
        "secrets_prefix": "/iac-ci/jobs/",
        "secrets_manager_prefix": "iac-ci/jobs/",
        "secret_allow_list": json.dumps({"*": ["*"]}),
        "allow_file_repositories": "true",
        "connections": f"ssm:{names.connections}",
        "code_hosts": json.dumps({host: asdict(settings) for host, settings in (code_hosts or {}).items()}),
        "max_parallel": str(max_parallel),
    }
