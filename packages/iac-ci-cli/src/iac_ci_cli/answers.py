"""What commands print with ``--json``, as models whose JSON Schemas programs can rely on."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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


class RunsAnswer(_Answer):
    """``iac-ci runs --json``."""

    schema_version: int = 1
    runs: tuple[RunEntry, ...]
    next_page: str | None = Field(description="Value of `--after` for the next page; null if there is none.")


__all__ = ["RunEntry", "RunsAnswer"]
