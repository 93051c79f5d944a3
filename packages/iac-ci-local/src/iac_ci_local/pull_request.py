"""A local cloud and a code host side by side: a pull request is opened, and the engine takes part in it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.clock import SystemClock
from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.locations import parse_location
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.fake_github.demo import NUMBER, Demo
from iac_ci_local.ministack import LocalCloudError
from iac_ci_local.seed_secrets import SeedSecret, plant, read_secrets
from iac_ci_triggers.dynamo_ledgers import DynamoLedgers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE_FOLDER: Final = "base"
CHANGE_FOLDER: Final = "change"
_TOKEN: Final = "ssm:/iac-ci/jobs/tokens/demo"  # noqa: S105 - a place, not a token
_STARTED_SECONDS: Final = 300
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class OpenedPullRequest:
    """The running demonstration: the cloud, the code host, and the pull request on it."""

    cloud: LocalCloud
    stand: Demo

    def first_run(self) -> str:
        """Wait for the run that opening the pull request started, and give its id; raise ``LocalCloudError`` if none.

        Anybody may start more by a comment: those are later ones.
        """
        names = self.cloud.stack.names
        ledgers = DynamoLedgers(self.cloud.aws.client("dynamodb"), names.resource("locks"), SystemClock())
        project = self.stand.project
        repository = f"{self.stand.host.address}/{project.full_name}".lower()
        key = keys.pull_request_ledger(repository, NUMBER)

        until = time.monotonic() + _STARTED_SECONDS
        while time.monotonic() < until:
            self.cloud.aws.check_alive()
            ledger = ledgers.read(key)
            if ledger is not None and ledger.runs:
                return ledger.runs[0].run_id
            time.sleep(_LOOK_SECONDS)
        raise LocalCloudError(f"the pull request started no run; {self.stand.page} shows what was said of it")


@contextmanager
def opened_pull_request(example: Path, folder: Path, *, stack: str, log_level: str) -> Iterator[OpenedPullRequest]:
    """Start both, connect them, and open the pull request; raise ``InputProblems`` where the example is none.

    The code host's repository is kept below ``folder``.
    """
    missing = [
        Problem(str(example), f"has no folder {name}")
        for name in (BASE_FOLDER, CHANGE_FOLDER)
        if not (example / name).is_dir()
    ]
    if missing:
        raise InputProblems(missing)
    secrets = read_secrets(example)
    with (
        Demo(folder, base=example / BASE_FOLDER, change=example / CHANGE_FOLDER) as stand,
        LocalCloud(stack_name=stack, log_level=log_level, announced=True, code_hosts=stand.code_hosts) as cloud,
    ):
        webhook_secret = f"ssm:/iac-ci/{stack}/webhook-secret-demo"
        plant(
            cloud,
            [
                *secrets,
                SeedSecret(parse_location(_TOKEN), False, stand.token),
                SeedSecret(parse_location(webhook_secret), False, stand.webhook_secret),
            ],
        )
        repository = f"https://{stand.host.address}/{stand.project.full_name}"
        connection = {
            "repositories": [repository],
            "webhook_secrets": [webhook_secret],
            "token_location": _TOKEN,
        }
        cloud.connect(json.dumps([connection]))
        stand.open_pull_request(cloud.stack.webhook_url)
        yield OpenedPullRequest(cloud, stand)
