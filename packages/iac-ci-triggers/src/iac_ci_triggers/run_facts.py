"""Reads what the runs of a pull request or branch have done from the engine's tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys
from iac_ci_common.errors import NotFound
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.overrides import unsuccessful
from iac_ci_common.states import RUN_TERMINAL, TERMINAL
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.facts import Facts, Rerun, newest_states
from iac_ci_triggers.gates import TEAM, Gate, names
from iac_ci_triggers.known_groups import KnownGroup, group_names
from iac_ci_triggers.known_plans import Applier, KnownPlans
from iac_ci_triggers.ledger import LONGEST_RUN
from iac_ci_triggers.saved_plans import wanted_keys
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.reviews import ReviewedHost

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from iac_ci_common.ports import Groups, Objects, Plans, Runs
    from iac_ci_triggers.commands import Command
    from iac_ci_triggers.configuration import Configuration
    from iac_ci_triggers.facts import Source
    from iac_ci_triggers.ledger import Ledger, StartedRun
    from iac_ci_vcs.provider import Account, CodeHost, PullRequest

_MOST_RERUNS: Final = 10
"""Most runs of one job whose orders are read to be run again."""

_STORED_WITHIN: Final = timedelta(minutes=5)
"""Age within which another event may still be storing the job of a run: Lambda repeats an event that failed after one
minute and after two more."""


@dataclass(frozen=True, slots=True)
class RunCollector:
    """Collects the facts about runs; the host tells who is in a team that may answer an order."""

    host: CodeHost
    source: Source
    runs: Runs
    objects: Objects
    plans: Plans
    groups: Groups

    def open_run(self, ledger: Ledger, job: str, now: datetime) -> str | None:
        """Return the newest run of a job's schedule if it has not ended; the ledger has a run before all else has."""
        started = next((run for run in reversed(ledger.runs) if run.job == job), None)
        if started is None or now - started.started_at > LONGEST_RUN:
            return None
        run = self.runs.find_run(started.run_id)
        if run is None:
            is_known = self.objects.exists(keys.job(started.run_id))
            return started.run_id if is_known or now - started.started_at < _STORED_WITHIN else None
        return None if run.status in RUN_TERMINAL else started.run_id

    def reruns(self, ledger: Ledger, pull: PullRequest, configuration: str) -> tuple[Rerun, ...]:
        """Return what can be run again of each job: the newest state of each of its orders, whatever run it is from.

        Expired runs are left out, because they cannot be run again. If no run is for this commit, base branch and
        configuration, the newest one is returned, which says so.
        """
        by_job: dict[str, list[StartedRun]] = {}
        for run in ledger.runs:
            by_job.setdefault(run.job, []).append(run)
        found: list[Rerun | None] = []
        for runs in by_job.values():
            present = [run for run in runs if run.is_for(pull.head_sha, pull.base_branch, configuration)]
            read = [self._rerun(run) for run in (present or runs)[-_MOST_RERUNS:]]
            found.append(newest_states([rerun for rerun in read if rerun is not None]) if present else read[-1])
        return tuple(rerun for rerun in found if rerun is not None)

    def _rerun(self, started: StartedRun) -> Rerun | None:
        try:
            stored = StoredJob.from_stored(self.objects.get(keys.job(started.run_id)))
        except NotFound:
            return None
        rows = self.runs.read(started.run_id)
        return Rerun(
            run_id=started.run_id,
            job_name=started.job,
            sha=started.sha,
            base=started.base,
            configuration=started.configuration,
            job=stored.job,
            unsuccessful=frozenset(row.order_name for row in unsuccessful(rows.orders)),
            has_ended=rows.run is not None and rows.run.status in RUN_TERMINAL,
            whole=stored.scope is not None and stored.scope.whole,
        )

    def plans_of(
        self,
        configuration: Configuration,
        jobs: Collection[str],
        pull: PullRequest,
        known: Facts,
        runs: Sequence[StartedRun],
    ) -> KnownPlans:
        """Return the plans that these jobs would apply, and which of these runs apply them."""
        repository = repository_key(self.source.repository) or ""
        records, states = wanted_keys(configuration, jobs, repository, pull.number)
        if not records:
            return KnownPlans()
        plans = KnownPlans(self.plans.records(records), self.plans.states(states))
        for run in runs[-_MOST_RERUNS:]:
            plans = self._with_applier(plans, run, known.received_at)
        return plans

    def _with_applier(self, plans: KnownPlans, run: StartedRun, now: datetime) -> KnownPlans:
        """Return the plans with a run of this pull request that has not ended all of its applies.

        The ledger has a run before the run has anything else, so of two commands at once the second one sees the first.
        """
        age, applier = now - run.started_at, Applier(run.intent, f"run {run.run_id}")
        if run.cancel_reason is not None or age > LONGEST_RUN:
            return plans
        rows = self.runs.read(run.run_id)
        if rows.run is not None:
            open_orders = [order for order in rows.orders if order.status not in TERMINAL]
            projects = [order.project for order in open_orders if order.project is not None]
        else:
            try:
                projects = [*StoredJob.from_stored(self.objects.get(keys.job(run.run_id))).projects.values()]
            except NotFound:
                if age > _STORED_WITHIN:
                    return plans
                starting = {**plans.starting, run.job: (*plans.starting.get(run.job, ()), applier)}
                return replace(plans, starting=starting)
        applied = [project.saved.planned.sha256 for project in projects if project.saved is not None]
        return plans.with_appliers(applied, applier)

    def groups_of(self, known: Facts) -> tuple[KnownGroup, ...]:
        """Return the concurrency groups that the pull request's runs hold or wait for."""
        runs = [run for run in known.ledger.runs if known.received_at - run.started_at < LONGEST_RUN]
        names: dict[str, str] = {}
        for run in runs:
            rows = self.runs.read(run.run_id)
            names |= group_names(rows.run, rows.orders)
        found = self.groups.read(names) if names else {}
        return tuple(KnownGroup(names[key], found[key]) for key in sorted(found) if found[key].entries)

    def gates(self, known: Facts, author: Account, commands: Sequence[Command]) -> tuple[Gate, ...]:
        """Return the orders with an approval that commands may name, in runs that may be open; the newest runs last."""
        targets = {command.target for command in commands}
        is_named = cache(lambda by: self._is_named(by, author))
        found = []
        for started in known.ledger.runs:
            if known.received_at - started.started_at > LONGEST_RUN:
                continue
            rows = self.runs.read(started.run_id)
            if rows.run is None:
                continue
            for order in rows.orders:
                if order.approval is not None:
                    # Hosts are asked about teams only where it matters.
                    asked = order.order_name in targets and order.awaits_answer
                    named = is_named(order.approval.by) if asked else False
                    found.append(Gate(started, rows.run, rows.orders, order, named))
        return tuple(found)

    def _is_named(self, by: Sequence[str], author: Account) -> bool | None:
        """Return whether a person is named, or in a named team as the host knows it now; None if it does not tell."""
        by_login = self.host.kind != Sender.BITBUCKET
        if any(names(entry, author, by_login=by_login) for entry in by if not entry.startswith(TEAM)):
            return True
        answers = [self._in_team(entry.removeprefix(TEAM), author) for entry in by if entry.startswith(TEAM)]
        if True in answers:
            return True
        return None if None in answers else False

    def _in_team(self, team: str, author: Account) -> bool | None:
        # A provider of another package may be made for a version before.
        return self.host.reviews().is_member(team, author) if isinstance(self.host, ReviewedHost) else None


__all__ = ["RunCollector"]
