"""What can be decided about an event: frozen data, printed and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iac_ci_common.models.job import Job
    from iac_ci_triggers.notice import Paragraph
    from iac_ci_vcs.provider import CommitStatus


@dataclass(frozen=True, slots=True)
class Start:
    """Start a job for a commit, once for an ``intent``."""

    job_name: str
    sha: str
    intent: str
    job: Job


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask runs to end: what has not started never will, what runs is left alone."""

    run_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Approve:
    """Let this one commit of an untrusted pull request run."""

    sha: str
    by: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Have runs looked at again."""

    run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Say:
    """Say something in the pull request's notice."""

    paragraph: Paragraph


@dataclass(frozen=True, slots=True)
class Mark:
    """Set a status on a commit: for what is no run, or not yet one."""

    status: CommitStatus


@dataclass(frozen=True, slots=True)
class Nothing:
    """Do nothing, and why: for the log."""

    reason: str


Decision = Start | Cancel | Approve | Wake | Say | Mark | Nothing
