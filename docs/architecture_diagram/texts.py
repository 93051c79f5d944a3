"""What the stack's files do not hold about their parts: roles, triggers, targets, departures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PACKAGES: Final = {
    "init-job": "packages/iac-ci-init",
    "orchestrator": "packages/iac-ci-orchestrator",
    "watchdog-check": "packages/iac-ci-watchdog",
    "worker": "packages/iac-ci-worker",
    "broker": "packages/iac-ci-broker",
    "page": "packages/iac-ci-page",
}


@dataclass(frozen=True, slots=True)
class Text:
    """What the stack's files do not hold about one of their parts."""

    kind: str
    role: str
    title: str = ""
    started: str = ""
    targets: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    brief: str = ""


TEXTS: Final = {
    "api": Text(
        "ingress",
        "Receives signed jobs and the events of code hosts. It checks nothing itself: only the function sees the raw "
        "bytes that a signature covers.",
        started="a request",
        targets=("init-job", "page"),
        sources=("terraform/deploy/api.tf", "terraform/deploy/page.tf"),
    ),
    "init-job": Text(
        "ingress",
        "Verifies and validates a job, stores it and answers. In a second, asynchronous invocation it fetches code and "
        "secrets, seals the secrets with SOPS, packs one `exec.zip` per order and queues the orders.",
        title="init_job",
        started="`POST /webhook`, then an asynchronous invocation by itself",
        targets=("internal", "orders", "order-events", "locks", "watchdog"),
        departures=("two-invocations", "fresh-urls", "run-watchdog"),
    ),
    "orchestrator": Text(
        "orchestration",
        "Reads the run, evaluates the dependency graph and dispatches the orders that are ready. At the end it writes "
        "the done marker and the final comment.",
        started="an object `result.json` in the internal bucket",
        targets=("worker", "build-worker", "watchdog", "done", "orders"),
        departures=("fresh-urls", "lease"),
    ),
    "watchdog-check": Text(
        "orchestration",
        "Checks a run and its open orders: nothing to do, rewrite the trigger, end an order whose worker has ended for "
        "certain, start the preparation again, or give the run up.",
        title="watchdog_check",
        started="the watchdog; a failure record of Lambda",
        targets=("internal",),
        departures=("failure-record",),
    ),
    "worker": Text(
        "execution",
        "Claims the order, unseals its secrets in memory, runs its commands, redacts the output and sends log and "
        "result by presigned URL. The commands get none of its rights and none of the URLs.",
        title="worker Lambda",
        started="an asynchronous invocation by the orchestrator",
        targets=("internal", "broker"),
        departures=("claim",),
    ),
    "broker": Text(
        "execution",
        "Trades a worker's ticket for presigned URLs of minutes, and passes on the wish to stop. When an order starts, "
        "it unseals for its worker and assumes its role. It has no URL: only the roles of the workers may invoke it.",
        title="broker",
        started="a worker, which waits for the answer",
        targets=("locks",),
        departures=("fresh-urls",),
    ),
    "page": Text(
        "ingress",
        "Shows a run to people who have a link to it: orders, plans and logs. It checks the link, reads, and changes "
        "nothing.",
        title="page",
        started="`GET /runs/<run_id>`",
        targets=("orders", "order-events", "internal"),
    ),
    "build-worker": Text(
        "execution",
        "Runs orders whose time-out does not fit a Lambda function, from the same image and with the same code.",
        title="worker CodeBuild",
        started="`StartBuild` by the orchestrator",
        targets=("internal", "broker"),
        departures=("claim",),
        sources=("terraform/deploy/builds.tf", "packages/iac-ci-worker/src/iac_ci_worker/codebuild.py"),
    ),
    "watchdog": Text(
        "orchestration",
        "Looks after one run until it has ended: its preparation, the orchestrator and every open order.",
        title="watchdog",
        targets=("watchdog-check",),
        departures=("run-watchdog",),
        sources=("terraform/deploy/watchdog.tf",),
    ),
    "internal": Text(
        "storage",
        "Working data: accepted jobs, code, packages, claims, results and logs. A new `result.json` starts the "
        "orchestrator.",
        title="S3 internal",
        targets=("orchestrator",),
        sources=("terraform/deploy/buckets.tf",),
        departures=("lifecycles",),
        brief="packages, callbacks",
    ),
    "done": Text(
        "storage",
        "One done marker per run, `<run_id>/done`, with the status and the summary.",
        title="S3 done",
        sources=("terraform/deploy/buckets.tf",),
        brief="done markers",
    ),
    "state": Text(
        "storage",
        "Terraform state of the three stages and the teardown archives. It outlives the stack.",
        title="S3 state",
        sources=("terraform/bootstrap/state-bucket.tf",),
        brief="Terraform state",
    ),
    "orders": Text(
        "storage",
        "One row per order with its state; row `0000` is the run. Every change of state is a conditional write on the "
        "state before.",
        title="orders",
        departures=("order-key",),
    ),
    "order-events": Text(
        "storage",
        "What happened to each order and to the job, in the order of time.",
        title="order_events",
    ),
    "locks": Text(
        "storage",
        "Leases of runs, chains of tickets, deliveries that were already seen, and the ledgers of pull requests.",
        title="locks",
        departures=("lease",),
    ),
    "dead-letters": Text(
        "foundation",
        "Keeps events that failed for good and that no watchdog repairs. An alarm reports the first one.",
        departures=("dead-letters",),
        sources=("terraform/deploy/functions.tf",),
    ),
}
