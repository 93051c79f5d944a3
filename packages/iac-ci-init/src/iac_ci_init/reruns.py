"""Runs orders of a run again: the job as it was accepted, checked by the rules and rights of today."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common import keys
from iac_ci_common.acceptance import rules
from iac_ci_common.errors import InputProblems, NotFound, Problem
from iac_ci_common.ids import order_num
from iac_ci_common.initial_rows import order_name
from iac_ci_common.job_validation.check import check_fields
from iac_ci_common.limits import RETENTION_SECONDS
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.purpose import Purpose, purpose
from iac_ci_common.states import RUN_TERMINAL
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.jobs import orders_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from iac_ci_common.acceptance import Acceptance
    from iac_ci_common.grants import Grant
    from iac_ci_common.job_validation.rules import Rules
    from iac_ci_common.models.answer import RerunTask
    from iac_ci_common.models.job import Order
    from iac_ci_common.ports import Clock, Objects, Runs
    from iac_ci_init.settings import InitSettings
    from iac_ci_triggers.connections import Connections
    from iac_ci_triggers.ports import Ledgers

_API: Final = "api"
"""The source of signed jobs."""

_SUBJECT: Final = "rerun"

_PREPARED: Final = "run {} is being prepared; it has not ended"


@dataclass(frozen=True, slots=True)
class RerunPorts:
    """The ports for running orders again."""

    clock: Clock
    objects: Objects
    runs: Runs
    ledgers: Ledgers


class Reruns:
    """Starts new runs of orders of runs that have ended."""

    def __init__(
        self,
        ports: RerunPorts,
        acceptance: Acceptance,
        settings: InitSettings,
        grants: Callable[[str, datetime], Grant],
        connections: Callable[[datetime], Connections],
    ) -> None:
        """Use ``ports``; ``grants`` returns what a source may use now, ``connections`` the operator's connections."""
        self._ports = ports
        self._acceptance = acceptance
        self._settings = settings
        self._grants, self._connections = grants, connections

    def accept(self, task: RerunTask) -> str:
        """Accept a new run and return the JSON of the answer. The same task starts one run.

        Its code is fetched again at its commits, its secrets are read again, and its source needs the rights for them
        now. Raises ``InputProblems``, and then nothing has changed.
        """
        now = self._ports.clock.now()
        stored = self._stored(task.rerun, now)
        orders = [
            order.model_copy(update={"order_name": order_name(order, index)})
            for index, order in enumerate(stored.job.orders)
        ]
        chosen = orders_again(orders, _chosen(orders, task.orders))
        if refused := [*self._refusals(stored, chosen, now), *self._without_code(orders, chosen)]:
            raise InputProblems(refused)
        fields: dict[str, Any] = stored.job.model_dump(exclude={"orders"}, exclude_defaults=True)
        job = check_fields({**fields, "orders": chosen}, self._rules(stored, now))
        names = {order.order_name for order in chosen}
        return self._acceptance.accept(
            job,
            task.as_run,
            source=stored.source,
            now=now,
            job_name=stored.job_name,
            actor=task.by,
            branch=stored.branch,
            rerun_of=task.rerun,
            projects={name: project for name, project in stored.projects.items() if name in names},
        ).model_dump_json()

    def _stored(self, run_id: str, now: datetime) -> StoredJob:
        run = self._ports.runs.find_run(run_id)
        if run is not None and run.status not in RUN_TERMINAL:
            raise _refused(f"run {run_id} has not ended; nothing of it was started again")
        try:
            stored = StoredJob.from_stored(self._ports.objects.get(keys.past_job(run_id)))
        except NotFound as error:
            if run is None and self._ports.objects.exists(keys.job(run_id)):
                raise _refused(_PREPARED.format(run_id)) from error
            raise _refused(
                f"the job of run {run_id} is not kept: jobs are kept for log_days, 14 by default, those of a version"
                " before are not; send the job again"
            ) from error
        # Its rows are kept that long, so it has none yet.
        if run is None and now < stored.deadline + timedelta(seconds=RETENTION_SECONDS):
            raise _refused(_PREPARED.format(run_id))
        return stored

    def _refusals(self, stored: StoredJob, chosen: Sequence[Order], now: datetime) -> Iterator[Problem]:
        """Yield why the engine alone may not start a run that an event started, although its rights would do."""
        if stored.scope is not None:
            number = stored.job.pr_number
            where = f"pull request {number} of {stored.job.git_repo}" if number else "a pull request"
            yield Problem(
                _SUBJECT,
                f"run {stored.run_id} is of {where}; write /iac-ci rerun-failed there, or the command of its job:"
                " both check the commit, its plans and its approvals again",
            )
        elif (newer := self._newer(stored)) is not None and any(_may_apply(order) for order in chosen):
            yield Problem(
                _SUBJECT,
                f"run {newer} of the same job has begun a newer commit of the branch; no older one is applied after it",
            )
        if stored.source != _API and stored.scope is None and not self._is_connected(stored, now):
            yield Problem(
                _SUBJECT, f"{stored.job.git_repo} is no longer connected as the source {stored.source} with this token"
            )

    def _newer(self, stored: StoredJob) -> str | None:
        """Return a later run of the same job for another commit of the branch, None if there is none."""
        ledger = self._ports.ledgers.read(stored.ledger) if stored.ledger is not None else None
        for run in ledger.runs if ledger is not None else ():
            if run.job == stored.job_name and run.run_id > stored.run_id and run.sha != stored.job.commit_hash:
                return run.run_id
        return None

    def _is_connected(self, stored: StoredJob, now: datetime) -> bool:
        connection = self._connections(now).find(stored.job.git_repo)
        if connection is None:
            return False
        source = connection.source or repository_key(stored.job.git_repo or "")
        return source == stored.source and connection.token_location == stored.job.git_token_location

    def _without_code(self, orders: Sequence[Order], chosen: Sequence[Order]) -> Iterator[Problem]:
        """Yield a problem for each order whose code was sent with the job and is not there any more."""
        wanted = {order.order_name for order in chosen}
        for index, order in enumerate(orders):
            bucket, _, key = (order.s3_location or "").removeprefix("s3://").partition("/")
            if order.order_name not in wanted or bucket not in self._settings.own_buckets:
                continue
            if not self._ports.objects.exists(key):
                yield Problem(
                    f"orders[{index}].s3_location",
                    f"the code of {order.order_name} was sent with the job and was kept for a day; send the job again"
                    " with its code (iac-ci submit --code)",
                )

    def _rules(self, stored: StoredJob, now: datetime) -> Rules:
        """Return the rules of the job's source. The token of its connection is the engine's own, as for an event."""
        token = stored.job.git_token_location
        own = frozenset({token}) if stored.source != _API and token is not None else frozenset()
        return rules(self._settings, stored.source, self._grants(stored.source, now), own_tokens=own)


def _chosen(orders: Sequence[Order], asked: Sequence[str]) -> frozenset[str]:
    """Return the names of the orders that are asked for, by name or number, all if none are."""
    names = [order.order_name or "" for order in orders]
    if not asked:
        return frozenset(names)
    numbers = {str(index + 1): name for index, name in enumerate(names)}
    numbers |= {order_num(index): name for index, name in enumerate(names)}
    unknown = [one for one in asked if one not in names and one not in numbers]
    if unknown:
        raise InputProblems([Problem(_SUBJECT, f"the run has no order {one[:60]!r}") for one in unknown])
    return frozenset(one if one in names else numbers[one] for one in asked)


def _may_apply(order: Order) -> bool:
    return purpose(order.order_name or "", order.commands) is not Purpose.PLAN


def _refused(reason: str) -> InputProblems:
    return InputProblems([Problem(_SUBJECT, reason)])


__all__ = ["RerunPorts", "Reruns"]
