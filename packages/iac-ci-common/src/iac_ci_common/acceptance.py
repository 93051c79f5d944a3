"""Accepts a job: stores it, starts its watchdog, invokes its preparation. Repeating it changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from iac_ci_common import ids, keys
from iac_ci_common.accepted_jobs import AcceptedJobs
from iac_ci_common.errors import AlreadyExists, IacCiError
from iac_ci_common.job_validation.rules import Rules
from iac_ci_common.models.answer import Accepted, StoredJob

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from iac_ci_common.grants import Grant
    from iac_ci_common.models.job import Job
    from iac_ci_common.models.rows import JobScope
    from iac_ci_common.models.saved_plan import OrderProject
    from iac_ci_common.ports import AsyncInvoker, Logger, Objects, Watchdogs
    from iac_ci_common.settings import JobSettings


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The ports for accepting a job; ``accepted`` remembers it for its preparation by the same process."""

    objects: Objects
    watchdogs: Watchdogs
    invoker: AsyncInvoker
    logger: Logger | None
    done_bucket: str
    stack_level: int = 1
    sizes: Mapping[str, str] = field(default_factory=dict)
    accepted: AcceptedJobs = field(default_factory=AcceptedJobs)

    def accept(
        self,
        job: Job,
        run_id: str,
        *,
        source: str,
        now: datetime,
        ledger: str | None = None,
        job_name: str | None = None,
        actor: str | None = None,
        branch: str | None = None,
        rerun_of: str | None = None,
        scope: JobScope | None = None,
        not_run: tuple[str, ...] = (),
        projects: Mapping[str, OrderProject] | None = None,
        link_generation: int | None = None,
        planned_for: datetime | None = None,
    ) -> Accepted:
        """Accept a checked job under ``run_id``; after this returns, a watchdog ensures that the run ends.

        ``job_name``, ``actor`` and ``branch`` are those of a configured job; a signed job has its ``flow_label``, its
        ``username`` and no branch. ``rerun_of`` is the run whose orders this one runs again.
        ``scope`` and ``not_run`` say what the run is of a pull request's job, ``projects`` which project each order
        plans or applies, by the orders' names. ``link_generation`` is None if reports have no link, ``planned_for`` the
        minute of the schedule that starts the run. If a job is already stored under that id, it is used instead of
        ``job``, and its preparation is invoked only if it has not begun. Raises ``PortFailed`` if the job was not
        accepted.
        """
        trace_id = ids.new_trace_id()
        stored = StoredJob(
            run_id=run_id,
            trace_id=trace_id,
            flow_id=ids.flow_id(job.username, trace_id, job.flow_label),
            accepted_at=now,
            deadline=now + timedelta(seconds=job.job_timeout),
            source=source,
            job=job,
            stack_level=self.stack_level,
            ledger=ledger,
            job_name=job_name,
            actor=actor,
            branch=branch,
            rerun_of=rerun_of,
            scope=scope,
            not_run=not_run,
            projects=dict(projects or {}),
            link_generation=link_generation,
            planned_for=planned_for,
            sizes={order.size: self.sizes[order.size] for order in job.orders if order.size is not None},
        )
        body, begun = stored.model_dump_json().encode(), False
        try:
            self.objects.create(keys.job(run_id), body, content_type="application/json")
            self.accepted.keep(run_id, body)
        except AlreadyExists:
            stored = StoredJob.from_stored(self.objects.get(keys.job(run_id)))
            # The preparation's first write.
            begun = self.objects.exists(keys.past_job(run_id))
        # The watchdog is started before the preparation, so that it repairs every later failure.
        self.watchdogs.start(run_id, 1)
        # The job is accepted now, also if the next call fails: the watchdog invokes a missing preparation.
        try:
            if not begun:
                self.invoker.prepare(run_id)
        except IacCiError as error:
            if self.logger is not None:
                self.logger.warning("preparation not invoked; the watchdog retries", run_id=run_id, error=error.message)
        return Accepted(
            run_id=run_id,
            trace_id=stored.trace_id,
            flow_id=stored.flow_id,
            done_endpt=f"s3://{self.done_bucket}/{keys.done(run_id)}",
        )


def rules(settings: JobSettings, source: str, grant: Grant, own_tokens: frozenset[str] = frozenset()) -> Rules:
    """Return the stack's rules for jobs from ``source`` (``api`` or a repository), to which it grants ``grant``."""
    return Rules(
        source=source,
        secrets_prefix=settings.secrets_prefix,
        grant=grant,
        own_tokens=own_tokens,
        allow_file_repositories=settings.allow_file_repositories,
        own_buckets=settings.own_buckets,
        sizes=frozenset(settings.order_sizes),
    )
