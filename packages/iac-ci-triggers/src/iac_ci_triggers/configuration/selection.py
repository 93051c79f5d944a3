"""Chooses the jobs that an event starts: pure. Tells of every other job why it is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_triggers.configuration.expansion import LeftOut, concerned, copies
from iac_ci_triggers.configuration.globs import Paths, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iac_ci_triggers.configuration.models import (
        Configuration,
        ConfiguredJob,
        PullRequestTrigger,
        PushTrigger,
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """The names of the jobs that start, in the configuration's order, and those that do not."""

    jobs: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def jobs_for_pull_request(configuration: Configuration, base_branch: str, changed: Sequence[str] | None) -> Selection:
    """Choose what a pull request starts that aims at ``base_branch``.

    ``changed`` are the changed paths, old and new names of what was moved; None means unknown, and matches all.
    """
    paths = None if changed is None else Paths(changed)

    def reason(job: ConfiguredJob) -> str | None:
        if job.on.pull_request is None:
            return "is not started by pull requests"
        return _reason(job, job.on.pull_request, f"the base branch {base_branch[:80]}", base_branch, paths)

    return _selected(configuration, reason)


def jobs_for_push(configuration: Configuration, branch: str, changed: Sequence[str] | None) -> Selection:
    """Choose what a push to ``branch`` starts; ``changed`` as for a pull request."""
    paths = None if changed is None else Paths(changed)

    def reason(job: ConfiguredJob) -> str | None:
        if job.on.push is None:
            return "is not started by pushes"
        return _reason(job, job.on.push, f"the branch {branch[:80]}", branch, paths)

    return _selected(configuration, reason)


def jobs_for_command(configuration: Configuration, word: str) -> Selection:
    """Choose what ``/iac-ci <word>`` starts; ``commands`` tells the words that there are."""

    def reason(job: ConfiguredJob) -> str | None:
        if not job.on.command:
            return "is not started by comments"
        words = " or ".join(f"/iac-ci {known}" for known in job.on.command)
        return None if word in job.on.command else f"is started by {words}"

    return _selected(configuration, reason)


def commands(configuration: Configuration) -> dict[str, tuple[str, ...]]:
    """Return every command word of a configuration with the jobs it starts, sorted by word."""
    words = sorted({word for job in configuration.jobs.values() for word in job.on.command})
    return {word: jobs_for_command(configuration, word).jobs for word in words}


def _selected(configuration: Configuration, reason: Callable[[ConfiguredJob], str | None]) -> Selection:
    reasons = {name: reason(job) for name, job in configuration.jobs.items()}
    return Selection(
        tuple(name for name, why in reasons.items() if why is None),
        tuple(LeftOut(name, why) for name, why in reasons.items() if why is not None),
    )


def _reason(
    job: ConfiguredJob, trigger: PullRequestTrigger | PushTrigger, place: str, branch: str, paths: Paths | None
) -> str | None:
    if trigger.branches is not None and not matches(trigger.branches, branch):
        return f"{place} is none of its branches"
    if paths is not None and trigger.paths is not None and not paths.any_meant(trigger.paths):
        return "none of its paths have changed"
    if not any(concerned(copy, paths) for copy in copies(job)):
        return "none of the paths of its orders have changed"
    return None
