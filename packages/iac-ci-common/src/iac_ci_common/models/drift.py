"""The list of projects with drift, as `iac-ci drift --json` prints it."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import Moment, RunId, StoredShape
from iac_ci_common.models.changes import Changes


class ListedDrift(StoredShape):
    """A project whose newest drift run found that its infrastructure differs from its configuration."""

    repository: str
    project: str = Field(description="The project as people know it: its folder and workspace.")
    changes: Changes = Field(description="What an apply of the configuration would change.")
    summary: str = Field(description="The counts in words, and how much was changed outside of Terraform.")
    run_id: RunId = Field(description="The newest run that planned the project.")
    commit: str | None = None
    found_at: Moment
    issue: int | None = Field(None, description="Number of the issue about it, null if there is none.")
    note: str | None = Field(None, description="Why there is no issue.")


class DriftList(StoredShape):
    """The projects with drift, by repository and project."""

    since: Moment = Field(description="Runs before this moment are not in the list.")
    planned: int = Field(ge=0, description="Number of projects that drift runs have planned since then.")
    drift: tuple[ListedDrift, ...] = ()
