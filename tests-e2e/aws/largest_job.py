"""The largest legal job, and what the engine makes of it: rows, transactions, events, URLs, keys, names, variables."""

from __future__ import annotations

import base64
import json
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from aws.limits import LIMITS, Measure, measure
from iac_ci_common import keys, limits
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.rows import item
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.execution_life import build_minutes, build_seconds
from iac_ci_common.groups import MAX_ENTRIES, MAX_SERIES, Wanted, ask, new_group
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.event import Event
from iac_ci_common.models.group import Begun, Group
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.trade import TicketChain
from iac_ci_common.models.watch import KnownRows, Watch, WatchAnswer
from iac_ci_common.models.work import BuildOrder, Work
from iac_ci_common.ports import Transition
from iac_ci_common.run_events import accepted_event
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, order_row, stored_job
from iac_ci_common.work_urls import invocation_urls
from iac_ci_watchdog.act import MAX_KNOWN_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iac_ci_common.models.rows import RunRow

NAME: Final = "a" * 128
WIDE: Final = "\U0001f600"
"""A character of four bytes in UTF-8."""

TOKEN_CHARS: Final = 1400
"""Longest token of a session that was observed."""

BUCKET: Final = "b" * 63
DISPATCH: Final = "9" * 16
_GIT: Final = "https://git.example.com/acme/"

ORDER: Final[Mapping[str, Any]] = {
    "order_name": NAME,
    "queue_id": "b" * 128,
    "cmds": [WIDE * limits.MAX_COMMAND_CHARS],
    "timeout": limits.MAX_CODEBUILD_ORDER_SECONDS,
    "stop_grace": limits.MAX_STOP_GRACE_SECONDS,
    "execution_target": "codebuild",
    "size": "s" * 32,
    "tools": dict.fromkeys(("terraform", "opentofu", "terragrunt"), "1." + "9" * 9),
    "git_repo": _GIT + "r" * (1024 - len(_GIT)),
    "git_folder": "f" * 1024,
    "commit_hash": "c" * 64,
    "merge_into": "d" * 64,
    "merge_commit": "e" * 64,
    "env_vars": {f"A{number:0127d}": "v" * 3900 for number in range(256)},
    "ssm_paths": ["/iac-ci/jobs/" + "p" * 998] * 64,
    "secret_manager_paths": ["iac-ci/jobs/" + "s" * 500] * 64,
    "secrets": {
        f"S{number:0127d}": "secretsmanager:iac-ci/jobs/" + "s" * 500 + "#" + "k" * 256 for number in range(256)
    },
    "git_credentials": [f"{_GIT}{number:0100d}" for number in range(limits.MAX_GIT_CREDENTIALS)],
    "registries": {
        f"r{number:02d}.{'h' * 60}.example": "ssm:/iac-ci/jobs/" + "r" * 998 for number in range(limits.MAX_REGISTRIES)
    },
    "assume_role": "arn:aws-us-gov:iam::123456789012:role/" + "r" * 512,
    "credentials": "endpoint",
    "sops_key": "ssm:/iac-ci/jobs/" + "k" * 998,
    "must_succeed": False,
    "verbatim": [f"A{number:0127d}" for number in range(256)],
    "save": ["s" * 1024] * limits.MAX_FILE_PATTERNS,
    "restore": [],
    "plan": {"file": "s" * 1024, "tool": "terraform", "workspace": WIDE * 1024},
    "keep_on_failure": ["k" * 1024] * limits.MAX_FILE_PATTERNS,
    "concurrency": {"group": "g" * 128, "queue": "newest", "shared": False},
    "dependencies": [],
    "when": {},
    "idempotent": True,
    # Of the time of a run, two attempts of this length take the most.
    "retry": {"attempts": 2, "on": list(range(1, limits.MAX_EXIT_CODES + 1))},
}
"""The largest legal value of each field of an order, but for the fields that exclude one another."""

JOB: Final[Mapping[str, Any]] = {
    "username": NAME,
    "flow_label": NAME,
    "git_repo": _GIT + "r" * (1024 - len(_GIT)),
    "commit_hash": "c" * 64,
    "git_token_location": "ssm:/iac-ci/jobs/tokens/" + "t" * 991,
    "git_ssh_key_location": "ssm:/iac-ci/jobs/tokens/" + "t" * 991,
    "pr_number": 2**31 - 1,
    "issue_number": 2**31 - 1,
    "pr_comment_search_tag": WIDE * 1024,
    "commit_status": True,
    "order_statuses": False,
    "presign_expiry": limits.MAX_PRESIGN_SECONDS,
    "job_timeout": limits.MAX_JOB_SECONDS,
    "max_parallel": limits.MAX_ORDERS,
    "mask": {"also": [WIDE * 1024] * 256, "never": [WIDE * 1024] * 256},
    # A job whose orders name groups names none.
    "concurrency": None,
    "orders": [],
}
"""The largest legal value of each field of a job."""

TOO_LARGE: Final[Mapping[str, tuple[Any, str]]] = {
    "orders[0].order_name": ("a" * 129, "1 to 128"),
    "orders[0].queue_id": ("a" * 129, "1 to 128"),
    "orders[0].cmds[0]": ("c" * 16_385, "16384"),
    "orders[0].timeout": (limits.MAX_CODEBUILD_ORDER_SECONDS + 1, "28800"),
    "orders[0].stop_grace": (limits.MAX_STOP_GRACE_SECONDS + 1, "1800"),
    "orders[0].git_folder": ("f" * 1025, "1024"),
    "orders[0].env_vars": ({f"A{number:0127d}": "v" * 4000 for number in range(256)}, "1048576"),
    "orders[0].ssm_paths[0]": ("/" + "p" * 1011, "1011"),
    "orders[0].s3_location": ("s3://code/" + "\u00e9" * 513, "1024"),
    "orders[0].secret_manager_paths[0]": ("s" * 513, "not a valid name"),
    "orders[0].assume_role": ("arn:aws:iam::123456789012:role/" + "r" * 513, ""),
    "username": ("a" * 129, "1 to 128"),
    "flow_label": ("a" * 129, "1 to 128"),
    "pr_comment_search_tag": ("t" * 1025, "1024"),
    "job_timeout": (86_401, "86400"),
    "presign_expiry": (604_801, "604800"),
    "max_parallel": (1001, "1000"),
}
"""A value beyond the largest, by its place, and what the answer names."""


class Requests:
    """Keeps the requests that an adapter makes, in the place of a client."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        """Keep a transaction."""
        self.made.append(request)
        return {}


def measures() -> Iterator[Measure]:
    """Measure what the engine stores, sends and names."""
    yield from _rows()
    yield from _keys()
    yield from _urls_and_payloads()
    yield from _watchdog()
    yield measure("kernel_string", "a command of an order", len((WIDE * limits.MAX_COMMAND_CHARS).encode()) + 1)
    yield measure(
        "kernel_string", "a variable of an order", 128 + 1 + len((WIDE * limits.MAX_COMMAND_CHARS).encode()) + 1
    )
    yield measure("kernel_string", "a secret of Secrets Manager", 128 + 1 + LIMITS["secrets_manager_value"].number + 1)
    yield measure("kernel_variables", "env_vars of an order", limits.MAX_VARIABLE_BYTES)
    yield measure("kms_plaintext", "the data key of sealed secrets", 32)


def item_bytes(value: Any) -> int:
    """Return the size of an item or of a value in DynamoDB's format (Developer Guide, "Item sizes and formats")."""
    size = 0
    for name, typed in value.items():
        ((kind, content),) = typed.items()
        size += len(name.encode())
        match kind:
            case "S":
                size += len(content.encode())
            case "N":
                size += len(content) // 2 + 2
            case "L":
                size += 3 + sum(1 + item_bytes({"": entry}) for entry in content)
            case "M":
                size += 3 + len(content) + item_bytes(content)
            case _:
                size += 1
    return size


def _largest_order(number: int) -> Any:
    """Return an order's row at its largest: every field set, after every other order of the run."""
    return order_row(
        number,
        order_name=NAME,
        status=OrderState.TIMED_OUT,
        target=ExecutionTarget.CODEBUILD,
        timeout=limits.MAX_CODEBUILD_ORDER_SECONDS,
        stop_grace=limits.MAX_STOP_GRACE_SECONDS,
        after=range(1, limits.MAX_ORDERS),
        code_sha256="c" * 64,
        package_sha256="c" * 64,
        dispatched_at=START,
        tickets=[f"{DISPATCH}:{'c' * 64}"] * limits.MAX_TICKETS,
        handed_over=limits.MAX_DISPATCHES,
        started_at=START,
        ended_at=START,
        order_deadline=START,
        build_id="w" * 255 + ":" + "0" * 36,
        exit_code=255,
        changes=Changes(operation=Operation.APPLIED, add=10**9, change=10**9, destroy=10**9, bring_in=10**9),
        reason=WIDE * 1024,
        group="group:" + WIDE * 512,
        waiting_for=WIDE * limits.MAX_WAITING_CHARS,
    )


def _event(kind: str, name: str = NAME) -> Event:
    return Event(
        trace_id=TRACE_ID, run_id=RUN_ID, order_num="0001", order_name=name, kind=kind, at=START, reason=WIDE * 4096,
        expires_at=START,
    )  # fmt: skip


def _accepted(run: RunRow) -> Event:
    named = run.model_copy(update={"repository": WIDE * 1024, "branch": WIDE * 1024, "actor": WIDE * 255})
    return accepted_event(named, [f"{number:04d}{WIDE * 1020}" for number in range(limits.MAX_ORDERS)])


def _rows() -> Iterator[Measure]:
    stored = stored_job([{}])
    job = stored.job.model_copy(
        update={name: value for name, value in JOB.items() if name not in {"orders", "mask", "issue_number"}}
    )
    rows = build_rows(
        stored.model_copy(update={"job": job, "flow_id": f"{NAME}:{TRACE_ID}-{NAME}"}),
        max_parallel=limits.MAX_ORDERS,
        preparation_error=WIDE * 4096,
    )
    run = rows.run.model_copy(update=dict.fromkeys(("cancel_reason", "stop_reason", "reason"), WIDE * 4096))
    yield measure("dynamodb_item", "the row of a run", item_bytes(item(run)))
    accepted = _accepted(run)
    day = {"sort_key": accepted.sort, "epoch_ms": accepted.epoch_ms, "job_day": accepted.job_day or ""}
    yield measure("dynamodb_item", "the first event of a run", item_bytes(item(accepted, **day)))
    yield measure("dynamodb_item", "the row of an order", item_bytes(item(_largest_order(1000))))
    yield measure("dynamodb_item", "the row of a concurrency group", len(_largest_group().model_dump_json().encode()))
    requests = Requests()
    runs = DynamoRuns(requests, "orders", "events")
    queued = [order_row(number, order_name=NAME, after=range(1, limits.MAX_ORDERS)) for number in range(1, 201)]
    runs.insert(run, queued, [_event("dispatching") for _ in queued])
    before = [_largest_order(number).model_copy(update={"status": OrderState.RUNNING}) for number in range(1, 201)]
    cleared = {"tickets": (), "reason": WIDE * 1024, "build_id": None}
    runs.apply(
        [
            Transition(row, row.model_copy(update={"status": OrderState.FAILED, **cleared}), _event("failed"))
            for row in before
        ]
    )
    yield measure(
        "dynamodb_transaction",
        "rows or events of the largest orders, as many as one call writes",
        *(sum(map(_entry_bytes, request["TransactItems"])) for request in requests.made),
    )
    expressions = [
        text
        for request in requests.made
        for entry in request["TransactItems"]
        for name, text in next(iter(entry.values())).items()
        if name.endswith("Expression")
    ]
    yield measure("dynamodb_expression", "a change of an order's row", *expressions)


def _largest_group() -> Group:
    """Return a group in which as many orders wait as can, and as many series have begun."""
    group = new_group("group:api#" + "g" * 128, START)
    for number in range(MAX_SERIES):
        series, run_id = f"{number:064x}", f"20260101T000000-{number:012x}"
        begun = Begun(series=series, run_id=run_id, commit="c" * 64)
        group = group.model_copy(update={"begun": (*group.begun, begun)})
    for number in range(MAX_ENTRIES):
        run_id = f"20260101T000000-{number:012x}"
        wanted = Wanted(run_id, "1000", "n" * 128, START, False, True, "5" * 64, "c" * 64, 2**31 - 1)
        group, _ = ask(group, wanted, START)
    return group


def _entry_bytes(entry: Mapping[str, Any]) -> int:
    ((_, request),) = entry.items()
    return item_bytes(request.get("Item", {})) + item_bytes(request.get("ExpressionAttributeValues", {}))


def _keys() -> Iterator[Measure]:
    run, order, digest = RUN_ID, "1000", "c" * 64
    objects = [
        keys.job(run), keys.trigger_event(run), keys.code(digest), keys.package(run, order), keys.claim(run, order),
        keys.result(run, order), keys.log(run, order), keys.done(run),
    ]  # fmt: skip
    yield measure("s3_key", "an object of the engine", *objects)
    repository = "h" * 253 + "/" + "r" * 770
    yield measure(
        "dynamodb_partition_key",
        "locks, deliveries and ledgers",
        keys.run_lock(run),
        keys.ticket_chain(run, order, DISPATCH),
        keys.delivery("bitbucket", "d" * 256),
        keys.pull_request_ledger(repository, 10**18),
        keys.branch_ledger(repository, WIDE * 1024),
    )
    yield measure("dynamodb_sort_key", "an event", _event("ticket_refused").sort)
    yield measure("states_name", "a watchdog of a run", keys.watchdog_name(run, 10**6))
    chain = TicketChain(
        run_id=run, order_num=order, dispatch=DISPATCH, present=digest, before=digest, execution="e" * 256,
        last_seen=START, misused_at=START, expires_at=START,
    )  # fmt: skip
    yield measure("dynamodb_item", "the chain of an order's tickets", item_bytes(item(chain)))


def _urls_and_payloads() -> Iterator[Measure]:
    token = base64.b64encode(random.Random(1).randbytes(TOKEN_CHARS)).decode()[:TOKEN_CHARS]
    client = boto3.client(
        "s3",
        region_name="ap-southeast-1",
        aws_access_key_id="ASIA" + "A" * 16,
        aws_secret_access_key="s" * 40,
        aws_session_token=token,
        config=Config(signature_version="s3v4"),
    )
    urls = invocation_urls(S3Objects(client, BUCKET), _largest_order(1000), seconds=limits.URL_SECONDS)
    texts = [value for _, value in urls if isinstance(value, str)]
    yield measure("s3_url", "a worker's URL, with a session's token of 1,400 characters", *texts)
    yield measure("s3_url_seconds", "life of a worker's URL", limits.URL_SECONDS)
    work = Work(
        run_id=RUN_ID, order_num="1000", trace_id=TRACE_ID, dispatch=DISPATCH, timeout=600, not_after=START, urls=urls,
        package_sha256="c" * 64, code_sha256="c" * 64, ticket="c" * 64,
    )  # fmt: skip
    sent = work.model_dump_json()
    yield measure("lambda_asynchronous_payload", "the work of a Lambda worker", sent)
    # Lambda's record of a failed call repeats the event and the error.
    record = {"requestPayload": json.loads(sent), "responsePayload": {"errorMessage": "e" * 8192, "trace": "t" * 32768}}
    yield measure("sqs_message", "the record of a failed call", json.dumps(record))
    build = BuildOrder(run_id=RUN_ID, order_num="1000", dispatch=DISPATCH, ticket="c" * 64)
    yield measure("codebuild_variable", "a variable of a build", *build.variables().values())
    longest = build_minutes(build_seconds(limits.MAX_CODEBUILD_ORDER_SECONDS, limits.MAX_STOP_GRACE_SECONDS))
    yield measure("codebuild_minutes", "time-out of the longest order's build", longest)
    yield measure("lambda_synchronous_payload", "the event of the largest body", _webhook_event())
    yield measure("api_gateway_body", "the largest body", limits.MAX_BODY_BYTES)


def _webhook_event() -> str:
    """Return API Gateway's event of a body in which each byte takes two, with as many headers as it allows."""
    quoted = '"' * LIMITS["api_gateway_headers"].number
    return json.dumps(
        {
            "resource": "/webhook", "path": "/webhook", "httpMethod": "POST",
            "headers": {"x": quoted}, "multiValueHeaders": {"x": [quoted]},
            "requestContext": {"identity": {"userAgent": quoted, "sourceIp": "0" * 39}, "path": "/live/webhook"},
            "body": '"' * limits.MAX_BODY_BYTES, "isBase64Encoded": False,
        }
    )  # fmt: skip


def _watchdog() -> Iterator[Measure]:
    row = _largest_order(1).model_copy(update={"status": OrderState.RUNNING, "build_id": "w" * 29 + "0" * 37})
    orders = [row.model_copy(update={"order_num": f"{number:04d}"}) for number in range(1, limits.MAX_ORDERS + 1)]
    # The watchdog keeps what it knows only up to its own limit.
    while len((known := KnownRows.of(orders, None)).model_dump_json().encode()) > MAX_KNOWN_BYTES:
        del orders[-10:]
    answer = WatchAnswer(run_id=RUN_ID, order_num="0000", ended=False, seen=WIDE * 256, known=known)
    state = Watch(run_id=RUN_ID).model_dump(mode="json") | {"answer": answer.model_dump(mode="json")}
    sent = {"run_id": RUN_ID, "order_num": "0000", "state": state}
    yield measure("states_state", "what a watchdog's poll passes on", json.dumps(sent, separators=(",", ":")))
    life = timedelta(seconds=limits.MAX_JOB_SECONDS + limits.MAX_STOP_GRACE_SECONDS + limits.STOP_GRACE_SECONDS)
    yield measure("states_events", "a watchdog of the longest run, each poll tried three times", _events(life))


def _events(life: timedelta) -> int:
    """Return the events of a watchdog's history: each poll takes a minute and fails twice before it succeeds."""
    wait, poll, choice = 2, 2 + 3 * 3, 2
    return int(life.total_seconds() // 60 + 1) * (wait + poll + choice)
