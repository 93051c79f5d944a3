"""Arranges the two sequences: what happens to a job, and what happens to its orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from docs.architecture_diagram.box import Box
from docs.architecture_diagram.parts import Message, Sequence
from docs.architecture_diagram.units import duration

from iac_ci_common import limits
from iac_ci_orchestrator.comments import BETWEEN_EDITS

if TYPE_CHECKING:
    from docs.architecture_diagram.stack import Stack

_INIT: Final = "packages/iac-ci-init/src/iac_ci_init"
_ORCHESTRATOR: Final = "packages/iac-ci-orchestrator/src/iac_ci_orchestrator"
_WORKER: Final = "packages/iac-ci-worker/src/iac_ci_worker"
_COMMON: Final = "packages/iac-ci-common/src/iac_ci_common"


def _s3(boxes: dict[str, Box]) -> Box:
    internal, done = boxes["internal"], boxes["done"]
    return Box(
        "s3",
        "S3",
        "storage",
        "bucket",
        "internal, done",
        "The internal bucket holds working data, and its `result.json` objects start the orchestrator. The done bucket "
        "holds the done markers.",
        rows=(
            *((f"internal: {label.lower()}", value) for label, value in internal.rows if label != "Cost"),
            *((f"done: {label.lower()}", value) for label, value in done.rows if label != "Cost"),
            *(row for row in internal.rows if row[0] == "Cost"),
        ),
        sources=internal.sources,
    )


def _dynamodb(boxes: dict[str, Box]) -> Box:
    tables = [boxes[name] for name in ("orders", "order-events", "locks")]
    return Box(
        "dynamodb",
        "DynamoDB",
        "storage",
        "table",
        "orders, events, locks",
        "Three tables: the orders of each run, what happened to them, and the locks.",
        rows=(
            *(
                (f"{table.title}: {label.lower()}", value)
                for table in tables
                for label, value in table.rows
                if label in {"Keys", "Time to live"}
            ),
            *(row for row in tables[0].rows if row[0] == "Cost"),
        ),
        sources=tables[0].sources,
        departures=("order-key", "lease"),
    )


def _worker(boxes: dict[str, Box]) -> Box:
    function, build = boxes["worker"], boxes["build-worker"]
    return Box(
        "workers",
        "worker",
        "execution",
        "function",
        "Lambda or CodeBuild",
        function.role,
        rows=(
            *(
                (f"Lambda: {label.lower()}", value)
                for label, value in function.rows
                if label in {"Time-out", "Memory", "Cost"}
            ),
            ("Longest order", f"{duration(limits.MAX_LAMBDA_ORDER_SECONDS)} on Lambda"),
            *(
                (f"CodeBuild: {label.lower()}", value)
                for label, value in build.rows
                if label in {"Time-out", "Longest order", "Machine", "Cost"}
            ),
        ),
        rights=function.rights,
        sources=(*function.sources, *build.sources),
        departures=("claim",),
    )


def _pull_request() -> Box:
    return Box(
        "pull-request",
        "Pull request",
        "external",
        "comment",
        "comment and status",
        f"Gets one comment per run, edited at most every {BETWEEN_EDITS.seconds} s, and a status per commit and flow. "
        "If the host does not accept them, the run continues and an event holds the reason.",
        rows=(("Cost", "none"),),
        sources=("packages/iac-ci-vcs", f"{_ORCHESTRATOR}/comments.py"),
    )


def init(stack: Stack, boxes: dict[str, Box]) -> Sequence:
    """Return the part that ends with the trigger of the orchestrator."""
    seconds = stack.api["integration_timeout_ms"] // 1000
    prefix = stack.buckets["internal"]["notification"]["prefix"]
    suffix = stack.buckets["internal"]["notification"]["suffix"]
    caller = Box(
        "caller",
        "Caller",
        "external",
        "people",
        "code host or API",
        "Sends a signed job, or an event of a connected repository, and gets an answer with every problem at once.",
        rows=(
            ("Signature", f"valid for {duration(limits.SIGNATURE_TOLERANCE_SECONDS)}"),
            ("Answer", "202 with the ids of the run, or the reason"),
            ("Cost", "none"),
        ),
        sources=("docs/contract.md", "docs/providers.md"),
    )
    return Sequence(
        "init",
        "Part 1: init_job",
        "Receives the webhook, validates the job, packs it and queues its orders.",
        lanes=(
            caller, boxes["api"], boxes["init-job"], boxes["internal"], _dynamodb(boxes), boxes["watchdog"],
            _pull_request(),
        ),
        messages=(
            Message("caller", "api", f"`{stack.api['method']} /{stack.api['path_part']}`", "a job or an event",
                    "terraform/deploy/api.tf", phase="Within the request"),
            Message("api", "init-job", "invoke", f"AWS_PROXY, {seconds} s", f"{_INIT}/handler.py"),
            Message("init-job", "init-job", "verify the signature, validate the whole job",
                    "every problem in one answer", f"{_INIT}/job_intake.py"),
            Message("init-job", "internal", "put `job.json`", "`tmp/jobs/<run_id>/`", f"{_COMMON}/acceptance.py"),
            Message("init-job", "watchdog", "start the run's watchdog", f"it checks every {stack.poll_seconds} s",
                    f"{_COMMON}/acceptance.py", ("run-watchdog",)),
            Message("init-job", "init-job", "invoke itself for the preparation", "asynchronously", f"{_INIT}/tasks.py",
                    ("two-invocations",)),
            Message("init-job", "caller", "202", "`run_id`, `trace_id`, `flow_id`, `done_endpt`", f"{_INIT}/http.py",
                    dashed=True),
            Message("init-job", "pull-request", "write the first comment", "the list of orders",
                    f"{_INIT}/first_report.py", phase="In the second invocation"),
            Message("init-job", "init-job", "fetch, seal with SOPS", "code and secrets",
                    f"{_INIT}/preparation.py", ("fresh-urls", "sealing-key")),
            Message("init-job", "internal", "put one `exec.zip` per order", "`tmp/exec/<run_id>/<order_num>/`",
                    f"{_COMMON}/packing.py"),
            Message("init-job", "dynamodb", "insert the orders, `queued`", "with their events; the run's row last",
                    f"{_COMMON}/initial_rows.py", ("order-key",)),
            Message("init-job", "internal", "put the trigger", f"`{prefix}<run_id>/0000/{suffix}`",
                    f"{_INIT}/preparation.py"),
        ),
    )  # fmt: skip


def orchestration(stack: Stack, boxes: dict[str, Box]) -> Sequence:
    """Return the part that repeats until all orders have ended."""
    return Sequence(
        "orchestration",
        "Part 2: orchestration",
        "Each result wakes the orchestrator. It resolves dependencies and dispatches the next orders, until all have "
        "ended.",
        lanes=(_s3(boxes), boxes["orchestrator"], _dynamodb(boxes), _worker(boxes),
               boxes["broker"], boxes["watchdog"], _pull_request()),
        messages=(
            Message("s3", "orchestrator", "ObjectCreated", f"`{stack.buckets['internal']['notification']['suffix']}`",
                    f"{_ORCHESTRATOR}/s3_events.py", phase="One pass"),
            Message("orchestrator", "dynamodb", "ring the doorbell, take the lock",
                    f"a lease of {limits.LEASE_SECONDS} s", f"{_ORCHESTRATOR}/act.py", ("lease",)),
            Message("orchestrator", "dynamodb", "read all orders of the run", "one consistent query",
                    f"{_ORCHESTRATOR}/act.py"),
            Message("orchestrator", "s3", "read new results", "", f"{_ORCHESTRATOR}/results.py"),
            Message("orchestrator", "orchestrator", "evaluate the dependency graph", "ended, skipped, ready, waiting",
                    f"{_ORCHESTRATOR}/decide.py"),
            Message("orchestrator", "dynamodb", "store ends and dispatches", "one transaction, with the events",
                    f"{_ORCHESTRATOR}/act.py"),
            Message("orchestrator", "watchdog", "start the watchdog unless it runs", "before any worker",
                    f"{_ORCHESTRATOR}/dispatch.py"),
            Message("orchestrator", "workers", "invoke Lambda or start CodeBuild", "with a ticket",
                    f"{_ORCHESTRATOR}/dispatch.py", ("fresh-urls",)),
            Message("orchestrator", "dynamodb", "note `running`", "", f"{_ORCHESTRATOR}/act.py"),
            Message("workers", "broker", "trade the ticket", "for URLs of minutes, and every 50 s",
                    f"{_WORKER}/rights.py", ("fresh-urls",), phase="The order runs"),
            Message("workers", "s3", "create `claim.json`", "once; a second worker exits", f"{_WORKER}/presigned.py",
                    ("claim",)),
            Message("workers", "broker", "begin the order", "its secrets' identity and its role's credentials",
                    "packages/iac-ci-broker/src/iac_ci_broker/start.py", ("sealing-key",)),
            Message("workers", "workers", "unseal, run commands, redact", "output without secrets",
                    f"{_WORKER}/runner.py"),
            Message("workers", "s3", "put log and `result.json`", "by presigned URL, once", f"{_WORKER}/presigned.py"),
            Message("watchdog", "s3", "wake the run, or end an order", "on proof only",
                    "packages/iac-ci-watchdog/src/iac_ci_watchdog/decide.py", ("failure-record",), dashed=True),
            Message("s3", "orchestrator", "ObjectCreated", "the next pass", f"{_ORCHESTRATOR}/s3_events.py"),
            Message("orchestrator", "s3", "put the done marker", "`<run_id>/done`", f"{_ORCHESTRATOR}/completion.py",
                    phase="When all orders have ended"),
            Message("orchestrator", "pull-request", "write the final comment and the status", "",
                    f"{_ORCHESTRATOR}/completion.py"),
            Message("orchestrator", "dynamodb", "complete the lock", "", f"{_ORCHESTRATOR}/completion.py", ("lease",)),
        ),
    )  # fmt: skip
