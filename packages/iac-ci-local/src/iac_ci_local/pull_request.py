"""Starts a local cloud and a code host, and opens a pull request that the engine reacts to."""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.clock import SystemClock
from iac_ci_common.errors import IacCiError
from iac_ci_common.locations import parse_location
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.example import BASE_FOLDER, CHANGE_FOLDER, check_example
from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, Demo
from iac_ci_local.seed_secrets import SeedSecret, read_secrets, seed
from iac_ci_triggers.dynamo_ledgers import DynamoLedgers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOKEN: Final = "ssm:/iac-ci/jobs/tokens/demo"  # noqa: S105 - a location, not a token
_START_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.1
_NOTICE: Final = "iac-ci:notice:"
"""Part of the hidden line of standing notices: a note that an event has arrived is no refusal."""

_HIDDEN: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\([^\w\s])\u200b?")


class NoRunStarted(IacCiError):
    """The pull request started no run; the message has the engine's reason."""


@dataclass(frozen=True, slots=True)
class OpenedPullRequest:
    """The running demonstration: the cloud, and the code host with its pull request."""

    cloud: LocalCloud
    demo: Demo

    def first_run(self) -> str:
        """Wait for the run that the opened pull request starts, and return its id.

        Raises ``NoRunStarted`` with the engine's reason as soon as it refuses, or after five minutes.
        """
        names = self.cloud.stack.names
        ledgers = DynamoLedgers(self.cloud.aws.client("dynamodb"), names.resource("locks"), SystemClock())
        repository = f"{self.demo.host.address}/{self.demo.project.full_name}".lower()
        key = keys.pull_request_ledger(repository, NUMBER)

        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            self.cloud.aws.check_alive()
            # Read before the ledger: the engine enters a run into the ledger before it reports on it.
            refusal = self._refusal()
            ledger = ledgers.read(key)
            if ledger is not None and ledger.runs:
                return ledger.runs[0].run_id
            if refusal is not None:
                raise NoRunStarted(f"the pull request started no run: {refusal}")
            time.sleep(_POLL_SECONDS)
        raise NoRunStarted(
            f"the pull request started no run within {_START_SECONDS} s, and the engine gave no reason; "
            f"with --log-level INFO the end of the functions' log is:\n{self.cloud.aws.log_tail()}"
        )

    def _refusal(self) -> str | None:
        """Return the engine's reason not to start a run, as far as the code host has it; None without one."""
        for delivery in self.demo.deliveries.done:
            if delivery.status is None and delivery.answer.endswith(TimeoutError.__name__):
                # A slow endpoint takes the event all the same; what became of it is in the ledger or a notice.
                continue
            if delivery.status is None or delivery.status >= 300:
                return f"the webhook answered {delivery.status or 'nothing'}: {delivery.answer}"
        for comment in self.demo.project.comments(NUMBER):
            if comment.author == ENGINE and _NOTICE in comment.body:
                return _ESCAPED.sub(r"\1", _HIDDEN.sub("", comment.body)).strip()
        head = self.demo.project.repository.head("change")
        for status in self.demo.project.statuses(head):
            if status.state in {"failure", "error"}:
                return f"{status.context}: {status.description or status.state}"
        return None


@contextmanager
def opened_pull_request(
    example: Path, folder: Path, *, stack: str, log_level: str, kind: str = "github"
) -> Iterator[OpenedPullRequest]:
    """Start both, connect them and open the pull request; end both afterwards.

    The code host behaves like ``kind``; its repository is created below ``folder``. Raises ``InputProblems`` before
    anything is started if the example or its secrets are invalid.
    """
    check_example(example)
    secrets = read_secrets(example)
    with (
        Demo(folder, base=example / BASE_FOLDER, change=example / CHANGE_FOLDER, kind=kind) as demo,
        LocalCloud(stack_name=stack, log_level=log_level, announced=True, code_hosts=demo.code_hosts) as cloud,
    ):
        webhook_secret = f"ssm:/iac-ci/{stack}/webhook-secret-demo"
        seed(
            cloud,
            [
                *secrets,
                SeedSecret(parse_location(_TOKEN), False, demo.token),
                SeedSecret(parse_location(webhook_secret), False, demo.webhook_secret),
            ],
        )
        repository = f"https://{demo.host.address}/{demo.project.full_name}"
        connection = {
            "repositories": [repository],
            "webhook_secrets": [webhook_secret],
            "token_location": _TOKEN,
        }
        cloud.connect(json.dumps([connection]))
        demo.open_pull_request(cloud.stack.webhook_url)
        yield OpenedPullRequest(cloud, demo)
