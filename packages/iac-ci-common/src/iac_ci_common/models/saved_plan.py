"""Saved plans: what a plan order saved, what an apply order applies, and the ledger's row of a project."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from iac_ci_common.models.base import Moment, Name, OrderNum, RunId, Sha256, StoredShape
from iac_ci_common.models.changes import Changes
from iac_ci_common.models.sealed import Sealed

ProjectKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of what tells a project's state apart: repository, folder, workspace and files of its backend."""


class PlannedFile(StoredShape):
    """The plan that an order saved, as the supervisor read it when all processes of the commands had ended.

    It is applied only if ``problem`` is None.
    """

    sha256: Sha256 = Field(description="SHA-256 of the plan's file.")
    tool: str
    tool_version: str | None = Field(None, description="None if the tool did not tell it.")
    workspace: str | None = Field(None, description="Workspace that the plan is for; None if the file does not say it.")
    path: str | None = Field(
        None, description="Absolute folder of the commands; None where folders differ from order to order."
    )
    lock_sha256: Sha256 | None = Field(None, description="SHA-256 of the lock file, None if there is none.")
    destroys: bool = Field(False, description="True for a plan to destroy all that the state holds (`-destroy`).")
    problem: str | None = Field(None, max_length=512, description="Why the plan cannot be applied, in plain words.")


class SavedPlan(StoredShape):
    """A saved plan that an order applies: its bytes, what they were made from, and the project's generation then."""

    run_id: RunId
    order_num: OrderNum
    order_name: Name
    attempt: int = Field(1, ge=1)
    file: str = Field(description="Name of the plan's file in the commands' folder.")
    planned: PlannedFile
    files: Sealed = Field(description="The sealed archive with the plan and the lock file.")
    code_sha256: str | None = None
    generation: int = Field(ge=0, description="The project's generation when the plan began.")
    usable_until: Moment | None = Field(
        None, description="When the plan expires; None in the row of a version before, and in the ledger's own rows."
    )


class OrderProject(StoredShape):
    """The project that an order plans or applies.

    An apply with a ``saved`` plan applies these bytes; one without plans for itself in an order before it.
    """

    key: ProjectKey
    name: str = Field(max_length=1024, description="The project as people know it: its folder and workspace.")
    record: str | None = Field(None, description="Key of the pull request's row for the project; None for a push.")
    file: str = Field("", description="Name of the plan's file in the folder of the commands.")
    applies: bool = False
    saved: SavedPlan | None = None
    planner: str | None = Field(
        None,
        max_length=256,
        description="What makes the plan again: a comment, or `a new commit`; None in a row of a version before.",
    )
    replans: bool = Field(
        False, description="True if the plan is made again by itself when an apply has made it stale."
    )


class PlanRecord(StoredShape):
    """The newest plan of a project in a pull request: a row of the ledger of plans. ``version`` counts the writes."""

    key: str
    version: int = 0
    project: ProjectKey
    name: str
    pull_request: int
    repository: str
    job: str = Field("plan", description="The job that planned.")
    planner: str | None = Field(
        None,
        max_length=256,
        description="What makes the plan again: a comment, or `a new commit`; None in a row of a version before.",
    )
    replans: bool = Field(
        False, description="True if the plan is made again by itself when an apply has made it stale."
    )
    commit: str
    base: str
    merge_into: str | None = Field(None, description="Commit that the planned code was merged into, if it was.")
    merge_commit: str | None = Field(None, description="The code host's merge of both, if that was used.")
    configuration: str = ""
    saved: SavedPlan
    changes: Changes | None = None
    has_stale_notice: bool = Field(False, description="The pull request has a comment that the plan is stale.")
    planned_at: Moment
    usable_until: Moment = Field(description="When the plan expires; its bytes are kept a little longer.")
    expires_at: Moment


class Replan(StoredShape):
    """A pull request's plan that is to be made again, because an apply has made it stale.

    ``trigger_id`` and ``at`` stay the same at each attempt of Lambda. ``repository`` is the URL of the pull request's
    repository, ``plan`` the key of its plan in the ledger, ``project`` that of the project. ``applied_by`` is the run
    of the apply, ``applied_by_order`` its order and ``applied_by_pull_request`` its pull request, None without one.
    """

    trigger_id: RunId
    at: Moment
    repository: str
    number: int = Field(gt=0)
    plan: str
    project: ProjectKey
    applied_by: RunId
    applied_by_order: OrderNum
    applied_by_pull_request: int | None = None


class ProjectApply(StoredShape):
    """An apply of a project: it began, and may not have ended yet."""

    run_id: RunId
    order_num: OrderNum
    pull_request: int | None = None
    plan_sha256: Sha256 | None = Field(None, description="None for an apply that plans for itself.")
    began_at: Moment
    ended_at: Moment | None = None
    status: str | None = Field(None, description="How it ended, None if it has not.")


class KnownDrift(StoredShape):
    """Whether a project has drift, and the run that found that this had changed."""

    is_found: bool
    run_id: RunId


class ProjectState(StoredShape):
    """What was done to a project, over all pull requests.

    ``generation`` counts the beginnings and ends of applies: a plan is stale if another generation than its own has
    come since. ``pulls`` are the pull requests with plans, the newest last.
    """

    key: str
    version: int = 0
    generation: int = 0
    applying: tuple[ProjectApply, ...] = Field(
        (), description="Applies that are under way: one of a reviewed plan, or several that plan for themselves."
    )
    last: ProjectApply | None = Field(None, description="The last apply that ended.")
    pulls: tuple[int, ...] = ()
    issue: int | None = Field(None, description="Number of the issue about the project's drift, if one was created.")
    drift: KnownDrift | None = Field(None, description="The last change of the drift; None if none was ever found.")
    expires_at: Moment
