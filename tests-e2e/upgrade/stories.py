"""One job at several open points: how each is reached, and how its run must end."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from upgrade.cloud import Cloud
from upgrade.playing import Player, failure_record

WEBHOOK_SECRET = "the webhook secret of the recordings"
TOKEN = "a-secret-value"
COMMIT = "c" * 40

_START = 'echo "$ORDER" >> "$STARTS"'
_SECRET = f'test "$TOKEN" = "{TOKEN}"'


def _order(name: str, *cmds: str, **fields: Any) -> dict[str, Any]:
    return {
        "order_name": name,
        "cmds": [_START, *cmds],
        "timeout": 300,
        "env_vars": {"ORDER": name},
        "s3_location": "s3://theirs/code.zip",
        **fields,
    }


JOB: dict[str, Any] = {
    "username": "tests",
    "flow_label": "upgrade",
    "job_timeout": 3600,
    "git_repo": "https://git.example/acme/infra",
    "commit_hash": COMMIT,
    "pr_number": 7,
    "git_token_location": "ssm:/iac-ci/jobs/tokens/git",
    "commit_status": True,
    "orders": [
        _order("on-lambda", _SECRET, "test -f main.tf", secrets={"TOKEN": "ssm:/iac-ci/jobs/token"}),
        _order(
            "in-a-build",
            _SECRET,
            "echo 'Plan: 1 to add, 2 to change, 3 to destroy.'",
            timeout=1200,
            execution_target="codebuild",
            secrets={"TOKEN": "ssm:/iac-ci/jobs/token"},
            sops_key="ssm:/iac-ci/jobs/age",
        ),
        _order("may-fail", "exit 3", must_succeed=False),
        _order("after-all", dependencies=["on-lambda", "in-a-build", "may-fail"]),
    ],
}

ALL_WELL = {"on-lambda": "succeeded", "in-a-build": "succeeded", "may-fail": "failed", "after-all": "succeeded"}
ONE_DIED = ALL_WELL | {"on-lambda": "failed", "after-all": "skipped"}


@dataclass(frozen=True)
class Story:
    """``reach`` plays until the open point; ``orders`` and ``run`` are the ends that must follow."""

    reach: Callable[[Cloud, Player], None]
    orders: dict[str, str]
    run: str = "succeeded"


def prepare(cloud: Cloud, age_identity: str) -> None:
    """Put what the job names into the account."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("main.tf", "# nothing\n")
    cloud.client("s3").put_object(Bucket="theirs", Key="code.zip", Body=archive.getvalue())
    for name, value in {
        "/iac-ci/acme/webhook-secret": WEBHOOK_SECRET,
        "/iac-ci/jobs/token": TOKEN,
        "/iac-ci/jobs/tokens/git": "the-token-of-the-code-host",
        "/iac-ci/jobs/age": age_identity,
    }.items():
        cloud.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString")


def submit(cloud: Cloud, player: Player) -> None:
    """Send the job, signed."""
    from iac_ci_common.signature import HEADER, sign

    body = json.dumps(JOB)
    headers = {HEADER: sign(WEBHOOK_SECRET, body.encode(), cloud.now), "Idempotency-Key": "a-recorded-key"}
    said = player.version.call("init", {"body": body, "headers": headers})
    assert said.get("answer", {}).get("statusCode") == 202, (said, player.version.log())


def _steps_until(player: Player, what: Callable[[dict[str, Any]], bool]) -> None:
    """Play until the next thing due is ``what``, which stays due."""
    cloud = player.cloud
    for _ in range(50):
        if any(what(due) for due in cloud.due[:]) and what(min(cloud.due, key=lambda due: due["at"])):
            return
        player.step()
    raise AssertionError("the open point was not reached")


def _is_call(function: str) -> Callable[[dict[str, Any]], bool]:
    return lambda due: due["kind"] == "call" and due["function"] == function


def _hold_results(player: Player, *order_nums: str) -> None:
    """Play until these orders' workers have written their results, and keep those on their way."""
    cloud = player.cloud
    cloud.hold_results_of = frozenset(order_nums)
    for _ in range(50):
        if sum(due["kind"] == "put" for due in cloud.due) == len(order_nums):
            break
        player.step()
    else:
        raise AssertionError("the open point was not reached")
    cloud.hold_results_of = frozenset()
    # A build ends after its result has arrived.
    for build_id in cloud.builds:
        cloud.builds[build_id] = "IN_PROGRESS"


def accepted(cloud: Cloud, player: Player) -> None:
    submit(cloud, player)


def queued(cloud: Cloud, player: Player) -> None:
    submit(cloud, player)
    _steps_until(player, _is_call("orchestrator"))


def dispatching(cloud: Cloud, player: Player) -> None:
    """Its holder dies with the lock in its hand, before the worker's call is accepted."""
    queued(cloud, player)

    def die(function: str) -> None:
        player.version.stop_from_outside()

    cloud.on_invoke = die
    player.step()
    cloud.on_invoke = lambda function: None
    # The call never arrived; Lambda calls the orchestrator again after a minute.
    cloud.due[:] = [due for due in cloud.due if not _is_call("worker")(due)]


def handed_over(cloud: Cloud, player: Player) -> None:
    """Workers and builds were asked for, and none has begun."""
    queued(cloud, player)
    player.step()


def running(cloud: Cloud, player: Player) -> None:
    """Both kinds of workers have claimed their orders and run; their results are on their way."""
    queued(cloud, player)
    _hold_results(player, "0001", "0002")


def worker_died(cloud: Cloud, player: Player) -> None:
    """A worker that had claimed its order is gone, and Lambda has yet to say so."""
    handed_over(cloud, player)
    works = [due["event"] for due in cloud.due if _is_call("worker")(due)]
    (work,) = [event for event in works if event["order_num"] == "0001"]
    _hold_results(player, "0001", "0002")
    cloud.due[:] = [due for due in cloud.due if not (due["kind"] == "put" and "/0001/" in due["key"])]
    cloud.after(30, "call", function="watchdog", event=failure_record(work, "Runtime.ExitError"), tries=0)


def half_ended(cloud: Cloud, player: Player) -> None:
    """Some orders have ended, and the comment says so; the last is yet to be dispatched."""
    queued(cloud, player)
    _hold_results(player, "0002")
    while any(due["kind"] == "call" for due in cloud.due):
        player.step()


STORIES = {
    "accepted": Story(accepted, ALL_WELL),
    "queued": Story(queued, ALL_WELL),
    "dispatching": Story(dispatching, ALL_WELL),
    "handed-over": Story(handed_over, ALL_WELL),
    "running": Story(running, ALL_WELL),
    "worker-died": Story(worker_died, ONE_DIED, "failed"),
    "half-ended": Story(half_ended, ALL_WELL),
}
