"""Runs a plan order and the order that applies its plan by the real worker, as two orders of one run."""

from __future__ import annotations

import hashlib
import io
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from offline.provider.start import SERVER

from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.manifest import MANIFEST_NAME, Manifest, ManifestPlan, ManifestSavedPlan
from iac_ci_common.models.result import Claim, Result
from iac_ci_common.models.trade import BegunOrder
from iac_ci_common.models.work import Work
from iac_ci_common.order_logs import read_log
from iac_ci_common.packing import write
from iac_ci_common.ports import Transition
from iac_ci_common.states import OrderState
from iac_ci_common.testing import FakeClock, MemoryBroker, MemoryLogger, MemoryObjects, MemoryRuns, MemorySealer
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_common.tickets import digest, new_ticket
from iac_ci_common.work_urls import invocation_urls
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.heartbeat import ThreadHeartbeat
from iac_ci_worker.processes import adopt_orphans
from iac_ci_worker.runner import BashRunner
from iac_ci_worker.settings import WorkerSettings

FILE = "plan.tfplan"
LOCK = ".terraform.lock.hcl"
SAVE = (FILE, LOCK)
FOLDER = "iac-ci-saved-plans"
_SECONDS = 300


class _Urls:
    """The worker's requests over a bucket in memory."""

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects
        self.refuses = False
        """True if sealed files cannot be stored."""
        self.expired = 0
        """How often a session ends before a saved file is fetched."""

    def create_claim(self, url: str, claim: Claim) -> None:
        self._objects.use_url(url, claim.model_dump_json().encode())

    def read_claim(self, url: str) -> Claim | None:
        return Claim.model_validate_json(self._objects.use_url(url))

    def fetch(self, url: str, path: Path) -> None:
        if "files" in url and self.expired:
            self.expired -= 1
            self._objects.end_sessions()
        path.write_bytes(self._objects.use_url(url))

    def _send(self, url: str, path: Path) -> None:
        self._objects.use_url(url, path.read_bytes())

    store_log = _send

    def store(self, url: str, path: Path) -> None:
        if self.refuses:
            raise PortFailed("a sealed file: HTTP 500")
        self._send(url, path)

    def send_part(self, url: str, body: bytes) -> None:
        self._objects.use_url(url, body)

    def report(self, url: str, result: bytes) -> bool:
        self._objects.use_url(url, result)
        return True


class PlanBroker(MemoryBroker):
    """A broker that gives the order which applies a plan the files of the order that saved it."""

    plans: dict[str, str]
    """The order that saved the plan, by the order that applies it."""

    def _begin(self, run: Any, order: Any) -> BegunOrder:
        begun = super()._begin(run, order)
        planner = self.plans.get(order.order_num)
        if planner is None:
            return begun
        other = self._runs.find_order(run.run_id, planner)
        taken = self._object(run, order, other.files, keys.files(*other.attempt_key))
        return begun.model_copy(update={"saved_plan": taken})


class Orders:
    """Orders of one run; the state lies outside of their folders, as in a backend."""

    def __init__(self, folder: Path, configuration: str = "", *, user: int | None = None) -> None:
        """Orders plan and apply in the same folder below that of temporary files; ``user`` runs their commands."""
        adopt_orphans()
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        if user is not None:
            os.chown(self.state, user, user)
        self.configuration = configuration
        self.clock = FakeClock(START)
        self.objects = MemoryObjects(self.clock)
        self.runs = MemoryRuns()
        self.broker = PlanBroker(self.runs, self.objects, self.clock)
        self.broker.plans = {}
        self.runs.insert(run_row(source="github.com/acme/infra"), [], [])
        self.urls = _Urls(self.objects)
        ports = WorkerPorts(
            self.clock, self.urls, MemorySealer(), BashRunner(user=user), self.broker,
            ThreadHeartbeat(), MemoryLogger(), self.clock.advance,
        )  # fmt: skip
        settings = WorkerSettings(command_path=os.environ["PATH"], order_folder=FOLDER, command_user=user)
        self.worker = Worker(ports, settings)
        self.count = 0

    def code(self, **files: str) -> dict[str, bytes]:
        """Return the code: a root module, whose state is in the backend, and more files."""
        backend = f'terraform {{\n  backend "local" {{\n    path = "{self.state}/terraform.tfstate"\n'
        backend += f'    workspace_dir = "{self.state}/workspaces"\n  }}\n}}\n'
        return {"backend.tf": backend.encode()} | {name: text.encode() for name, text in files.items()}

    def plan(self, code: dict[str, bytes], *commands: str, workspace: str = "default", **manifest: Any) -> Result:
        """Run an order that saves a plan; return its result."""
        self.count += 1
        save = manifest.pop("save", SAVE)
        described = ManifestPlan(file=FILE, tool="terraform", workspace=workspace)
        return self._run(self.count, code, commands, plan=described, save=save, **manifest)

    def apply(self, code: dict[str, bytes], planned: Result, *commands: str, **changed: Any) -> Result:
        """Run an order that applies a plan, about which the ledger holds what ``changed`` does not change."""
        self.count += 1
        self.broker.plans[f"{self.count:04d}"] = planned.order_num
        assert planned.planned is not None
        saved = planned.planned.model_copy(update=changed)
        wanted = ManifestSavedPlan(order_name="plan", file=FILE, planned=saved)
        return self._run(self.count, code, commands, saved_plan=wanted)

    def log(self, result: Result) -> str:
        """Return an order's log, empty if it has none."""
        log = read_log(self.objects, RUN_ID, result.order_num)
        return log.text if log is not None else ""

    def _run(self, num: int, code: dict[str, bytes], commands: tuple[str, ...], **manifest: Any) -> Result:
        order_num = f"{num:04d}"
        of_provider = {"TF_CLI_CONFIG_FILE": self.configuration, SERVER: os.environ.get(SERVER, "")}
        variables = of_provider if self.configuration else {}
        content = Manifest(
            run_id=RUN_ID, order_num=order_num, order_name=f"order-{num}", flow_id="f", cmds=commands,
            env_vars=variables | manifest.pop("env_vars", {}), **manifest,
        )  # fmt: skip
        package = self._put(keys.package(RUN_ID, order_num), {MANIFEST_NAME: content.to_stored()})
        packed = self._put("code", code)
        self.objects.put(keys.code(packed), self.objects.get("code"))
        ticket, dispatch = new_ticket(), str(int(START.timestamp() * 1000))
        queued = order_row(num, timeout=_SECONDS, package_sha256=package, code_sha256=packed)
        sent = queued.model_copy(
            update={
                "status": OrderState.DISPATCHING,
                "dispatched_at": START,
                "order_deadline": START + timedelta(hours=4),
                "tickets": (f"{dispatch}:{digest(ticket)}",),
            }
        )
        self.runs.order_rows[RUN_ID][order_num] = queued
        self.runs.apply([Transition(queued, sent)])
        work = Work(
            run_id=RUN_ID, order_num=order_num, trace_id="0" * 16, dispatch=dispatch, timeout=_SECONDS,
            not_after=sent.order_deadline, urls=invocation_urls(self.objects, sent, seconds=600),
            package_sha256=package, code_sha256=packed, ticket=ticket,
        )  # fmt: skip
        self.worker.run(work)
        result = Result.model_validate_json(self.objects.get(keys.result(RUN_ID, order_num)))
        ended = sent.model_copy(update={"status": result.status, "files": result.files})
        self.runs.apply([Transition(sent, ended)])
        return result

    def _put(self, key: str, files: dict[str, bytes]) -> str:
        archive = io.BytesIO()
        write(archive, files)
        self.objects.put(key, archive.getvalue())
        return hashlib.sha256(archive.getvalue()).hexdigest()
