"""What the code hosts keep about merges that are asked for by their APIs; each host's ``merges.py`` has the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_local.fake_hosts.person import Person
    from iac_ci_local.fake_hosts.repository import Landing


@dataclass(slots=True)
class MergeBook:
    """How a project merges.

    ``methods`` are those that GitHub allows; of GitLab, the first one is the project's own. ``refusals`` are the next
    answers, status and message, that pass by themselves. ``has_queue`` is GitHub's rule of a merge queue, or GitLab's
    merge trains. ``may_merge`` is whether the engine's token may merge. ``pipeline_seconds`` is how long GitLab takes
    to see a status in its pipeline. ``landed`` is called with each number that the API merges, and who asked.
    """

    methods: tuple[Landing, ...] = ("merge", "squash", "rebase")
    refusals: list[tuple[int, str]] = field(default_factory=list)
    has_queue: bool = False
    may_merge: bool = True
    pipeline_seconds: float = 0.0
    landed: Callable[[int, Person], object] | None = None
    asked: list[str] = field(default_factory=list)
    """The commits that merges were asked for, also those that were refused."""

    def land(self, number: int, person: Person) -> None:
        """Send the webhook of a merge, if an activity sends any."""
        if self.landed is not None:
            self.landed(number, person)


__all__ = ["MergeBook"]
