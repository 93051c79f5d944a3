"""The names of a local stack's resources and the values of the templates' placeholders."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.command_lines import stack_option
from iac_ci_common.limits import DEFAULT_PLAN_DAYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_vcs.provider import HostSettings

REGION: Final = "us-east-1"
"""The only region of the local cloud."""


@dataclass(frozen=True, slots=True)
class StackNames:
    """The names of one stack in one account, as Terraform builds them."""

    stack: str
    account: str
    region: str = REGION

    def resource(self, name: str) -> str:
        """Return the name of a function, table, queue, project or state machine."""
        return f"{self.stack}-{name}"

    def bucket(self, name: str) -> str:
        """Return the name of a bucket, unique across accounts."""
        return f"{self.stack}-{name}-{self.account}-{self.region}"

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a regional resource."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def function_arn(self, name: str) -> str:
        """Return the ARN of a function by its short name."""
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
    def page_key(self) -> str:
        """Name of the parameter with the key that signs links to pages of runs."""
        return f"/iac-ci/{self.stack}/page-key"

    @property
    def connections(self) -> str:
        """Name of the parameter with the repositories that may start jobs."""
        return f"/iac-ci/{self.stack}/connections"

    @property
    def tools(self) -> str:
        """Name of the parameter with the mirrors of tools."""
        return f"/iac-ci/{self.stack}/tools"

    @property
    def sources(self) -> str:
        """Name of the parameters with what each source's jobs may use, without the part at their end."""
        return f"/iac-ci/{self.stack}/sources"

    def role_arn(self, name: str) -> str:
        """Return the ARN of a role by its short name."""
        return f"arn:aws:iam::{self.account}:role/{self.resource(name)}"


SIZES: Final = {name: f"BUILD_GENERAL1_{name.upper()}" for name in ("small", "medium", "large", "xlarge", "2xlarge")}
"""Sizes that orders may name on the local cloud, by which nothing changes: all builds have this machine."""


def placeholder_values(
    names: StackNames,
    *,
    kms_key_arn: str,
    log_level: str,
    max_parallel: int,
    page_address: str = "",
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
        "broker_function": names.resource("broker"),
        "page_function": names.resource("page"),
        "watchdog_check_arn": names.function_arn("watchdog-check"),
        "watchdog_arn": names.watchdog_arn,
        "worker_project": names.resource("worker"),
        "kms_key_arn": kms_key_arn,
        "dead_letter_queue": names.resource("dead-letters"),
        "event_bus": names.resource("runs"),
        "image_repository_arn": names.arn("ecr", f"repository/{names.stack}"),
        "webhook_secrets": json.dumps([f"ssm:{names.webhook_secret}"]),
        "secrets_prefix": "/iac-ci/jobs/",
        "secrets_manager_prefix": "iac-ci/jobs/",
        "sources": f"ssm:{names.sources}",
        "former_secret_allow_list": "{}",
        "allow_file_repositories": "true",
        "command_options": f"--local{stack_option(names.stack)}",
        "connections": f"ssm:{names.connections}",
        "code_hosts": json.dumps({host: asdict(settings) for host, settings in (code_hosts or {}).items()}),
        "max_parallel": str(max_parallel),
        "metrics_namespace": "",
        "plan_days": str(DEFAULT_PLAN_DAYS),
        "order_sizes": json.dumps(SIZES),
        "provider_mirror": "",
        "page_address": page_address,
        "page_key": f"ssm:{names.page_key}",
        "tick_rule_arn": names.arn("events", f"rule/{names.resource('tick')}"),
        # Permissions of the local cloud count at once.
        "permissions_changed_at": "1970-01-01T00:00:00Z",
    }
