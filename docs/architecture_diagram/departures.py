"""Lists where the system differs from its first picture, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common import limits

if TYPE_CHECKING:
    from docs.architecture_diagram.stack import Stack


@dataclass(frozen=True, slots=True)
class Departure:
    """One difference. ``name`` is what boxes and messages refer to; texts may hold `code`."""

    name: str
    before: str
    now: str
    reason: str


def departures(stack: Stack) -> list[Departure]:
    """Return all differences in the order of a run; their index in the list is their number."""
    seconds = stack.api["integration_timeout_ms"] // 1000
    days = limits.RETENTION_SECONDS // 86400
    return [
        Departure(
            "two-invocations",
            "init_job does everything within the request.",
            "The request is verified, validated, stored and answered with 202. init_job invokes itself for the rest.",
            f"GitHub waits 10 s for an answer and API Gateway {seconds} s; fetching and packing code can take longer.",
        ),
        Departure(
            "run-watchdog",
            "The orchestrator starts a watchdog when it dispatches an order.",
            "A run has one watchdog for all its orders. init_job starts it with the job, each pass that dispatches "
            "checks that it runs, and it ends with the run.",
            "A run is watched from acceptance on. An execution for each order would be most of a run's cost.",
        ),
        Departure(
            "fresh-urls",
            "init_job generates the presigned callback URLs.",
            "The orchestrator sends a ticket, and to Lambda first URLs too. The broker trades tickets for URLs.",
            "A presigned URL ends with the session that signed it, and an order can wait and run for hours.",
        ),
        Departure(
            "sealing-key",
            "No key is drawn; SOPS encrypts the secrets.",
            "SOPS seals each set of secrets for an age identity of its own, which a KMS key of the stack encrypts.",
            "Only the broker can decrypt an identity, and AWS compares the stack, source and run that it names.",
        ),
        Departure(
            "order-key",
            "Table orders: partition key `run_id:order_num`, kept for 1 day.",
            f"Partition key `run_id`, sort key `order_num`, kept for {days} day after the run's deadline.",
            "One strongly consistent query reads a whole run, and no row expires while its run is open.",
        ),
        Departure(
            "lifecycles",
            "Everything in the internal bucket expires after 1 day.",
            "Jobs, code, packages and outputs do. Callbacks, logs and sealed files have rules of their own, "
            "`log_days` and `plan_days`.",
            "People look at Friday's failure on Monday; a short log is in the order's result. What a failed order left "
            "waits for a person.",
        ),
        Departure(
            "lease",
            "A lock is acquired with a conditional put and released at the end.",
            f"A lock is a lease of {limits.LEASE_SECONDS} s with a counter of events, its doorbell. Conditional writes "
            "protect the rows, not the lock.",
            "An event that finds the lock held is not lost, and an orchestrator that dies blocks its run for seconds.",
        ),
        Departure(
            "claim",
            "The worker unpacks its order and runs the commands.",
            "The worker first creates `claim.json`, which can be created only once. A worker that comes second exits.",
            "Lambda delivers asynchronous events at least once. Commands must run at most once.",
        ),
        Departure(
            "failure-record",
            "Only the state machine calls watchdog_check.",
            "Lambda also calls it when an invocation of init_job or of the worker failed for good.",
            "A worker that crashed is reported at once instead of at its time-out.",
        ),
        Departure(
            "dead-letters",
            "Failed events, alarms and log retention are not drawn.",
            "A queue keeps events that failed for good. Alarms report to a topic. Log groups expire.",
            "Nothing fails silently, and nothing is kept without a limit.",
        ),
        Departure(
            "tick",
            "Functions are only invoked when something happens.",
            f"A rule invokes every function: {stack.tick['schedule']}.",
            "A function that was idle for weeks refuses calls for 40 to 106 s, longer than the endpoint may wait.",
        ),
        Departure(
            "bootstrap-state",
            "The state of bootstrap is local.",
            "After the first run it is in the bucket that bootstrap created.",
            "Any machine can run bootstrap again.",
        ),
        Departure(
            "digest",
            "The image is tagged with the commit's hash and `latest`.",
            "Both tags exist, but functions and builds use the image by its digest.",
            "The image that was tested is the image that runs.",
        ),
        Departure(
            "smoke-job",
            "Smoke tests verify that the parts exist.",
            "They also run a job of two orders to its end.",
            "Parts that exist can still lack a right or a route between them.",
        ),
    ]
