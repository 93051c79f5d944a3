"""Runs one order: claims, fetches, unseals, runs, reports. After the claim it always writes a result."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError
from iac_ci_common.limits import LOG_TAIL_BYTES
from iac_ci_common.models.result import Claim, Reporter, Result
from iac_ci_common.redaction import Redactor
from iac_ci_common.states import OrderState
from iac_ci_worker.decide import Verdict, log_tail, seconds_left, verdict
from iac_ci_worker.masking import redactor_of
from iac_ci_worker.packages import Package, open_package
from iac_ci_worker.runner import Commands, Stopped
from iac_ci_worker.workspace import open_workspace

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from iac_ci_common.models.changes import Changes
    from iac_ci_common.models.work import Work
    from iac_ci_common.ports import Clock, Logger, Sealer
    from iac_ci_worker.presigned import PresignedObjects
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
    logger: Logger


@dataclass(frozen=True, slots=True)
class _Ran:
    """The outcome of the commands."""

    verdict: Verdict
    exit_code: int | None = None
    failed_command: str | None = None
    changes: Changes | None = None


class Worker:
    """Runs orders, one at a time."""

    def __init__(self, ports: WorkerPorts, settings: WorkerSettings) -> None:
        """Use ``ports``."""
        self._ports = ports
        self._settings = settings

    def run(self, work: Work, *, call: str = "") -> OrderState | None:
        """Run an order and return its state; return None, without running it, if another worker has the claim.

        Raises ``PortFailed`` if the claim could not be decided (then nothing was run) or the result could not be
        written; then the watchdog reports the order.
        """
        ports = self._ports
        logger = ports.logger.bind(run_id=work.run_id, order_num=work.order_num, trace_id=work.trace_id)
        claim = Claim(
            run_id=work.run_id,
            order_num=work.order_num,
            claimed_by=Reporter.WORKER,
            claimed_at=ports.clock.now(),
            # The random part distinguishes a claim whose answer was lost from another worker's claim.
            execution=f"{work.dispatch}:{call.replace(':', '-')}:{secrets.token_hex(8)}",
        )
        if not ports.objects.claim(work.urls, claim):
            logger.info("order already claimed")
            return None
        with open_workspace() as workspace:
            started = ports.clock.now()
            redactor = Redactor([])
            try:
                package = open_package(work, workspace, ports.objects, ports.sealer)
                redactor = redactor_of(package.manifest, package.secrets)
                ran = self._run(work, workspace, package, redactor)
            except Stopped:
                ran = _Ran(Verdict(OrderState.CANCELLED, "the worker was stopped", failed=True))
            except IacCiError as error:
                ran = _Ran(Verdict(OrderState.FAILED, f"the order could not be started: {error.message}", failed=True))
            except Exception as error:  # noqa: BLE001 - every outcome must be reported
                logger.error("worker failed", error=redactor.text(repr(error)))
                ran = _Ran(Verdict(OrderState.FAILED, f"the worker failed: {type(error).__name__}", failed=True))
            self._report(work, workspace, ran, redactor, started)
            return ran.verdict.status

    def _run(self, work: Work, workspace: Workspace, package: Package, redactor: Redactor) -> _Ran:
        seconds = seconds_left(work, self._ports.clock.now())
        if seconds <= 0:
            return _Ran(Verdict(OrderState.TIMED_OUT, "the worker started too late; nothing was run", failed=True))
        commands = Commands(package.manifest.cmds, package.folder, self._environment(work, workspace, package), seconds)
        outcome = self._ports.runner.run(commands, workspace.log, redactor)
        judged = verdict(outcome, seconds)
        failed = redactor.text(package.manifest.cmds[outcome.command])[:512] if judged.failed else None
        return _Ran(judged, outcome.exit_code, failed, outcome.changes)

    def _environment(self, work: Work, workspace: Workspace, package: Package) -> dict[str, str]:
        """Return the commands' environment. It contains only the variables that are named here."""
        manifest = package.manifest
        region = {name: os.environ[name] for name in ("AWS_REGION", "AWS_DEFAULT_REGION") if name in os.environ}
        own = {
            "PATH": self._settings.command_path,
            "HOME": str(workspace.home),
            "TMPDIR": str(workspace.temporary),
            "LANG": "C.UTF-8",
            "CI": "true",
            "IAC_CI_RUN_ID": work.run_id,
            "IAC_CI_ORDER_NUM": work.order_num,
            "IAC_CI_ORDER_NAME": manifest.order_name,
            "IAC_CI_FLOW_ID": manifest.flow_id,
        }
        return region | self._settings.command_environment | own | manifest.env_vars | package.secrets

    def _report(self, work: Work, workspace: Workspace, ran: _Ran, redactor: Redactor, started: datetime) -> None:
        """Upload the log and write the result. A failed upload of the log does not change the order's state."""
        ports = self._ports
        reason = redactor.text(ran.verdict.reason) if ran.verdict.reason else None
        size = workspace.log.stat().st_size if workspace.log.exists() else 0
        stored = False
        if size:
            try:
                ports.objects.store_log(work.urls, workspace.log)
                stored = True
            except IacCiError as error:
                ports.logger.warning("log upload failed", run_id=work.run_id, error=redactor.text(error.message))
                reason = f"{reason + '; ' if reason else ''}the whole log could not be stored"
        tail, truncated = log_tail(_end_of(workspace.log, size), whole=size)
        ended = ports.clock.now()
        ports.objects.report(
            work.urls,
            Result(
                run_id=work.run_id,
                order_num=work.order_num,
                status=ran.verdict.status,
                reported_by=Reporter.WORKER,
                exit_code=ran.exit_code,
                failed_command=ran.failed_command,
                reason=reason[:1024] if reason else None,
                started_at=started,
                ended_at=ended,
                duration_ms=max(0, int((ended - started) / timedelta(milliseconds=1))),
                changes=ran.changes,
                log_tail=tail,
                log_truncated=truncated,
                log_bytes=size,
                log_stored=stored,
            ),
        )


def _end_of(log: Path, size: int) -> bytes:
    if not size:
        return b""
    with log.open("rb") as file:
        file.seek(max(0, size - LOG_TAIL_BYTES))
        return file.read(LOG_TAIL_BYTES)
