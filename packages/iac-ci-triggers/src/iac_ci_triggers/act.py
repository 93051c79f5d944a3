"""Processes one received event: collects facts, decides, writes the ledger, and then acts."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from iac_ci_common import ids, keys
from iac_ci_common.acceptance import Acceptance, rules
from iac_ci_common.approvals import answer_result
from iac_ci_common.errors import ConditionFailed, IacCiError, NotFound, PortFailed
from iac_ci_common.ids import RUN_ORDER_NUM
from iac_ci_common.kept_answers import keep_first
from iac_ci_common.limits import EVENT_RETENTION_SECONDS
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.models.event import Event
from iac_ci_common.nudge import nudge
from iac_ci_common.states import OPEN
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.decide import (
    decide_closed,
    decide_comment,
    decide_merge_group,
    decide_pull_request,
    decide_push,
    decide_replan,
    decide_schedule,
)
from iac_ci_triggers.decisions import Answer, Cancel, Free, Mark, Nothing, Refresh, Say, Settle, Wake
from iac_ci_triggers.event import EventKind, HostEvent, Person, StoredTrigger
from iac_ci_triggers.facts import Source
from iac_ci_triggers.freeing import free
from iac_ci_triggers.gather import FactCollector
from iac_ci_triggers.ledger import LONGEST_RUN, MAX_ANSWERS, Ledger
from iac_ci_triggers.ledger_plan import ANSWERS_KEPT, COUNTED, KEPT, Asked, Planned, plan, with_answer
from iac_ci_triggers.left_out import shown_left_out
from iac_ci_triggers.missed import processed_state
from iac_ci_triggers.notice import ARRIVED, Paragraph, Subject, answer_name, notice_name, render_paragraphs
from iac_ci_triggers.outdated import has_begun_apply, outdated_runs
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.address import parse_address, settings_for
from iac_ci_vcs.commit_jobs import has_open_pull, refresh_job_status, set_job_status
from iac_ci_vcs.provider import CommentStyle
from iac_ci_vcs.reporting import marker
from iac_ci_vcs.waiting import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from iac_ci_common.grants import Grant
    from iac_ci_common.models.saved_plan import Replan
    from iac_ci_common.ports import Clock, CommitJobs, Groups, Logger, Objects, Plans, Runs
    from iac_ci_triggers.connections import Connection, Connections
    from iac_ci_triggers.decisions import Decision
    from iac_ci_triggers.facts import Facts
    from iac_ci_triggers.ledger import GivenAnswer, ProcessedState
    from iac_ci_triggers.ports import Ledgers
    from iac_ci_triggers.settings import TriggerSettings
    from iac_ci_vcs.ports import CodeHosts, Trees
    from iac_ci_vcs.provider import CodeHost, PullRequest

_MAX_BRANCH_CHARS: Final = 1024

_DECIDE: Final[dict[EventKind, Callable[[Facts], list[Decision]]]] = {
    EventKind.PULL_REQUEST: decide_pull_request,
    EventKind.CLOSED: decide_closed,
    EventKind.COMMENT: decide_comment,
    EventKind.PUSH: decide_push,
    EventKind.MERGE_GROUP: decide_merge_group,
    EventKind.REPLAN: decide_replan,
    EventKind.SCHEDULE: decide_schedule,
}

_NOTICE_SECONDS: Final = 6.0
"""How long a standing notice is waited for that another event has entered into the ledger and is about to write."""

_TRIES: Final = 5
"""Most decisions about one event: each time another event has changed the ledger, the decision is repeated."""


@dataclass(frozen=True, slots=True)
class EventProcessorPorts:
    """The ports for processing an event."""

    clock: Clock
    objects: Objects
    runs: Runs
    ledgers: Ledgers
    commit_jobs: CommitJobs
    code_hosts: CodeHosts
    trees: Trees
    plans: Plans
    groups: Groups
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
        self._process(StoredTrigger.from_stored(self._ports.objects.get(keys.trigger_event(trigger_id))))

    def plan_again(self, replan: Replan) -> None:
        """Make a plan again that an apply has made stale, if the pull request's own event would make it; raise alike.

        What is needed is read from the ledgers and the host. ``replan`` itself decides nothing.
        """
        address = parse_address(replan.repository)
        kind = settings_for(address.host if address is not None else "", self._settings.code_hosts).kind
        event = HostEvent(
            host=Sender(kind) if kind in set(Sender) else Sender.GITHUB,
            kind=EventKind.REPLAN,
            repository=replan.repository,
            actor=Person(id="", login=""),
            number=replan.number,
            replan=replan,
        )
        self._process(StoredTrigger(trigger_id=replan.trigger_id, received_at=replan.at, event=event))

    def _process(self, stored: StoredTrigger) -> None:
        now, event = self._ports.clock.now(), stored.event
        logger = self._ports.logger.bind(trigger_id=stored.trigger_id, repository=event.repository)
        connection = self._connections(now).find(event.repository)
        if connection is None:
            logger.warning("repository no longer connected; event ignored")
            return
        with self._ports.code_hosts.open(event.repository, connection.token_location) as host:
            self._acknowledge(host, stored, logger)
            source = self._source(event, connection, now)
            facts, decisions, planned = self._decide(host, stored, source)
            for decision in decisions:
                if isinstance(decision, Nothing):
                    logger.info("event starts nothing", reason=decision.reason)
            known = facts.ledger.notices
            self._apply(host, event, source, decisions, planned, now, branch=_branch(event, facts), known=known)
            self._fold(host, event, outdated_runs(facts, decisions), logger)
            self._record(stored, planned.ledger, logger)
        if facts.pull is not None:
            self._enter_state(stored, facts.pull, facts.ledger.processed)
        logger.info("event processed", started=len(planned.accept), duplicates=planned.duplicates)

    def _acknowledge(self, host: CodeHost, stored: StoredTrigger, logger: Logger) -> None:
        """Show that the event has arrived, before anything is fetched: by a reaction to the comment or pull request.

        A host without reactions gets a note: for a comment one that the answer replaces, for a pull request one for all
        of its events. Failures are logged only: whatever follows is more important.
        """
        event = stored.event
        if event.number is None or event.kind in {EventKind.CLOSED, EventKind.REPLAN}:
            return
        try:
            if host.react(event.number, event.comment_id):
                return
            if event.comment_id is not None:
                self._note(host, event, event.comment_id)
            else:
                at = f"{stored.received_at:%Y-%m-%d %H:%M:%S} UTC"
                text = f"The pull request's last event arrived at {at}. Its statuses and runs follow."
                _write(host, event, ARRIVED, (Paragraph(text),))
        except IacCiError as error:
            logger.warning("event not acknowledged", error=error.message)

    def _note(self, host: CodeHost, event: HostEvent, comment_id: str) -> None:
        ledger = self._ports.ledgers.read(_person_key(event))
        since = self._ports.clock.now() - COUNTED
        if ledger is not None and len(ledger.answers_since(since)) >= MAX_ANSWERS:
            return
        name = answer_name(comment_id)
        if host.find_comment(event.number or 0, marker(name, has_html=host.comments_have_html)) is None:
            _write(host, event, name, (Paragraph("The comment has arrived. Its answer follows here, or as a run."),))

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

    def _decide(self, host: CodeHost, stored: StoredTrigger, source: Source) -> tuple[Facts, list[Decision], Planned]:
        """Decide and write the ledger. If another event writes it first, read it again and repeat the decision."""
        ports, event = self._ports, stored.event
        collector = FactCollector(
            host,
            source,
            runs=ports.runs,
            objects=ports.objects,
            trees=ports.trees,
            plans=ports.plans,
            groups=ports.groups,
            now=ports.clock.now,
        )
        for _ in range(_TRIES):
            now = ports.clock.now()
            ledger = ports.ledgers.read(_ledger_key(event)) or Ledger(key=_ledger_key(event), expires_at=now + KEPT)
            facts = collector.facts(stored, ledger)
            decisions = _DECIDE[event.kind](facts)
            planned = plan(ledger, decisions, now, partial(ids.new_run_id, now))
            try:
                if planned.ledger.model_copy(update={"expires_at": ledger.expires_at}) != ledger:
                    ports.ledgers.write(planned.ledger)
            except ConditionFailed:
                continue
            return facts, decisions, planned
        raise PortFailed("other events changed the ledger at every attempt", retry_is_safe=True)

    def _enter_state(self, stored: StoredTrigger, pull: PullRequest, decided_on: ProcessedState | None) -> None:
        """Enter into the ledger what the event was about, now that everything has followed; the tick reads it.

        Another event may have entered its own state since ``decided_on`` was read; that one stays.
        """
        event = stored.event
        fields: dict[str, object]
        if event.kind is EventKind.PULL_REQUEST and pull.is_open:
            fields = {"processed": processed_state(pull)}
        elif event.kind is EventKind.CLOSED and not pull.is_open:
            fields = {"processed": None, "closed_at": stored.received_at}
        else:
            return
        ledgers, key = self._ports.ledgers, _ledger_key(event)
        for _ in range(_TRIES):
            ledger = ledgers.read(key)
            if ledger is None or ledger.processed != decided_on:
                return
            changed = ledger.model_copy(update=fields)
            try:
                if changed != ledger:
                    ledgers.write(changed)
            except ConditionFailed:
                continue
            return
        self._ports.logger.warning("state of the pull request not entered: other events changed the ledger", key=key)

    def _permitted(self, event: HostEvent, comment_id: str) -> GivenAnswer | None:
        """Return the answer to a comment, entered in its author's ledger; None if the author has had too many."""
        ledgers, key = self._ports.ledgers, _person_key(event)
        for _ in range(_TRIES):
            now = self._ports.clock.now()
            ledger = ledgers.read(key) or Ledger(key=key, expires_at=now + ANSWERS_KEPT)
            entered, answer = with_answer(ledger, Asked(comment_id, event.actor.id), now)
            try:
                if entered != ledger:
                    ledgers.write(entered)
            except ConditionFailed:
                continue
            return answer
        raise PortFailed("other events changed the person's ledger at every attempt", retry_is_safe=True)

    def _link_generation(self, host: CodeHost, source: Source) -> int | None:
        """Return the generation of links in reports; None, which means no link, unless the host calls it private."""
        try:
            is_private = source.connection is not None and host.is_private() is True
        except IacCiError as error:
            self._ports.logger.warning("host did not tell whether the repository is private", error=error.message)
            return None
        return source.connection.link_generation if source.connection is not None and is_private else None

    def _apply(
        self,
        host: CodeHost,
        event: HostEvent,
        source: Source,
        decisions: Sequence[Decision],
        planned: Planned,
        now: datetime,
        *,
        branch: str | None,
        known: Collection[str],
    ) -> None:
        outcomes = self._act_on_runs(decisions, planned.ledger, now)
        generation = self._link_generation(host, source) if planned.accept else None
        for run, start in planned.accept:
            self._acceptance.accept(
                start.job,
                run.run_id,
                source=source.rules.source,
                now=now,
                ledger=planned.ledger.key,
                job_name=start.job_name,
                actor=start.actor,
                branch=branch,
                scope=start.scope,
                not_run=start.not_run,
                projects=start.projects,
                link_generation=generation,
                planned_for=start.planned_for,
            )
        reports: list[Callable[[], object]] = [
            partial(self._mark, host, source, mark, now) for mark in decisions if isinstance(mark, Mark)
        ]
        reports += [
            partial(self._refresh, host, source, event, refresh, now)
            for refresh in decisions
            if isinstance(refresh, Refresh)
        ]
        if event.number is not None:
            reports += _notices(host, event, decisions, known)
            answer = tuple(
                decision.paragraph for decision in decisions if isinstance(decision, Say) and not decision.subject
            )
            answer += tuple(outcomes)
            answer += tuple(
                Paragraph(f"{run.job} was not started: the pull request changed meanwhile. Write the command again.")
                for run in planned.overtaken
                if not self._ports.objects.exists(keys.job(run.run_id))
            )
            if answer and planned.is_answered and event.comment_id is not None:
                given = self._permitted(event, event.comment_id)
                if given is not None:
                    reports.append(partial(_write_answer, host, event, answer, is_last=given.is_last))
        self._report(reports)

    def _act_on_runs(self, decisions: Sequence[Decision], ledger: Ledger, now: datetime) -> list[Paragraph]:
        """Cancel, answer, free and wake runs that there are; return what is known only afterwards."""
        outcomes: list[Paragraph] = []
        for decision in decisions:
            if isinstance(decision, Cancel):
                cancelled = self._cancel(ledger, decision, now)
                if decision.running:
                    outcomes.append(self._what_had_started(cancelled))
            elif isinstance(decision, Answer):
                outcomes.append(self._answer(decision))
            elif isinstance(decision, Free):
                free(self._ports.groups, self._ports.runs, self._ports.objects, decision, now)
            elif isinstance(decision, Wake):
                self._wake([run_id for run_id in decision.run_ids if _may_be_open(ledger, run_id, now)])
        return outcomes

    def _fold(self, host: CodeHost, event: HostEvent, outdated: Mapping[str, bool], logger: Logger) -> None:
        """Fold the comments of outdated runs, except of those that have applied something. Failures are logged only."""
        if event.number is None or event.kind is EventKind.CLOSED:
            return
        try:
            markers = [
                marker(run_id)
                for run_id, may_apply in outdated.items()
                if not (may_apply and has_begun_apply(self._ports.runs.read(run_id).orders))
            ]
            if markers:
                host.fold_comments(event.number, markers)
        except IacCiError as error:
            logger.warning("superseded comments not folded", error=error.message)

    def _record(self, stored: StoredTrigger, ledger: Ledger, logger: Logger) -> None:
        """Record the planned minutes that this event has left out: in the log, and as an event of the run they name."""
        for one in ledger.left_out:
            if one.trigger_id != stored.trigger_id:
                continue
            known = ledger.schedule(one.job)
            text = shown_left_out(one, known.timezone if known is not None else "UTC")
            logger.warning("planned minutes of a schedule left out", job=one.job, reason=text)
            if one.run_id is None:
                continue
            try:
                run = StoredJob.from_stored(self._ports.objects.get(keys.job(one.run_id)))
            except NotFound:
                # Its acceptance was interrupted, and it starts with the next attempt of this event.
                continue
            self._ports.runs.record([_left_out_event(run, stored.received_at, text)])

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

    def _refresh(self, host: CodeHost, source: Source, event: HostEvent, refresh: Refresh, now: datetime) -> None:
        for status in refresh.statuses:
            refresh_job_status(
                self._ports.commit_jobs,
                source.repository,
                status,
                event.number or 0,
                now=now,
                is_open=partial(has_open_pull, host, status.commit),
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

    def _cancel(self, ledger: Ledger, cancel: Cancel, now: datetime) -> list[str]:
        """Cancel runs and return those that had rows; another run has no order that could have started."""
        cancelled = []
        for run_id in cancel.run_ids:
            if not _may_be_open(ledger, run_id, now):
                continue
            try:
                if cancel.running:
                    self._ports.runs.request_stop(run_id, cancel.reason)
                with contextlib.suppress(*((ConditionFailed,) if cancel.running else ())):
                    # It may be cancelled already, and its running orders are stopped now.
                    self._ports.runs.request_cancel(run_id, cancel.reason)
            except (ConditionFailed, NotFound):
                # The run has ended, or it is being prepared and the preparation reads the ledger.
                continue
            cancelled.append(run_id)
        self._wake(cancelled)
        return cancelled

    def _answer(self, decision: Answer) -> Paragraph:
        """Keep an answer to an order, if it is the first, and return which one counts; the same one may come again."""
        order, given = decision.order, decision.answer
        counts = keep_first(self._ports.objects, answer_result(order, given))
        if counts.answer is None or counts.answer.reference != given.reference:
            return Paragraph(f"{order.order_name} has an answer already: {counts.reason}.")
        # Read after the answer was kept: what stops the run later shows in the run itself.
        run = self._ports.runs.find_run(order.run_id)
        stop = (run.cancel_reason or run.preparation_error) if run is not None else None
        text = f"{order.order_name} of run {order.run_id}: {counts.reason}."
        return Paragraph(text if stop is None else f"{text} The run has been stopped meanwhile: {stop}")

    def _what_had_started(self, run_ids: Sequence[str]) -> Paragraph:
        """Return what had started, by rows that are read after the request was made."""
        lines = []
        for run_id in run_ids:
            rows = self._ports.runs.read(run_id)
            for order in rows.orders if rows.run is not None else ():
                if order.status in OPEN and rows.run is not None:
                    named = f"name it to interrupt it: iac-ci cancel {run_id} {order.order_name} --running"
                    fate = "is asked to stop" if order.stop_wish(rows.run) else f"applies and finishes; {named}"
                    lines.append(f"{order.order_name} had started and {fate}")
        text = "The queued orders of this pull request's runs are cancelled."
        return Paragraph(f"{text} {'No order had started.' if not lines else ''}".rstrip(), tuple(lines))

    def _wake(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            nudge(self._ports.objects, run_id)


def _may_be_open(ledger: Ledger, run_id: str, now: datetime) -> bool:
    run = ledger.run(run_id)
    return run is not None and now - run.started_at < LONGEST_RUN


def _ledger_key(event: HostEvent) -> str:
    repository = repository_key(event.repository) or ""
    if event.number is not None:
        return keys.pull_request_ledger(repository, event.number)
    if event.kind is EventKind.SCHEDULE:
        return keys.schedule_ledger(repository)
    return keys.branch_ledger(repository, event.branch or "")


def _branch(event: HostEvent, facts: Facts) -> str | None:
    """Return the branch of the pull request or push; a fork's has the name that it has there."""
    branch = facts.pull.head_branch if facts.pull is not None else event.branch
    return branch[:_MAX_BRANCH_CHARS] if branch else None


def _left_out_event(run: StoredJob, at: datetime, reason: str) -> Event:
    """Return the event of a run that planned minutes of its schedule were left out; the same at each attempt."""
    return Event(
        trace_id=run.trace_id,
        run_id=run.run_id,
        order_num=RUN_ORDER_NUM,
        kind="left_out",
        at=at,
        reason=reason[:1024],
        expires_at=at + timedelta(seconds=EVENT_RETENTION_SECONDS),
    )


def _person_key(event: HostEvent) -> str:
    return keys.person_ledger(repository_key(event.repository) or "", event.actor.id)


def _notices(
    host: CodeHost, event: HostEvent, decisions: Sequence[Decision], known: Collection[str]
) -> list[Callable[[], object]]:
    """Return the calls that write the standing notices of the decisions; the ledger has had those of ``known`` before.

    The event that entered one of these may be writing it at this moment.
    """
    calls: list[Callable[[], object]] = []
    for subject in Subject:
        stated = tuple(one.paragraph for one in decisions if isinstance(one, Say) and one.subject is subject)
        gone = tuple(one.paragraph for one in decisions if isinstance(one, Settle) and one.subject is subject)
        if stated or gone:
            write = partial(_write, only_if_there=not stated, may_come=subject.value in known)
            calls.append(partial(write, host, event, notice_name(subject), stated or gone))
    return calls


def _write_answer(host: CodeHost, event: HostEvent, paragraphs: tuple[Paragraph, ...], *, is_last: bool) -> None:
    if is_last:
        text = f"This is the last of {MAX_ANSWERS} answers to {event.actor.login} within an hour; commands still run."
        paragraphs += (Paragraph(text),)
    _write(host, event, answer_name(event.comment_id or ""), paragraphs)


def _write(
    host: CodeHost,
    event: HostEvent,
    name: str,
    paragraphs: tuple[Paragraph, ...],
    *,
    only_if_there: bool = False,
    may_come: bool = False,
) -> None:
    """Create or edit the comment with this name; one that may come is waited for, so that there are not two."""
    number = event.number or 0
    style = CommentStyle(host.max_comment_chars, host.comments_have_html)
    body = render_paragraphs(name, paragraphs, commit=event.sha, style=style)
    known = settled(
        lambda: host.find_comment(number, marker(name, has_html=style.has_html)),
        lambda found: found is not None,
        seconds=_NOTICE_SECONDS if may_come and host.lag_seconds else 0,
    )
    if known is None:
        if not only_if_there:
            host.create_comment(number, body)
    elif known.body != body:
        host.edit_comment(number, known.id, body)
