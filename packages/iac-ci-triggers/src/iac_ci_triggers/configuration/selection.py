"""Selects the jobs that an event starts, with a reason for every other job: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.globs import Paths, matches
from iac_ci_triggers.configuration.expansion import LeftOut, concerned, copies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iac_ci_triggers.configuration.models import (
        Configuration,
        ConfiguredJob,
        PullRequestTrigger,
        PushTrigger,
    )


_JOB_UNTOUCHED: Final = "none of its paths have changed"
_ORDERS_UNTOUCHED: Final = "none of the paths of its orders have changed"
_NO_PROJECTS: Final = "the configuration finds no project in this commit"
_NO_LABEL: Final = "the pull request has none of its labels"
_DRAFT: Final = "the pull request is a draft"
_UNTOUCHED: Final = frozenset({_JOB_UNTOUCHED, _ORDERS_UNTOUCHED, _NO_PROJECTS, _NO_LABEL})


@dataclass(frozen=True, slots=True)
class Selection:
    """The names of the jobs that start, in the configuration's order, and the jobs that do not start.

    ``untouched`` are the jobs that a pull request with other changes or labels would start, ``drafts`` those that the
    same pull request would start if it were no draft.
    """

    jobs: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def untouched(self) -> tuple[LeftOut, ...]:
        """Return the jobs whose branches match and whose paths or labels do not."""
        return tuple(job for job in self.left_out if job.reason in _UNTOUCHED)

    @property
    def drafts(self) -> tuple[str, ...]:
        """Return the jobs that wait until the pull request is no draft."""
        return tuple(job.name for job in self.left_out if job.reason == _DRAFT)


def jobs_for_pull_request(
    configuration: Configuration,
    base_branch: str,
    changed: Sequence[str] | None,
    *,
    is_draft: bool = False,
    labels: Sequence[str] | None = None,
) -> Selection:
    """Return the jobs that a pull request with the base branch ``base_branch`` starts.

    ``changed`` are the changed paths, with old and new names of moved files. ``changed`` and ``labels`` match all if
    they are None, which means unknown.
    """
    paths = None if changed is None else Paths(changed)

    def reason(job: ConfiguredJob) -> str | None:
        trigger = job.on.pull_request
        if trigger is None:
            return "has no trigger for pull requests"
        found = _reason(job, trigger, f"the base branch {base_branch[:80]}", base_branch, paths)
        if found is not None:
            return found
        if (
            labels is not None
            and trigger.labels is not None
            and not any(matches(trigger.labels, one) for one in labels)
        ):
            return _NO_LABEL
        return _DRAFT if is_draft and not trigger.drafts else None

    return _selected(configuration, reason)


def jobs_before_merge(configuration: Configuration, changed: Sequence[str] | None) -> Selection:
    """Return the jobs of commands that a pull request with these changes needs before its merge."""
    paths = None if changed is None else Paths(changed)

    def reason(job: ConfiguredJob) -> str | None:
        if not job.on.before_merge:
            return "is not needed before the merge"
        if not job.orders:
            return _NO_PROJECTS
        return None if any(concerned(copy, paths) for copy in copies(job)) else _ORDERS_UNTOUCHED

    return _selected(configuration, reason)


def jobs_for_push(configuration: Configuration, branch: str, changed: Sequence[str] | None) -> Selection:
    """Return the jobs that a push to ``branch`` starts; ``changed`` is as for a pull request."""
    paths = None if changed is None else Paths(changed)

    def reason(job: ConfiguredJob) -> str | None:
        if job.on.push is None:
            return "has no trigger for pushes"
        return _reason(job, job.on.push, f"the branch {branch[:80]}", branch, paths)

    return _selected(configuration, reason)


def jobs_for_command(configuration: Configuration, word: str) -> Selection:
    """Return the jobs that ``/iac-ci <word>`` starts; ``commands`` returns all words."""

    def reason(job: ConfiguredJob) -> str | None:
        if not job.on.command:
            return "has no trigger for comments"
        words = " or ".join(f"/iac-ci {known}" for known in job.on.command)
        return None if word in job.on.command else f"starts with {words}"

    return _selected(configuration, reason)


def commands(configuration: Configuration) -> dict[str, tuple[str, ...]]:
    """Return every command word of a configuration with the jobs it starts, sorted by word."""
    words = sorted({word for job in configuration.jobs.values() for word in job.on.command})
    return {word: jobs_for_command(configuration, word).jobs for word in words}


def _selected(configuration: Configuration, reason: Callable[[ConfiguredJob], str | None]) -> Selection:
    reasons = {name: reason(job) for name, job in configuration.jobs.items()}
    return Selection(
        tuple(name for name, text in reasons.items() if text is None),
        tuple(LeftOut(name, text) for name, text in reasons.items() if text is not None),
    )


def _reason(
    job: ConfiguredJob, trigger: PullRequestTrigger | PushTrigger, shown_branch: str, branch: str, paths: Paths | None
) -> str | None:
    if trigger.branches is not None and not matches(trigger.branches, branch):
        return f"{shown_branch} does not match its branches"
    if paths is not None and trigger.paths is not None and not paths.any_included(trigger.paths):
        return _JOB_UNTOUCHED
    if not job.orders:
        return _NO_PROJECTS
    if not any(concerned(copy, paths) for copy in copies(job)):
        return _ORDERS_UNTOUCHED
    return None
