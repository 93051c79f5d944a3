"""Runs one order: claims, fetches, unseals, runs, reports. After the claim it always writes a result."""

from __future__ import annotations

import itertools
import os
import random
import secrets
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from iac_ci_common.errors import AlreadyExists, IacCiError, PlanStale, TradeRefused
from iac_ci_common.limits import HEARTBEAT_AGAIN_SECONDS, LOG_TAIL_BYTES, MAX_RESULT_BYTES
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.models.trade import Refusal
from iac_ci_common.parallel import Threads
from iac_ci_common.redaction import Redactor
from iac_ci_common.states import OrderState
from iac_ci_common.trace_context import traceparent
from iac_ci_plans import runs_a_plan
from iac_ci_worker.credentials_delivery import delivered_credentials
from iac_ci_worker.decide import (
    LONGEST_PAUSE_SECONDS,
    Verdict,
    allowance,
    is_late,
    is_whole_in_result,
    last_start,
    log_tail,
    reading_seconds,
    verdict,
    worker_failure,
)
from iac_ci_worker.hand_on import HandedOn, HandOn
from iac_ci_worker.live_log import LiveLog
from iac_ci_worker.masking import redactor_of
from iac_ci_worker.open_operations import open_operations
from iac_ci_worker.output_file import VARIABLE as OUTPUT_VARIABLE
from iac_ci_worker.output_file import output_file
from iac_ci_worker.packages import Package, fetch_early, open_package
from iac_ci_worker.provider_installation import write_provider_installation
from iac_ci_worker.rights import Rights
from iac_ci_worker.runner import Commands
from iac_ci_worker.saved_files import FileCollector
from iac_ci_worker.saved_plan import PlanOrigin, SavedPlanReader, data_folder
from iac_ci_worker.separation import separate_user
from iac_ci_worker.stale_words import stale_reason
from iac_ci_worker.stop_request import StopRequest
from iac_ci_worker.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from iac_ci_common.models.changes import Changes
    from iac_ci_common.models.manifest import Manifest
    from iac_ci_common.models.plan_text import PlanText
    from iac_ci_common.models.saved_plan import PlannedFile
    from iac_ci_common.models.work import BuildOrder, Work
    from iac_ci_common.ports import Broker, Clock, Logger, Parallel, Sealer
    from iac_ci_plans import Reading
    from iac_ci_worker.heartbeat import Heartbeat
    from iac_ci_worker.presigned import PresignedObjects
    from iac_ci_worker.role_credentials import LivingCredentials
    from iac_ci_worker.runner import Runner
    from iac_ci_worker.settings import WorkerSettings
    from iac_ci_worker.workspace import Workspace


@dataclass(frozen=True, slots=True)
class WorkerPorts:
    """The ports of the worker."""

    clock: Clock
    objects: PresignedObjects
    sealer: Sealer
    runner: Runner
    broker: Broker
    heartbeat: Heartbeat
    logger: Logger
    wait: Callable[[float], None] = time.sleep
    live_log: type[LiveLog] = LiveLog
    parallel: Parallel = field(default_factory=Threads)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One worker's attempt at an order."""

    work: Work
    rights: Rights
    logger: Logger
    stop: StopRequest
    function_ends: datetime | None = None
    """When Lambda ends this worker; None on a build."""


@dataclass(frozen=True, slots=True)
class _Ran:
    """The outcome of the commands."""

    verdict: Verdict
    exit_code: int | None = None
    failed_command: str | None = None
    changes: Changes | None = None
    changes_unknown: bool = False
    plan: PlanText | None = None
    planned: PlannedFile | None = None
    handed_on: HandedOn = field(default_factory=HandedOn)
    live_parts: int = 0
    log_times: tuple[tuple[int, int], ...] = ()


class Worker:
    """Runs orders, one at a time."""

    def __init__(self, ports: WorkerPorts, settings: WorkerSettings) -> None:
        """Use ``ports``."""
        self._ports = ports
        self._settings = settings

    def run(
        self, work: Work, *, call: str = "", seconds_left: float | None = None, stop: StopRequest | None = None
    ) -> OrderState | None:
        """Run an order and return its state; return None, without running it, if it is not this worker's to run.

        ``seconds_left`` is what this worker's Lambda function has left, None on a build. ``stop`` is how this process
        is asked to stop.
        Raises ``SandboxUnfit`` before the claim if the order's folder is held by something else, and ``PortFailed`` if
        the claim could not be decided (then nothing was run) or the result could not be written; then the watchdog
        reports the order.
        """
        logger = self._logger(work)
        ends = None if seconds_left is None else self._ports.clock.now() + timedelta(seconds=seconds_left)
        rights = self._rights(work, call, logger)
        return self._run_order(_Attempt(work, rights, logger, stop or StopRequest(), function_ends=ends))

    def run_build(self, order: BuildOrder, *, call: str = "", stop: StopRequest | None = None) -> OrderState | None:
        """Run the order of a build, which trades for its work first; return and raise as ``run`` does."""
        logger = self._logger(order)
        rights = self._rights(order, call, logger)
        try:
            work = rights.work()
        except TradeRefused as refused:
            logger.info("the order is not this worker's", refusal=refused.refusal, reason=refused.message)
            return None
        return self._run_order(_Attempt(work, rights, logger, stop or StopRequest()))

    def _logger(self, order: Work | BuildOrder) -> Logger:
        return self._ports.logger.bind(run_id=order.run_id, order_num=order.order_num)

    def _rights(self, order: Work | BuildOrder, call: str, logger: Logger) -> Rights:
        ports = self._ports
        # The random part distinguishes a claim whose answer was lost from another worker's claim.
        execution = f"{order.dispatch}:{call.replace(':', '-')}:{secrets.token_hex(8)}"
        return Rights(ports.broker, ports.clock, logger, order, execution=execution, wait=ports.wait)

    def _run_order(self, attempt: _Attempt) -> OrderState | None:
        ports, work, rights = self._ports, attempt.work, attempt.rights
        logger = attempt.logger.bind(trace_id=work.trace_id)
        claim = Claim(
            run_id=work.run_id,
            order_num=work.order_num,
            claimed_by=Reporter.WORKER,
            claimed_at=ports.clock.now(),
            execution=rights.execution,
        )
        # An unfit sandbox must claim nothing: another one gets the order.
        with open_workspace(separate_user(self._settings.command_user), name=self._settings.order_folder) as workspace:
            try:
                started, unfetched = self._claim_and_fetch(attempt, claim, workspace)
            except TradeRefused as refused:
                logger.info("the order is not this worker's", refusal=refused.refusal, reason=refused.message)
                return None
            if started is None:
                logger.info("order already claimed")
                return None
            redactor = Redactor([])
            try:
                package = self._package(attempt, workspace, started, unfetched)
                if package is None:
                    ran = _stopped_before(attempt.stop)
                else:
                    redactor = redactor_of(package.manifest, package.secret_variables, package.taken)
                    ran = self._run(attempt, workspace, package, redactor)
            except PlanStale as error:
                ran = _Ran(Verdict(OrderState.FAILED, error.message, failed=True))
            except IacCiError as error:
                ran = _Ran(Verdict(OrderState.FAILED, f"the order could not be started: {error.message}", failed=True))
            except Exception as error:  # noqa: BLE001 - every outcome must be reported
                logger.error("worker failed", error=redactor.text(repr(error)))
                ran = _Ran(Verdict(OrderState.FAILED, worker_failure(error), failed=True))
            self._report(work, rights, workspace, ran, redactor, started)
            return ran.verdict.status

    def _package(
        self, attempt: _Attempt, workspace: Workspace, started: datetime, unfetched: IacCiError | None
    ) -> Package | None:
        """Open the order's package; try again after a failure that may pass, as long as the order has time.

        Nothing of the order has run yet, so that a repetition changes nothing outside the worker. Returns None if the
        order is to stop meanwhile. Raises ``unfetched``, which a repetition does not change.
        """
        if unfetched is not None:
            raise unfetched
        ports, work = self._ports, attempt.work
        for number in itertools.count():
            try:
                now, settings = ports.clock.now(), self._settings
                return open_package(work, attempt.rights, workspace, ports.objects, ports.sealer, now, settings)
            except IacCiError as error:
                pause = min(LONGEST_PAUSE_SECONDS, 2.0**number) * random.uniform(0.5, 1)  # noqa: S311 - jitter
                over = ports.clock.now() + timedelta(seconds=pause) >= last_start(work, started, attempt.function_ends)
                if not error.retry_is_safe or over:
                    raise
                self._beat(work, attempt.rights, attempt.stop, None)
                if attempt.stop.reason is not None:
                    return None
                attempt.logger.warning("the order could not be opened; trying again", error=error.message)
                workspace.empty()
                ports.wait(pause)
        raise AssertionError

    def _claim_and_fetch(
        self, attempt: _Attempt, claim: Claim, workspace: Workspace
    ) -> tuple[datetime | None, IacCiError | None]:
        """Create the claim, and meanwhile fetch the package.

        Returns when the claim was made, None if another worker has it, and why the package cannot be fetched, if that
        stays so. The package is opened only after the claim.
        """
        ports = self._ports
        calls: list[Callable[[], datetime | None]] = [
            partial(self._claims, attempt.rights, claim),
            partial(fetch_early, attempt.work, workspace, ports.objects),
        ]
        claimed, fetched = ports.parallel.run(calls)
        if isinstance(claimed, IacCiError):
            raise claimed
        return claimed, fetched if isinstance(fetched, IacCiError) else None

    def _claims(self, rights: Rights, claim: Claim) -> datetime | None:
        """Create the claim; return when that was done, None if another worker has it."""
        objects = self._ports.objects
        try:
            rights.use(lambda urls: urls.claim, lambda url: objects.create_claim(url, claim))
        except AlreadyExists:
            # The answer to this worker's own write may have been lost.
            if rights.use(lambda urls: urls.claim_check, objects.read_claim) != claim:
                return None
        return self._ports.clock.now()

    def _run(self, attempt: _Attempt, workspace: Workspace, package: Package, redactor: Redactor) -> _Ran:
        work, stop = attempt.work, attempt.stop
        is_unasked = attempt.rights.can_trade and not attempt.rights.has_traded
        if is_unasked and is_late(work, self._ports.clock.now()):
            # The order may have been asked to stop while it waited for this worker.
            self._beat(work, attempt.rights, stop, None)
        time = allowance(work, self._ports.clock.now(), attempt.function_ends)
        if time.seconds <= 0:
            return _Ran(Verdict(OrderState.TIMED_OUT, "the worker started too late; nothing was run", failed=True))
        if attempt.rights.stop is not None:
            stop.ask(attempt.rights.stop)
        if stop.reason is not None:
            return _stopped_before(stop)
        owner = workspace.user if workspace.user is not None else os.geteuid()
        delivery = delivered_credentials(
            package, workspace, attempt.rights, self._ports.clock, attempt.logger, redactor
        )
        with (
            output_file(workspace) as outputs,
            closing(FileCollector(package.folder, owner)) as files,
            delivery as delivered,
        ):
            environment = self._environment(work, workspace, package) | delivered.variables
            environment |= {OUTPUT_VARIABLE: str(outputs.path)}
            manifest = package.manifest
            commands = Commands(manifest.cmds, package.folder, environment, time, stop, manifest.ok)
            write_provider_installation(workspace.home, self._settings.provider_mirror, workspace.code)
            workspace.hand_over(package.reviewed)
            live = self._ports.live_log(workspace.log, attempt.rights, self._ports.objects, attempt.logger)
            beat = partial(self._beat, work, attempt.rights, stop, delivered.role)
            with self._ports.heartbeat.during(beat, attempt.rights.heartbeat_seconds), live.during():
                outcome = self._ports.runner.run(commands, workspace.log, redactor)
            left_open = open_operations(_end_of(workspace.log).decode("utf-8", "replace"))
            judged = verdict(outcome, time.limit, stop.reason, left_open)
            if manifest.saved_plan is not None and judged.failed:
                judged = _with_stale_plan(judged, workspace.log, manifest.saved_plan.planner)
            reader = (
                self._plan_reader(attempt, workspace, package, environment, redactor) if not judged.failed else None
            )
            handing = HandOn(attempt.rights, self._ports.objects, package.manifest.order_name, redactor)
            with self._ports.heartbeat.during(beat, attempt.rights.heartbeat_seconds) if reader else nullcontext():
                succeeded, spare = not judged.failed, (workspace.temporary, workspace.home)
                handed_on = handing.everything(manifest, outputs, files, succeeded=succeeded, plan=reader, spare=spare)
        failed = redactor.text(package.manifest.cmds[outcome.command])[:512] if judged.failed else None
        plans = outcome.plans
        if manifest.plan is not None:
            # What the commands printed is a log, never the plan.
            read = handed_on.plan
            return _Ran(
                judged,
                outcome.exit_code,
                failed,
                changes=read.changes if read is not None else None,
                changes_unknown=read is None or read.changes is None,
                plan=read.text if read is not None else None,
                planned=read.planned if read is not None else None,
                handed_on=handed_on,
                live_parts=live.parts,
                log_times=outcome.log_times,
            )
        if plans is None:
            return _Ran(
                judged,
                outcome.exit_code,
                failed,
                handed_on=handed_on,
                live_parts=live.parts,
                log_times=outcome.log_times,
            )
        ran = plans.ran or any(map(runs_a_plan, package.manifest.cmds[: outcome.command + 1]))
        return _Ran(
            judged,
            outcome.exit_code,
            failed,
            changes=plans.changes,
            changes_unknown=ran and plans.changes is None,
            plan=_masked_plan(plans, redactor),
            handed_on=handed_on,
            live_parts=live.parts,
            log_times=outcome.log_times,
        )

    def _plan_reader(
        self,
        attempt: _Attempt,
        workspace: Workspace,
        package: Package,
        environment: Mapping[str, str],
        redactor: Redactor,
    ) -> SavedPlanReader | None:
        """Return what reads the plan that the order saved, None if it saves none."""
        if package.manifest.plan is None:
            return None
        origin = PlanOrigin(
            workspace,
            data_folder(package.folder, environment),
            str(package.folder) if self._settings.order_folder else None,
            package.committed_lock,
        )

        def seconds() -> float:
            return reading_seconds(attempt.work, self._ports.clock.now(), attempt.function_ends)

        return SavedPlanReader(package.manifest.plan, package.tool, origin, redactor, seconds)

    def _beat(self, work: Work, rights: Rights, stop: StopRequest, role: LivingCredentials | None) -> float:
        """Trade once, also for the role's next credentials when it is time, and pass a wish to stop on.

        Return the seconds until the next trade. A trade that fails is shown and ends nothing; one without an answer is
        repeated soon.
        """
        logger = self._ports.logger.bind(run_id=work.run_id, order_num=work.order_num, trace_id=work.trace_id)
        if not rights.can_trade:
            return rights.heartbeat_seconds
        renews = role is not None and role.due
        try:
            answer = rights.trade(renews=renews)
        except TradeRefused as refused:
            logger.warning("heartbeat refused", refusal=refused.refusal, reason=refused.message)
            if refused.refusal == Refusal.ENDED:
                stop.ask(f"the order was ended from outside: {refused.message}")
        except Exception as error:  # noqa: BLE001 - the heartbeat never decides how an order ends
            logger.warning("heartbeat without an answer", error=getattr(error, "message", type(error).__name__))
            return min(rights.heartbeat_seconds, HEARTBEAT_AGAIN_SECONDS)
        else:
            if role is not None and renews:
                role.take(answer)
            if answer.stop is not None:
                (stop.hasten if answer.stop_soon else stop.ask)(answer.stop)
        return rights.heartbeat_seconds

    def _environment(self, work: Work, workspace: Workspace, package: Package) -> dict[str, str]:
        """Return the commands' environment. It contains only the variables that are named here."""
        manifest = package.manifest
        region = {name: os.environ[name] for name in ("AWS_REGION", "AWS_DEFAULT_REGION") if name in os.environ}
        own = {
            "PATH": self._command_path(workspace, manifest),
            "HOME": str(workspace.home),
            "TMPDIR": str(workspace.temporary),
            "LANG": "C.UTF-8",
            "CI": "true",
            "IAC_CI_RUN_ID": work.run_id,
            "IAC_CI_ORDER_NUM": work.order_num,
            "IAC_CI_ORDER_NAME": manifest.order_name,
            "IAC_CI_ATTEMPT": str(work.attempt),
            "IAC_CI_FLOW_ID": manifest.flow_id,
            "TRACEPARENT": traceparent(work.trace_id, work.run_id, work.order_num),
        }
        return (
            region
            | self._settings.command_environment
            | own
            | manifest.env_vars
            | package.taken.values
            | package.secrets
        )

    def _command_path(self, workspace: Workspace, manifest: Manifest) -> str:
        """Return the PATH of the commands, the order's fetched tools first."""
        path = self._settings.command_path
        return f"{workspace.tools}{os.pathsep}{path}" if manifest.tools else path

    def _report(
        self, work: Work, rights: Rights, workspace: Workspace, ran: _Ran, redactor: Redactor, started: datetime
    ) -> None:
        """Write the result, with a short log in it; upload a longer log before. Neither changes the order's state."""
        ports = self._ports
        reasons = [redactor.text(ran.verdict.reason)] if ran.verdict.reason else []
        reason = "; ".join([*reasons, *ran.handed_on.problems]) or None
        size = workspace.log.stat().st_size if workspace.log.exists() else 0
        end = _end_of(workspace.log)
        tail, truncated = log_tail(end, whole=size)
        in_result = is_whole_in_result(tail, end, whole=size, live_parts=ran.live_parts)
        stored = bool(size) and not in_result and self._store_log(work, rights, workspace, redactor, size)
        if size and not (in_result or stored):
            reason = f"{reason + '; ' if reason else ''}the whole log could not be stored"
        ended = ports.clock.now()
        result = Result(
            run_id=work.run_id,
            order_num=work.order_num,
            status=ran.verdict.status,
            reported_by=Reporter.WORKER,
            exit_code=ran.exit_code,
            changed=ran.verdict.changed,
            failed_command=ran.failed_command,
            reason=reason[:1024] if reason else None,
            started_at=started,
            ended_at=ended,
            duration_ms=max(0, int((ended - started) / timedelta(milliseconds=1))),
            changes=ran.changes,
            changes_unknown=ran.changes_unknown,
            plan=ran.plan,
            planned=ran.planned,
            log_tail=tail,
            log_truncated=truncated,
            log_bytes=size,
            log_stored=stored,
            log_times=ran.log_times,
            live_parts=ran.live_parts,
            outputs=ran.handed_on.outputs,
            files=ran.handed_on.files,
            kept=ran.handed_on.kept,
        )
        body = result.model_dump_json().encode()
        if len(body) > MAX_RESULT_BYTES:
            # JSON writes control characters of the log's end with six bytes each.
            body = result.model_copy(update={"plan": None}).model_dump_json().encode()
        counts = False
        try:
            counts = rights.use(
                lambda urls: urls.result, lambda url: ports.objects.report(url, body), result_bytes=len(body)
            )
        except TradeRefused as refused:
            if refused.refusal != Refusal.ENDED:
                raise
            ports.logger.info("order ended from outside before its report", run_id=work.run_id, reason=refused.message)
        finally:
            if in_result and not counts:
                # Another result counts, or none could be written: the log is still worth an object.
                self._store_log(work, rights, workspace, redactor, size)

    def _store_log(self, work: Work, rights: Rights, workspace: Workspace, redactor: Redactor, size: int) -> bool:
        """Upload the log as an object; return whether that was possible."""
        objects, logger = self._ports.objects, self._ports.logger
        try:
            rights.use(lambda urls: urls.log, lambda url: objects.store_log(url, workspace.log), log_bytes=size)
        except IacCiError as error:
            logger.warning("log upload failed", run_id=work.run_id, error=redactor.text(error.message))
            return False
        return True


def _stopped_before(stop: StopRequest) -> _Ran:
    """Return the outcome of an order that was to stop before its first command."""
    return _Ran(Verdict(OrderState.CANCELLED, f"{stop.reason}; nothing was run", failed=True))


def _with_stale_plan(judged: Verdict, log: Path, planner: str | None) -> Verdict:
    """Return the verdict with the reason in front why Terraform did not apply the saved plan, if it said that."""
    why = stale_reason(_end_of(log), planner)
    return replace(judged, reason="; ".join(filter(None, (why, judged.reason)))) if why is not None else judged


def _masked_plan(plans: Reading, redactor: Redactor) -> PlanText | None:
    """Return the plans' text, masked; None if that fails, because then nothing may be shown."""
    try:
        return plans.text(redactor.text)
    except Exception:  # noqa: BLE001 - the log has the plans too
        return None


def _end_of(log: Path) -> bytes:
    size = log.stat().st_size if log.exists() else 0
    if not size:
        return b""
    with log.open("rb") as file:
        file.seek(max(0, size - LOG_TAIL_BYTES))
        return file.read(LOG_TAIL_BYTES)
