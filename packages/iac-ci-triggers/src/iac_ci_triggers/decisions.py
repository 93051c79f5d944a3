"""Decisions about an event: frozen data that can be printed and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iac_ci_common.models.job import Job
    from iac_ci_triggers.notice import Paragraph
    from iac_ci_vcs.provider import CommitStatus


@dataclass(frozen=True, slots=True)
class Start:
    """Start a job for a commit, once per ``intent``."""

    job_name: str
    sha: str
    intent: str
    job: Job


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the queued orders of runs; running orders finish."""

    run_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Approve:
    """Let this one commit of an untrusted pull request run."""

    sha: str
    by: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Make the orchestrator check runs again."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Say:
    """Write a paragraph in the pull request's notice."""

    paragraph: Paragraph


@dataclass(frozen=True, slots=True)
class Mark:
    """Set a status on a commit that has no run (yet)."""

    status: CommitStatus


@dataclass(frozen=True, slots=True)
class Nothing:
    """Do nothing; the reason is logged."""

    reason: str


Decision = Start | Cancel | Approve | Wake | Say | Mark | Nothing
