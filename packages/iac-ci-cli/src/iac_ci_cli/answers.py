"""What commands print with ``--json``, as models whose JSON Schemas programs can rely on.

``python -m iac_ci_cli.answers docs/schemas`` writes the schemas.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from iac_ci_common.models.answer import Accepted
from iac_ci_common.models.approval_request import Answered
from iac_ci_common.models.drift import DriftList
from iac_ci_common.models.event import Event
from iac_ci_common.models.rows import OrderRow, RunRow


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Versioned(_Answer):
    schema_version: int


class RunEntry(_Answer):
    """A run of the list."""

    run_id: str
    trace_id: str
    accepted_at: AwareDatetime
    ended_at: AwareDatetime | None
    state: str = Field(description="State of the run; `unknown` if no event tells how it ended.")
    is_known: bool = Field(description="False if a version before wrote the events: they do not have what follows.")
    job: str | None
    repository: str | None = Field(description="`host/path`, in lower case.")
    branch: str | None
    pull_request: int | None
    actor: str | None
    projects: tuple[str, ...]
    projects_left_out: int = Field(description="How many further projects the run has.")
    reason: str | None = Field(description="Why the run ended with its state.")


class RunsAnswer(_Versioned):
    """``runs``."""

    runs: tuple[RunEntry, ...]
    next_page: str | None = Field(description="Value of `--after` for the next page; null if there is none.")


class StatusAnswer(_Versioned):
    """``status``, ``watch`` and ``submit --wait``: the rows of a run; ``run`` is null while it is being prepared."""

    run: RunRow | None
    orders: tuple[OrderRow, ...]


class LogsAnswer(_Versioned):
    """``logs``: the log of each order's last attempt, and those of all attempts of orders that have several."""

    run_id: str
    logs: dict[str, str | None]
    attempts: dict[str, dict[str, str | None]]


class FilesEntry(_Answer):
    """Files of an order that were fetched."""

    order: str
    kind: str
    folder: str
    names: tuple[str, ...]


class FilesAnswer(_Versioned):
    """``files``."""

    run_id: str
    files: tuple[FilesEntry, ...]


class FindingEntry(_Answer):
    """A finding of ``doctor``."""

    kind: str
    level: Literal["info", "trouble"]
    text: str = Field(alias="what")
    next_step: str | None
    order_name: str | None


class DoctorAnswer(_Versioned):
    """``doctor``."""

    run_id: str
    healthy: bool
    waits_for: str
    findings: tuple[FindingEntry, ...]


class NudgeAnswer(_Versioned):
    """``nudge``."""

    run_id: str
    prepared: bool
    watchdog_started: bool


class CancelAnswer(_Versioned):
    """``cancel``: the names of the orders by what became of them."""

    run_id: str
    reason: str | None
    already_cancelled: bool
    cancelled: tuple[str, ...]
    asked_to_stop: tuple[str, ...]
    left_running: tuple[str, ...]
    undecided: tuple[str, ...]


class OpenAnswer(_Versioned):
    """``open``."""

    run_id: str
    link: str
    seconds: int = Field(description="How long the link can be opened.")


class ProblemEntry(_Answer):
    """A problem of an input."""

    where: str
    text: str = Field(alias="what")


class ValidateAnswer(_Versioned):
    """``validate``, one line for each file."""

    file: str
    valid: bool
    kind: Literal["job", "configuration"] | None = Field(description="Null if the file cannot be read.")
    problems: tuple[ProblemEntry, ...]
    code: str | None = Field(description="Folder that is sent as the job's code.")
    filled_in: tuple[str, ...] = Field(description="Fields that are filled in when the job is sent.")
    not_checked: tuple[str, ...]
    schedules: tuple[str, ...] = Field(description="When jobs start by themselves, in words.")


class LeftOut(_Answer):
    """An order or a folder that does not run."""

    name: str
    reason: str


class ExpandAnswer(_Versioned):
    """``expand``."""

    configuration: dict[str, Any] = Field(description="A configuration with jobs in place of projects.")
    left_out: tuple[LeftOut, ...]
    remarks: tuple[str, ...] = Field(description="About files that cannot be read.")
    schedules: tuple[str, ...] = Field(description="When jobs start by themselves, in words.")


class Remark(_Answer):
    """What is not as it was in the file that was converted."""

    line: int
    text: str


class ScaffoldAnswer(_Versioned):
    """``scaffold``."""

    written: str | None = Field(description="Path of the new file; null for standard output.")
    text: str
    projects: tuple[str, ...] = Field(description="Folders that were found; empty if a file was converted.")
    remarks: tuple[Remark, ...]


class ErrorAnswer(_Versioned):
    """An error of any command."""

    error: str
    hint: str
    problems: tuple[ProblemEntry, ...]
    exit_code: int


ANSWERS: Final[dict[str, Any]] = {
    "submit": Accepted,
    "rerun": Accepted,
    "runs": RunsAnswer,
    "watch": StatusAnswer,
    "status": StatusAnswer,
    "logs": LogsAnswer,
    "files": FilesAnswer,
    "events": list[Event],
    "doctor": DoctorAnswer,
    "nudge": NudgeAnswer,
    "cancel": CancelAnswer,
    "approve": Answered,
    "reject": Answered,
    "open": OpenAnswer,
    "drift": DriftList,
    "validate": ValidateAnswer,
    "expand": ExpandAnswer,
    "scaffold": ScaffoldAnswer,
    "error": ErrorAnswer,
}
"""The answer of each command, and of an error."""


def schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema of a command's answer."""
    return TypeAdapter(ANSWERS[command]).json_schema(mode="validation")


def document() -> str:
    """Return the text of one schema file: the answer of each command is a property that the command names."""
    mode: Literal["validation"] = "validation"
    adapters = [(name, mode, TypeAdapter(answer)) for name, answer in ANSWERS.items()]
    answers, shared = TypeAdapter.json_schemas(adapters, title="What iac-ci prints with --json, by command")
    properties = {name: found for (name, _), found in answers.items()}
    return json.dumps({**shared, "properties": properties}, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) / "command-line.json").write_text(document(), "utf-8")


__all__ = ["ANSWERS", "RunsAnswer", "document", "schema"]
