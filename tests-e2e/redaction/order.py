"""Runs an order by the real worker: everything but the network is real."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from iac_ci_common import keys
from iac_ci_common.models.manifest import MANIFEST_NAME, SEALED_NAME, Manifest
from iac_ci_common.models.result import Claim, Result
from iac_ci_common.models.work import Work, WorkUrls
from iac_ci_common.order_logs import read_log
from iac_ci_common.packing import write
from iac_ci_common.testing import FakeClock, MemoryBroker, MemoryLogger, MemoryObjects, MemoryRuns, MemorySealer
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.heartbeat import ThreadHeartbeat
from iac_ci_worker.runner import BashRunner
from iac_ci_worker.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PLACE = (RUN_ID, "0001")
_SECONDS = 1700
"""More than a loaded machine needs: an order that reaches its time-out loses output."""


@dataclass
class Ran:
    """What an order left: its log, its result, and everything else that left the worker."""

    log: bytes
    result: Result
    emitted: bytes = field(repr=False)


def run(commands: Sequence[str], secrets: dict[str, str], *, path: str | None = None, **manifest: Any) -> Ran:
    """Run commands with secrets, by the worker; raise ``AssertionError`` where it leaves no result."""
    clock = FakeClock(START)
    objects = MemoryObjects(clock)
    sealer = MemorySealer()
    logger = MemoryLogger()
    described = Manifest(
        run_id=RUN_ID, order_num="0001", order_name="order", flow_id="f", cmds=tuple(commands), sealed=True, **manifest
    )
    archive = io.BytesIO()
    sealed = sealer.seal(secrets, run_id=RUN_ID)
    write(archive, {MANIFEST_NAME: described.model_dump_json().encode(), SEALED_NAME: sealed})
    objects.put(keys.package(*_PLACE), archive.getvalue())
    settings = WorkerSettings(command_path=path or os.environ["PATH"])
    broker = MemoryBroker(MemoryRuns(), objects, clock)  # nobody asks it: the work has URLs that do not end
    ports = WorkerPorts(clock, _Urls(objects), sealer, BashRunner(), broker, ThreadHeartbeat(), logger)
    worker = Worker(ports, settings)
    assert worker.run(_work(objects)) is not None
    result = Result.model_validate_json(objects.get(keys.result(*_PLACE)))
    log = read_log(objects, *_PLACE)
    stored = [body for key, body in objects.objects.items() if key != keys.package(*_PLACE)]
    return Ran(log.data if log is not None else b"", result, b"\n".join([*stored, repr(logger.lines).encode()]))


class _Urls:
    """The worker's requests over a bucket in memory."""

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects

    def create_claim(self, url: str, claim: Claim) -> None:
        self._objects.use_url(url, claim.model_dump_json().encode())

    def read_claim(self, url: str) -> Claim | None:
        return Claim.model_validate_json(self._objects.use_url(url))

    def fetch(self, url: str, path: Path) -> None:
        path.write_bytes(self._objects.use_url(url))

    def store_log(self, url: str, path: Path) -> None:
        self._objects.use_url(url, path.read_bytes())

    def report(self, url: str, result: bytes) -> bool:
        self._objects.use_url(url, result)
        return True


def _work(objects: MemoryObjects) -> Work:
    get, put = objects.presign_get, objects.presign_put
    return Work(
        run_id=RUN_ID,
        order_num="0001",
        trace_id="0" * 16,
        dispatch="here",
        timeout=_SECONDS,
        not_after=START + timedelta(seconds=_SECONDS),
        urls=WorkUrls(
            package=get(keys.package(*_PLACE), seconds=_SECONDS),
            claim=put(keys.claim(*_PLACE), seconds=_SECONDS, create_once=True),
            claim_check=get(keys.claim(*_PLACE), seconds=_SECONDS),
            log=put(keys.log(*_PLACE), seconds=_SECONDS, create_once=False),
            result=put(keys.result(*_PLACE), seconds=_SECONDS, create_once=True),
        ),
    )
