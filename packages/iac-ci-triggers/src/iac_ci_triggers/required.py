"""The requirements of an apply, as people write them in ``.iac-ci.yml`` and the operator in a connection."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from iac_ci_common.globs import check_branch_pattern, check_path_pattern, check_something_can_match
from iac_ci_common.models.job import Payload, Text
from iac_ci_vcs.reviews import is_own_context

MOST_APPROVALS: Final = 20
"""Most approvals that may be required."""

MAX_PEOPLE: Final = 50
MAX_TEAMS: Final = 20
MAX_CHECKS: Final = 50
MAX_PATTERNS: Final = 256

PersonName = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,254}|\{[0-9a-fA-F-]{36}\})$"),
]
"""A login, or on Bitbucket, where names are not unique, a UUID in braces."""


def _without_dots(name: str) -> str:
    if not set(name.split("/")).isdisjoint({".", ".."}):
        raise ValueError("is not the name of a team")
    return name


TeamName = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,255}(/[A-Za-z0-9_.-]{1,255}){0,20}$"),
    AfterValidator(_without_dots),
]


def _not_own(name: str) -> str:
    if is_own_context(name):
        raise ValueError("is a status of the engine; name checks of others")
    return name


CheckName = Annotated[
    StrictStr,
    StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$"),
    AfterValidator(_not_own),
]
HeadPattern = Annotated[Text, AfterValidator(check_branch_pattern)]
HeadPatterns = Annotated[
    list[HeadPattern], Field(min_length=1, max_length=MAX_PATTERNS), AfterValidator(check_something_can_match)
]
PathPattern = Annotated[Text, AfterValidator(check_path_pattern)]
ReadPatterns = Annotated[
    list[PathPattern], Field(min_length=1, max_length=MAX_PATTERNS), AfterValidator(check_something_can_match)
]
_PATTERNS: Final = TypeAdapter(ReadPatterns)


def _one_kind(value: Any, _: ValidatorFunctionWrapHandler) -> bool | list[str]:
    """Check a value as what it is; the problems of both kinds would contradict each other."""
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return _PATTERNS.validate_python(value)
    raise ValueError("must be true, false or a list of patterns of files")


TrueOrPatterns = Annotated[StrictBool | ReadPatterns, WrapValidator(_one_kind)]
"""Whether something holds of the files that an order reads, or patterns of the files that count."""


class Approved(Payload):
    """Approvals of a pull request's newest commit, by people who neither opened it nor committed or pushed to it."""

    count: Annotated[StrictInt, Field(ge=1, le=MOST_APPROVALS)] = Field(
        1, description="How many people must have approved."
    )
    people: Annotated[list[PersonName], Field(max_length=MAX_PEOPLE)] = Field(
        default_factory=list, description="Approvals of these people count: logins, on Bitbucket UUIDs in braces."
    )
    teams: Annotated[list[TeamName], Field(max_length=MAX_TEAMS)] = Field(
        default_factory=list,
        description="So do those of members of these: `organisation/team` on GitHub, a group's path on GitLab.",
    )
    code_owners: StrictBool = Field(
        default=False, description="True: each changed file that CODEOWNERS of the base names needs one of its owners."
    )

    @property
    def empty_lists(self) -> list[str]:
        """Return those of ``people`` and ``teams`` that are written and empty, if nobody is named at all."""
        named = self.people or self.teams
        return [] if named else sorted(self.model_fields_set & {"people", "teams"})

    @property
    def impossible(self) -> str | None:
        """Return why so many approvals can never be given, None if they can."""
        people = {name.casefold() for name in self.people}
        if not people or self.teams or self.count <= len(people):
            return None
        named = "1 person" if len(people) == 1 else f"{len(people)} people"
        return f"can never be met: {self.count} approvals, and `people` names {named}; name more, or a team"


def _counted(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"count": value}
    if value is not None and not isinstance(value, dict | Approved):
        raise ValueError("must be a number or a mapping (examples: 1, {count: 2, people: [alice, bob]})")
    return value


_COUNT: Final = {"type": "integer", "minimum": 1, "maximum": MOST_APPROVALS}


class Requirements(Payload):
    """What the code host must say about a pull request at the moment of an apply."""

    model_config = ConfigDict(serialize_by_alias=True)

    foreign_fields: ClassVar[dict[str, str]] = {
        "policies_passed": "write checks with the names of the checks",
        "branches": "write from: patterns of the branch that the pull request comes from",
    }

    approved: Annotated[
        Approved | None,
        BeforeValidator(_counted),
        WithJsonSchema({"anyOf": [_COUNT, Approved.model_json_schema()]}),
    ] = Field(None, description="Approvals: a number, or `count`, `people`, `teams` and `code_owners`.")
    mergeable: StrictBool = Field(
        default=False, description="True: the code host would merge; the engine's own statuses do not count against it."
    )
    undiverged: TrueOrPatterns = Field(
        default=False,
        description="True: no file of the order's `paths` differs between the base that was planned and the newest one;"
        " or patterns of these files.",
    )
    checks: Annotated[list[CheckName], Field(max_length=MAX_CHECKS)] = Field(
        default_factory=list, description="Names of checks and statuses of others that must have passed."
    )
    not_draft: StrictBool = Field(default=False, description="True: the pull request is no draft.")
    from_: HeadPatterns | None = Field(
        None, alias="from", description="Patterns of the branch that the pull request comes from; never of a fork."
    )

    @property
    def after_merge(self) -> Requirements:
        """Return what is asked for after the merge: approvals and people again, and nothing about the merge itself."""
        about_merge = {"mergeable": False, "undiverged": False, "checks": [], "not_draft": False}
        return Requirements.model_validate(self.model_dump() | about_merge)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is required."""
        wanted = (self.approved, self.mergeable, self.undiverged, self.checks, self.not_draft, self.from_)
        return not any(wanted)


class ProjectRequirements(Requirements):
    """The requirements of a project's apply: these two hold unless they are set to false."""

    mergeable: StrictBool = Field(default=True, description="As in a job; true by default.")
    undiverged: TrueOrPatterns = Field(
        default=True, description="As in a job, about the files that the project reads; true by default."
    )

    def of_order(self, reads: list[str]) -> Requirements:
        """Return the requirements of the project's order; ``reads`` are the patterns of the files that it reads."""
        fields = self.model_dump() | ({"undiverged": reads} if self.undiverged is True else {})
        return Requirements.model_validate(fields)


__all__ = ["Approved", "ProjectRequirements", "Requirements", "TrueOrPatterns"]
