"""Starts the schedules of repositories: each planned minute once, at the next tick."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common import ids, keys
from iac_ci_common.errors import ConditionFailed, ConfigurationProblems, IacCiError, NotFound
from iac_ci_common.models.lock import Delivery
from iac_ci_triggers.configuration import FILE_NAME, MAX_BYTES, due_minutes, read_configuration, scheduled_jobs
from iac_ci_triggers.event import EventKind, HostEvent, Person, StoredTrigger
from iac_ci_triggers.ledger import KnownSchedule, Ledger
from iac_ci_triggers.ledger_plan import KEPT
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.provider import HasIssues

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_common.ports import AsyncInvoker, Clock, Deliveries, Logger, Objects
    from iac_ci_init.chores import Allowance
    from iac_ci_triggers.connections import Connection, Connections
    from iac_ci_triggers.ports import Ledgers
    from iac_ci_vcs.ports import CodeHosts
    from iac_ci_vcs.provider import CodeHost

_REMEMBERED: Final = timedelta(days=3)
"""How long a planned minute is remembered that a tick has brought; the ledger keeps that it was decided."""

_AGAIN_AFTER: Final = timedelta(minutes=10)
"""Age from which a minute that is not decided yet is brought again: Lambda has repeated its event in vain by then, for
example because the code host did not answer. Where it has not, the event is processed twice, which starts nothing
twice."""

_AGAIN_WITHIN: Final = timedelta(hours=6)
"""Age up to which a minute is brought again; later the schedule's next minute says that it was left out."""

_RENEWED: Final = timedelta(days=30)
"""Rest of its life at which a ledger is written again although nothing has changed."""

SCHEDULER: Final = Person(id="", login="schedule")
"""The account of a schedule's events, which is none of a code host."""


@dataclass(frozen=True, slots=True)
class SchedulesPorts:
    """The ports for schedules."""

    clock: Clock
    code_hosts: CodeHosts
    ledgers: Ledgers
    deliveries: Deliveries
    objects: Objects
    invoker: AsyncInvoker
    logger: Logger


class Schedules:
    """Reads the schedules of the branches that connections name, and brings the minutes that have come as events."""

    name = "schedules"

    def __init__(self, ports: SchedulesPorts, connections: Callable[[datetime], Connections]) -> None:
        """Use ``ports``; ``connections`` returns the operator's current list."""
        self._ports, self._connections = ports, connections

    def start_due(self) -> int:
        """Bring the newest planned minute of each schedule, without a request to a host; return how many.

        Nothing is lost by an error: the next tick brings the same minute or a newer one.
        """
        now, brought = self._ports.clock.now(), 0
        connections = self._connections(now)
        for subject in connections.with_schedules:
            connection = connections.find(f"https://{subject}")
            try:
                ledger = self._ports.ledgers.read(keys.schedule_ledger(subject))
                if connection is None or ledger is None or ledger.branch != connection.schedule_branch:
                    continue
                brought += sum(self._bring(subject, ledger, known, now) for known in ledger.schedules)
            except IacCiError as error:
                self._ports.logger.warning("schedules not looked at", repository=subject, error=error.message)
        return brought

    def subjects(self, now: datetime) -> Sequence[str]:
        """Return the key of each repository with a branch whose schedules run."""
        return self._connections(now).with_schedules

    def work(self, subject: str, allowance: Allowance) -> None:
        """Read the schedules of one repository again if its branch has moved, with one request if it has not."""
        ports, now = self._ports, self._ports.clock.now()
        connection = self._connections(now).find(f"https://{subject}")
        if connection is None or connection.schedule_branch is None:
            return
        key = keys.schedule_ledger(subject)
        ledger = ports.ledgers.read(key) or Ledger(key=key, expires_at=now + KEPT)
        with ports.code_hosts.open(f"https://{subject}", connection.token_location) as host:
            read = self._read(host, subject, connection, ledger, allowance)
        if read == ledger and ledger.expires_at - now > _RENEWED:
            return
        with suppress(ConditionFailed):
            # An event of this repository has written the ledger meanwhile: the next turn reads again.
            ports.ledgers.write(read.model_copy(update={"expires_at": now + KEPT}))

    def _read(
        self, host: CodeHost, subject: str, connection: Connection, ledger: Ledger, allowance: Allowance
    ) -> Ledger:
        """Return the ledger with the schedules of the branch's newest commit; a new one begins now."""
        branch = connection.schedule_branch or ""
        allowance.spend()
        try:
            head = host.branch_head(branch)
        except NotFound:
            self._ports.logger.warning("no branch for schedules", repository=subject, branch=branch)
            return ledger.model_copy(update={"branch": branch, "branch_sha": None, "schedules": ()})
        if (ledger.branch, ledger.branch_sha) == (branch, head):
            return ledger
        allowance.spend()
        schedules = self._schedules(host, subject, head, ledger)
        if schedules is None:
            # What is not valid starts nothing, and the minutes of known schedules say why.
            return ledger.model_copy(update={"branch": branch, "branch_sha": head})
        if schedules and isinstance(host, HasIssues):
            allowance.spend()
            if (problem := host.issues().problem()) is not None:
                message = "drift cannot be reported as issues"
                self._ports.logger.warning(message, repository=subject, reason=problem)
        return ledger.model_copy(update={"branch": branch, "branch_sha": head, "schedules": schedules})

    def _schedules(self, host: CodeHost, subject: str, commit: str, ledger: Ledger) -> tuple[KnownSchedule, ...] | None:
        """Return the schedules of a commit, None if its configuration is not valid."""
        try:
            found = scheduled_jobs(read_configuration(host.file(FILE_NAME, commit, max_bytes=MAX_BYTES)))
        except NotFound:
            return ()
        except ConfigurationProblems:
            self._ports.logger.warning("schedules not read: the file is not valid", repository=subject, commit=commit)
            return None
        now = self._ports.clock.now()
        schedules = []
        for job, schedule in found.items():
            known = ledger.schedule(job)
            if known is None or not known.is_same(schedule.cron, schedule.timezone):
                known = KnownSchedule(job=job, cron=schedule.cron, timezone=schedule.timezone, decided=now)
            schedules.append(known)
        return tuple(schedules)

    def _bring(self, subject: str, ledger: Ledger, known: KnownSchedule, now: datetime) -> bool:
        """Bring the newest planned minute that has come; return False if there is none, or it was brought before.

        A minute that stays undecided is brought again by later ticks, under the same id.
        """
        try:
            due = due_minutes(known.cron, known.timezone, known.decided, now)
        except ValueError:
            # A version with other time zones has read it.
            self._ports.logger.warning("schedule cannot be read", repository=subject, job=known.job)
            return False
        if not due:
            return False
        ports, minute, trigger_id = self._ports, due[-1], ids.new_run_id(now)
        planned = "\n".join([subject, known.job, known.cron, known.timezone, minute.isoformat()])
        digest = hashlib.sha256(planned.encode()).hexdigest()
        row = Delivery(
            key=keys.delivery("schedule", digest), run_id=trigger_id, body_sha256=digest, expires_at=now + _REMEMBERED
        )
        seen = ports.deliveries.remember([row], now=now)
        if seen is not None and seen.answer is not None:
            age = now - (seen.expires_at - _REMEMBERED)
            if not _AGAIN_AFTER <= age <= _AGAIN_WITHIN:
                return False
        # A tick that died after it had remembered the minute has brought nothing: its event is brought now.
        trigger_id = row.run_id if seen is None else seen.run_id
        event = HostEvent(
            host=Sender.GITHUB,
            kind=EventKind.SCHEDULE,
            repository=f"https://{subject}",
            actor=SCHEDULER,
            branch=ledger.branch,
            job=known.job,
            planned_for=minute,
        )
        stored = StoredTrigger(trigger_id=trigger_id, received_at=now, event=event)
        ports.objects.put(
            keys.trigger_event(trigger_id), stored.model_dump_json().encode(), content_type="application/json"
        )
        ports.invoker.process_event(trigger_id)
        ports.deliveries.answer(row.key, trigger_id)
        ports.logger.info("planned minute brought", repository=subject, job=known.job, minute=minute.isoformat())
        return True


__all__ = ["SCHEDULER", "Schedules", "SchedulesPorts"]
