"""Processes one received event: collects facts, decides, writes the ledger, and then acts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from iac_ci_common import ids, keys
from iac_ci_common.acceptance import Acceptance, rules
from iac_ci_common.errors import ConditionFailed, IacCiError, NotFound, PortFailed
from iac_ci_common.nudge import nudge
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.decide import decide_comment, decide_merge_group, decide_pull_request, decide_push
from iac_ci_triggers.decisions import Cancel, Mark, Nothing, Say, Wake
from iac_ci_triggers.event import EventKind, StoredTrigger
from iac_ci_triggers.facts import Source
from iac_ci_triggers.gather import FactCollector
from iac_ci_triggers.ledger import Ledger
from iac_ci_triggers.ledger_plan import KEPT, Planned, plan
from iac_ci_triggers.notice import NOTICE_MARKER, Paragraph, render_notice
from iac_ci_vcs.address import parse_address
from iac_ci_vcs.commit_jobs import has_open_pull, set_job_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from iac_ci_common.grants import Grant
    from iac_ci_common.ports import Clock, CommitJobs, Logger, Objects, Runs
    from iac_ci_triggers.connections import Connection, Connections
    from iac_ci_triggers.decisions import Decision
    from iac_ci_triggers.event import HostEvent
    from iac_ci_triggers.facts import Facts
    from iac_ci_triggers.ports import Ledgers
    from iac_ci_triggers.settings import TriggerSettings
    from iac_ci_vcs.ports import CodeHosts
    from iac_ci_vcs.provider import CodeHost

_DECIDE: Final[dict[EventKind, Callable[[Facts], list[Decision]]]] = {
    EventKind.PULL_REQUEST: decide_pull_request,
    EventKind.COMMENT: decide_comment,
    EventKind.PUSH: decide_push,
    EventKind.MERGE_GROUP: decide_merge_group,
}

_TRIES: Final = 5
"""Most decisions about one event: each time another event has changed the ledger, the decision is repeated."""

_OPEN: Final = timedelta(hours=25)
"""Age after which a run has certainly ended: no run takes longer than a day."""


@dataclass(frozen=True, slots=True)
class EventProcessorPorts:
    """The ports for processing an event."""

    clock: Clock
    objects: Objects
    runs: Runs
    ledgers: Ledgers
    commit_jobs: CommitJobs
    code_hosts: CodeHosts
    logger: Logger


class EventProcessor:
    """Processes received events. Processing an event again starts, comments and cancels nothing more."""

    def __init__(
        self,
        ports: EventProcessorPorts,
        acceptance: Acceptance,
        connections: Callable[[datetime], Connections],
        grants: Callable[[str, datetime], Grant],
        settings: TriggerSettings,
    ) -> None:
        """Use ``ports``; ``connections`` returns the operator's current list, ``grants`` what a source may use."""
        self._ports = ports
        self._acceptance = acceptance
        self._connections = connections
        self._grants = grants
        self._settings = settings

    def process(self, trigger_id: str) -> None:
        """Process a received event.

        Raises the error of a failed call, so that Lambda invokes the function again and, after its last attempt, the
        watchdog.
        """
        now = self._ports.clock.now()
        stored = StoredTrigger.from_stored(self._ports.objects.get(keys.trigger_event(trigger_id)))
        event = stored.event
        logger = self._ports.logger.bind(trigger_id=trigger_id, repository=event.repository)
        connection = self._connections(now).find(event.repository)
        if connection is None:
            logger.warning("repository no longer connected; event ignored")
            return
        with self._ports.code_hosts.open(event.repository, connection.token_location) as host:
            source = self._source(event, connection, now)
            decisions, planned = self._decide(host, stored, source)
            for decision in decisions:
                if isinstance(decision, Nothing):
                    logger.info("event starts nothing", reason=decision.reason)
            self._apply(host, event, source, decisions, planned, now)
        logger.info("event processed", started=len(planned.accept), duplicates=planned.duplicates)

    def _source(self, event: HostEvent, connection: Connection, now: datetime) -> Source:
        url = parse_address(event.repository)
        if url is None:
            raise PortFailed(f"{event.repository!r:.200} is not the URL of a repository on a code host")
        name = connection.source or repository_key(event.repository) or ""
        return Source(
            repository=url.clone_url,
            token_location=connection.token_location,
            connection=connection,
            rules=rules(
                self._settings, name, self._grants(name, now), own_tokens=frozenset({connection.token_location})
            ),
        )

    def _decide(self, host: CodeHost, stored: StoredTrigger, source: Source) -> tuple[list[Decision], Planned]:
        """Decide and write the ledger. If another event writes it first, read it again and repeat the decision."""
        ports, event = self._ports, stored.event
        collector = FactCollector(host, ports.runs, ports.objects, source)
        for _ in range(_TRIES):
            now = ports.clock.now()
            ledger = ports.ledgers.read(_ledger_key(event)) or Ledger(key=_ledger_key(event), expires_at=now + KEPT)
            decisions = _DECIDE[event.kind](collector.facts(stored, ledger))
            planned = plan(ledger, decisions, now, partial(ids.new_run_id, now))
            try:
                if planned.ledger.model_copy(update={"expires_at": ledger.expires_at}) != ledger:
                    ports.ledgers.write(planned.ledger)
            except ConditionFailed:
                continue
            return decisions, planned
        raise PortFailed("other events changed the ledger at every attempt", retry_is_safe=True)

    def _apply(
        self,
        host: CodeHost,
        event: HostEvent,
        source: Source,
        decisions: Sequence[Decision],
        planned: Planned,
        now: datetime,
    ) -> None:
        for decision in decisions:
            if isinstance(decision, Cancel):
                self._cancel(planned.ledger, decision, now)
            elif isinstance(decision, Wake):
                self._wake([run_id for run_id in decision.run_ids if _may_be_open(planned.ledger, run_id, now)])
        for run, start in planned.accept:
            self._acceptance.accept(
                start.job,
                run.run_id,
                source=source.rules.source,
                now=now,
                ledger=planned.ledger.key,
                job_name=start.job_name,
                actor=start.actor,
                scope=start.scope,
                not_run=start.not_run,
            )
        reports = [partial(self._mark, host, source, mark, now) for mark in decisions if isinstance(mark, Mark)]
        paragraphs = tuple(decision.paragraph for decision in decisions if isinstance(decision, Say))
        paragraphs += tuple(
            Paragraph(f"{run.job} was not started: the pull request changed meanwhile. Write the command again.")
            for run in planned.overtaken
            if not self._ports.objects.exists(keys.job(run.run_id))
        )
        if paragraphs and event.number is not None:
            reports.append(partial(_write_notice, host, event, paragraphs))
        self._report(reports)

    def _mark(self, host: CodeHost, source: Source, mark: Mark, now: datetime) -> None:
        if mark.part is None:
            host.set_status(mark.status)
            return
        set_job_status(
            self._ports.commit_jobs,
            source.repository,
            mark.status,
            mark.part,
            now=now,
            is_open=partial(has_open_pull, host, mark.status.commit),
            mark=host.set_status,
        )

    def _report(self, reports: Sequence[Callable[[], object]]) -> None:
        """Write statuses and the notice, all of them although one fails. Raise a failure that a retry may repair."""
        failed: list[IacCiError] = []
        for report in reports:
            try:
                report()
            except IacCiError as error:
                self._ports.logger.error("pull request comment or status failed", error=error.message)
                failed.append(error)
        transient = [error for error in failed if error.retry_is_safe]
        if transient:
            raise transient[0]

    def _cancel(self, ledger: Ledger, cancel: Cancel, now: datetime) -> None:
        cancelled = []
        for run_id in cancel.run_ids:
            if not _may_be_open(ledger, run_id, now):
                continue
            try:
                self._ports.runs.request_cancel(run_id, cancel.reason)
            except (ConditionFailed, NotFound):
                # The run has ended, or it is being prepared and the preparation reads the ledger.
                continue
            cancelled.append(run_id)
        self._wake(cancelled)

    def _wake(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            nudge(self._ports.objects, run_id)


def _may_be_open(ledger: Ledger, run_id: str, now: datetime) -> bool:
    run = ledger.run(run_id)
    return run is not None and now - run.started_at < _OPEN


def _ledger_key(event: HostEvent) -> str:
    repository = repository_key(event.repository) or ""
    if event.number is not None:
        return keys.pull_request_ledger(repository, event.number)
    return keys.branch_ledger(repository, event.branch or "")


def _write_notice(host: CodeHost, event: HostEvent, paragraphs: tuple[Paragraph, ...]) -> None:
    number = event.number or 0
    body = render_notice(paragraphs, commit=event.sha, limit=host.max_comment_chars)
    notice = host.find_comment(number, NOTICE_MARKER)
    if notice is None:
        host.create_comment(number, body)
    elif notice.body != body:
        host.edit_comment(number, notice.id, body)
