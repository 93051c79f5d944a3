"""Builds the statuses that an event sets on a commit without a run: pure.

A status speaks for the commit. Answers to comments set none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_triggers.configuration import CONFIGURATION_STATUS, FILE_NAME
from iac_ci_triggers.notice import Subject
from iac_ci_vcs.provider import CommitState, CommitStatus
from iac_ci_vcs.reporting import MAX_DESCRIPTION_CHARS
from iac_ci_vcs.reviews import OWN_CONTEXT

if TYPE_CHECKING:
    from iac_ci_triggers.facts import Facts

APPROVAL: Final = OWN_CONTEXT
"""Context of the status about the approval of a commit by an outside contributor."""

NOTHING_TO_PLAN: Final = "nothing to plan"


def job_status(sha: str, job: str, state: CommitState, description: str) -> CommitStatus:
    """Return the status of a job of the configuration, ``iac-ci/<job>``."""
    return _status(sha, f"iac-ci/{job}", state, description)


def approval_status(sha: str, state: CommitState, description: str) -> CommitStatus:
    """Return the status about an approval, ``iac-ci``."""
    return _status(sha, APPROVAL, state, description)


def unneeded_status(sha: str, subject: Subject) -> CommitStatus | None:
    """Return the status that replaces the one of a standing notice whose cause is gone; None if it has none."""
    if subject is Subject.APPROVAL:
        return approval_status(sha, CommitState.SUCCESS, "no approval of this commit is needed any more")
    if subject is Subject.CONFIGURATION:
        return _configuration(sha, CommitState.SUCCESS, f"no {FILE_NAME} with problems is used any more")
    return None


def configuration_status(facts: Facts) -> CommitStatus | None:
    """Return the status ``iac-ci/configuration``; None if neither the base branch nor the commit has a configuration.

    A commit that leaves the configuration as it is gets one too, so that the status can be a required check.
    """
    sha, base = facts.commit, facts.base_branch
    if isinstance(facts.configuration, ConfigurationProblems):
        count = len(facts.configuration.problems)
        where = f"on {base}" if base else "at this commit"
        return _configuration(sha, CommitState.FAILURE, f"{FILE_NAME} {where} has {_problems(count)}")
    if facts.head_problems:
        text = f"this pull request's {FILE_NAME} has {_problems(len(facts.head_problems))}"
        return _configuration(sha, CommitState.FAILURE, text)
    if facts.head_problems is not None:
        return _configuration(sha, CommitState.SUCCESS, f"this pull request's {FILE_NAME} has no problems")
    if facts.configuration is None:
        return None
    return _configuration(sha, CommitState.SUCCESS, f"{FILE_NAME} has no problems")


def _problems(count: int) -> str:
    return "a problem" if count == 1 else f"{count} problems"


def _configuration(sha: str, state: CommitState, description: str) -> CommitStatus:
    return _status(sha, f"iac-ci/{CONFIGURATION_STATUS}", state, description)


def _status(sha: str, context: str, state: CommitState, description: str) -> CommitStatus:
    return CommitStatus(commit=sha, context=context, state=state, description=description[:MAX_DESCRIPTION_CHARS])
