"""Reads the plan that an order saved from its bytes, when no process of the commands is left."""

from __future__ import annotations

import os
import platform
import shutil
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import PortFailed
from iac_ci_common.models.saved_plan import PlannedFile
from iac_ci_common.models.tools import Tool
from iac_ci_plans import PlanReader, ShownPlanReader
from iac_ci_worker.engine_tool import READS_PLANS, ToolLimits, tool_folder
from iac_ci_worker.lock_file import LOCK_NAME, MAX_LOCK_BYTES, changed_providers
from iac_ci_worker.plan_bytes import is_below, plan_head
from iac_ci_worker.sealed_objects import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from iac_ci_common.models.changes import Changes
    from iac_ci_common.models.manifest import ManifestPlan
    from iac_ci_common.models.plan_text import PlanText
    from iac_ci_common.redaction import Redactor
    from iac_ci_plans import ShownPlan
    from iac_ci_worker.engine_tool import EngineTool, ToolEnd
    from iac_ci_worker.workspace import Workspace

MAX_SHOWN_BYTES: Final = 256 * 1024 * 1024
"""Most bytes that the tool may print of one plan, as text or as JSON."""

_MAX_PROBLEM_CHARS: Final = 512
_MAX_WORKSPACE_CHARS: Final = 256
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What the bytes of a saved plan say; ``planned`` is None, with a note for the reason, if there are none."""

    planned: PlannedFile | None
    changes: Changes | None = None
    text: PlanText | None = None
    note: str | None = None

    def with_problem(self, problem: str) -> ReadPlan:
        """Return the same with another problem, for which the plan cannot be applied."""
        if self.planned is None:
            return self
        whole = "; ".join(filter(None, (self.planned.problem, problem)))[:_MAX_PROBLEM_CHARS]
        planned = self.planned.model_copy(update={"problem": whole})
        return ReadPlan(planned, self.changes, self.text, f"the plan cannot be applied: {whole}")


@dataclass(frozen=True, slots=True)
class PlanOrigin:
    """Where the commands planned: the providers are below ``data``; ``path`` is None where folders differ."""

    workspace: Workspace
    data: Path
    path: str | None
    committed_lock: bytes | None
    """The lock file of the code, None if it has none."""


class SavedPlanReader:
    """Reads one saved plan. Whatever fails here becomes a problem of the plan and never changes how the order ended."""

    def __init__(
        self,
        plan: ManifestPlan,
        tool: EngineTool | None,
        origin: PlanOrigin,
        redactor: Redactor,
        seconds: Callable[[], float],
    ) -> None:
        """Read ``plan`` with ``tool``; ``seconds`` returns how long that may take from now on."""
        self._plan, self._tool, self._origin = plan, tool, origin
        self._redactor, self._seconds = redactor, seconds

    def nothing(self) -> ReadPlan:
        """Return what is read where there is no file."""
        return ReadPlan(None, note=f"it wrote no plan {self._plan.file:.200}")

    def read(self, copies: Path) -> ReadPlan:
        """Read the plan among the private copies of the order's files; afterwards it has the same bytes.

        Its JSON is put beside it if the order wants that. There is none of a plan that cannot be applied.
        """
        path = copies / self._plan.file
        if not is_below(self._plan.file) or not path.is_file():
            return self.nothing()
        sha256 = sha256_of(path)
        read = ReadPlan(PlannedFile(sha256=sha256, tool=self._plan.tool, path=self._origin.path))
        document = copies / self._plan.json_file if self._plan.json_file is not None else None
        try:
            read = self._read(path, copies / LOCK_NAME, sha256, document)
        except Exception as error:  # noqa: BLE001 - the order has ended as it did
            read = read.with_problem(f"it could not be read: {_words(error)}")
        if document is not None and read.planned is not None and read.planned.problem is not None:
            document.unlink(missing_ok=True)
        return self._masked(read)

    def _read(self, path: Path, lock_path: Path, sha256: str, json_path: Path | None) -> ReadPlan:
        problems: list[str] = []
        lock = lock_path.read_bytes() if lock_path.is_file() else None
        problems += self._lock_problems(lock)
        workspace, destroys = None, False
        try:
            head = plan_head(path)
        except ValueError as error:
            problems.append(str(error))
        else:
            workspace, destroys = head.workspace, head.destroys
            if self._plan.workspace is not None and workspace != self._plan.workspace:
                problems.append(f"it is for the workspace {workspace:.100}, not {self._plan.workspace:.100}")
        shown: ShownPlan | None = None
        text: PlanText | None = None
        if workspace is not None:
            committed = self._origin.committed_lock
            try:
                shown, text = self._show(path, committed if committed is not None else lock, json_path)
            except (PortFailed, ValueError) as error:
                problems.append(_words(error))
        if sha256_of(path) != sha256:
            problems.append("its bytes changed while it was read")
        if shown is not None and shown.has_failed:
            problems.append("planning failed, and the plan is not whole")
        planned = PlannedFile(
            sha256=sha256,
            tool=self._plan.tool,
            tool_version=shown.tool_version if shown is not None else None,
            workspace=workspace[:_MAX_WORKSPACE_CHARS] if workspace is not None else None,
            path=self._origin.path,
            lock_sha256=sha256_of(lock_path) if lock is not None else None,
            destroys=destroys,
        )
        read = ReadPlan(planned, shown.changes if shown is not None else None, text)
        return read.with_problem("; ".join(problems)) if problems else read

    def _lock_problems(self, lock: bytes | None) -> list[str]:
        """Return what is wrong with the lock file that was in use."""
        if max(len(lock or b""), len(self._origin.committed_lock or b"")) > MAX_LOCK_BYTES:
            return [f"{LOCK_NAME} has more than {MAX_LOCK_BYTES} bytes"]
        if self._origin.committed_lock is None:
            return []
        change = changed_providers(self._origin.committed_lock, lock)
        if change is None:
            return []
        return [f"providers were changed: {change}; run `init`, commit {LOCK_NAME}, and plan again"]

    def _show(self, path: Path, lock: bytes | None, json_path: Path | None) -> tuple[ShownPlan, PlanText | None]:
        """Return what the tool says of the plan as JSON and as text, with the providers that ``lock`` allows.

        The JSON is written into ``json_path`` too.
        """
        tool = self._tool
        if tool is None:
            if self._plan.tool in READS_PLANS:
                raise PortFailed(f"the engine has no {self._plan.tool} to read it; name a version in `tools`")
            raise PortFailed(f"the engine cannot read plans of {self._plan.tool}; use `apply: {{plan: fresh}}`")
        document, log = ShownPlanReader(), PlanReader()
        # A named file is new: whatever the commands saved under the name of the plan's JSON is not copied.
        written = json_path.open("xb") if json_path is not None else None

        def feed(chunk: bytes) -> None:
            document.feed(chunk)
            if written is not None:
                written.write(chunk)

        user = self._origin.workspace.user
        limits = ToolLimits(time.monotonic() + self._seconds(), MAX_SHOWN_BYTES)
        with written or nullcontext(), tool_folder(self._origin.workspace, user) as folder:
            readable = folder / "plan"
            # The same bytes under a second name: what is shown is what is sealed.
            os.link(path, readable)
            _let_read(readable, user)
            if lock is not None:
                (folder / LOCK_NAME).write_bytes(lock)
                _let_read(folder / LOCK_NAME, user)
            variables = {"TF_DATA_DIR": str(self._origin.data)}
            for options, sink in (("-json",), feed), ((), log.feed):
                arguments = ("show", "-no-color", *options, str(readable))
                end = tool.run(arguments, folder, sink, limits, user=user, variables=variables)
                if end.code != 0:
                    raise PortFailed(self._failure(end))
        return document.result(), log.result().text(self._redactor.text)

    def _failure(self, end: ToolEnd) -> str:
        """Return why the tool did not show the plan, in plain words."""
        tool = self._plan.tool
        if "does not match any of the checksums" in end.error:
            target = f"linux_{_MACHINES.get(platform.machine(), platform.machine())}"
            locks = f"{Tool(tool).program} providers lock -platform={target}"
            return (
                f"a provider is not one that {LOCK_NAME} allows; if it only has hashes of other platforms, run"
                f" `{locks}` and commit it: {_first_error(end.error):.160}"
            )
        if "different Terraform versions" in end.error or "versions of OpenTofu" in end.error:
            return f"another version of {tool} made it than the engine's; name the version in `tools`"
        if end.code < 0:
            return f"{tool} was killed by signal {-end.code} while it showed the plan"
        return f"{tool} could not show it: {_first_error(end.error):.300}"

    def _masked(self, read: ReadPlan) -> ReadPlan:
        """Return the same with the order's secrets masked in every text; the plan's text is masked already."""
        planned, mask = read.planned, self._redactor.text
        if planned is None:
            return read
        texts = {"problem": planned.problem, "workspace": planned.workspace, "tool_version": planned.tool_version}
        masked = {name: mask(text)[:_MAX_PROBLEM_CHARS] for name, text in texts.items() if text is not None}
        note = mask(read.note) if read.note is not None else None
        return ReadPlan(planned.model_copy(update=masked), read.changes, read.text, note)


def data_folder(folder: Path, environment: Mapping[str, str]) -> Path:
    """Return the folder in which `init` put the providers, by the variables that the order's commands had."""
    return folder / (environment.get("TF_DATA_DIR") or ".terraform")


def _let_read(path: Path, user: int | None) -> None:
    """Let the commands' user read a file of the worker."""
    if user is not None:
        shutil.chown(path, group=user)
    path.chmod(0o440)


def _first_error(printed: str) -> str:
    """Return what follows the first ``Error:``, without the next error."""
    _, found, rest = printed.partition("Error: ")
    return (rest if found else printed).partition(" Error: ")[0] or "it did not say why"


def _words(error: Exception) -> str:
    if isinstance(error, PortFailed):
        return error.message
    if isinstance(error, ValueError):
        return str(error)
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


__all__ = ["PlanOrigin", "ReadPlan", "SavedPlanReader", "data_folder"]
