"""The models of ``.iac-ci.yml``, which check single fields; ``checks`` checks the rest."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

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
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from iac_ci_common import limits
from iac_ci_common.environment import EnvironmentName
from iac_ci_common.globs import check_branch_pattern, check_path_pattern, check_pattern, check_something_can_match
from iac_ci_common.locations import ParameterLocation, SecretLocation, StoredSecretLocation
from iac_ci_common.models.base import Name
from iac_ci_common.models.commands import CheckedCommand, Command, Retry, either
from iac_ci_common.models.job import (
    Approval,
    Concurrency,
    CredentialsDelivery,
    ExecutionTarget,
    FilePattern,
    GroupName,
    Mask,
    Payload,
    PlanFile,
    Restore,
    RoleArn,
    Size,
    Text,
)
from iac_ci_common.models.tools import Tool as FetchedTool  # noqa: TC001 - read by pydantic
from iac_ci_common.models.tools import ToolVersion  # noqa: TC001 - read by pydantic
from iac_ci_common.module_repositories import ModuleRepository  # noqa: TC001 - read by pydantic
from iac_ci_common.registries import RegistryHost  # noqa: TC001 - read by pydantic
from iac_ci_common.validation_messages import ORDER_WORDS, message
from iac_ci_projects import Tool
from iac_ci_triggers.commands import BUILT_IN as BUILT_IN_COMMANDS
from iac_ci_triggers.configuration.schedules import cron_problem, zone_problem
from iac_ci_triggers.required import ProjectRequirements, Requirements, TrueOrPatterns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import core_schema

FILE_NAME: Final = ".iac-ci.yml"
"""Path of the configuration in a repository."""

CONFIGURATION_STATUS: Final = "configuration"
"""Name of the engine's own status ``iac-ci/configuration``; no job may have it."""

VERSION: Final = 1
"""The supported version of the configuration."""

ENGINE_PREFIX: Final = "IACCI_"
"""Prefix of the variables that the engine sets in every order; a configuration cannot set them."""

MAX_JOBS: Final = 100
"""Most jobs of a configuration."""

MAX_VARIABLES: Final = 200
"""Most variables of one mapping; ``Order.env_vars`` limits the total of an order."""

MAX_PATTERNS: Final = 256
"""Most patterns of one list."""

MAX_RULES: Final = 100
"""Most entries of ``projects``."""

TEMPLATE_START: Final = "{{"


def _spelt(value: Any) -> Any:
    """Return true, false and whole numbers as text; the parser only reads spellings that keep their text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


# Other parsers read 1.10 as a number; here it is text.
_SPELT_SCHEMA: Final = {"type": ["string", "number", "boolean"]}

Value = Annotated[
    StrictStr,
    StringConstraints(max_length=limits.MAX_COMMAND_CHARS, pattern=r"^[^\x00]*$"),
    BeforeValidator(_spelt),
    WithJsonSchema(_SPELT_SCHEMA | {"maxLength": limits.MAX_COMMAND_CHARS}),
]
"""Text of a variable; it may contain any template."""

MatrixValue = Annotated[
    StrictStr,
    StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$"),
    BeforeValidator(_spelt),
    WithJsonSchema(_SPELT_SCHEMA | {"minLength": 1, "maxLength": 256}),
]

CommandLine = Annotated[
    Command,
    BeforeValidator(_spelt),
    WithJsonSchema(_SPELT_SCHEMA | {"minLength": 1, "maxLength": limits.MAX_COMMAND_CHARS}),
]


class ConfiguredCommand(CheckedCommand):
    """A command with exit codes, as in a job."""

    run: CommandLine = Field(description="The command; no templates.")


ConfiguredCommands = Annotated[CommandLine | ConfiguredCommand, either(CommandLine, ConfiguredCommand)]


def _templated(kind: Any) -> AfterValidator:
    """Check text by ``kind`` unless it has a template, which is checked after substitution for every combination."""
    adapter: TypeAdapter[str] = TypeAdapter(kind)

    def check(value: str) -> str:
        if TEMPLATE_START in value:
            return value
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(message(error.errors(include_url=False)[0])) from None

    return AfterValidator(check)


NameTemplate = Annotated[Text, _templated(Name)]
LocationTemplate = Annotated[Text, _templated(SecretLocation)]
ParameterTemplate = Annotated[Text, _templated(ParameterLocation)]
StoredSecretTemplate = Annotated[Text, _templated(StoredSecretLocation)]
RoleTemplate = Annotated[Text, _templated(RoleArn)]


def _not_reserved(value: str) -> str:
    if value.upper().startswith(ENGINE_PREFIX):
        raise ValueError(f"the engine sets the names that begin with {ENGINE_PREFIX}; use another name")
    return value


VariableName = Annotated[EnvironmentName, AfterValidator(_not_reserved)]

PathPattern = Annotated[Text, AfterValidator(check_path_pattern)]
PathPatterns = Annotated[
    list[PathPattern], Field(min_length=1, max_length=MAX_PATTERNS), AfterValidator(check_something_can_match)
]
BranchPattern = Annotated[Text, AfterValidator(check_branch_pattern)]
BranchPatterns = Annotated[
    list[BranchPattern], Field(min_length=1, max_length=MAX_PATTERNS), AfterValidator(check_something_can_match)
]
LabelPatterns = Annotated[
    list[Annotated[Text, AfterValidator(check_pattern)]],
    Field(min_length=1, max_length=MAX_PATTERNS),
    AfterValidator(check_something_can_match),
]


def _no_built_in(word: str) -> str:
    if word in BUILT_IN_COMMANDS:
        raise ValueError(f"{word} is a command of the engine; use another word")
    return word


CommandWord = Annotated[
    StrictStr, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$"), AfterValidator(_no_built_in)
]

Axis = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


def _list_of_one(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _empty_if_nothing(value: Any) -> Any:
    return {} if value is None else value


def _mapping(example: str) -> BeforeValidator:
    """Refuse text, numbers and lists in place of a mapping, with an example of one."""

    def check(value: Any) -> Any:
        if isinstance(value, str | int | float | list):
            raise ValueError(f"must be a mapping (example: {example})")  # noqa: TRY004 - pydantic reports ValueError only
        return value

    return BeforeValidator(check)


def _known_version(value: int) -> int:
    if value != VERSION:
        raise ValueError(
            f"is not supported; this engine supports version {VERSION}"
            " (`iac-ci scaffold --from` converts an atlantis.yaml)"
        )
    return value


Version = Annotated[StrictInt, AfterValidator(_known_version), WithJsonSchema({"const": VERSION, "type": "integer"})]


class Statuses(StrEnum):
    """The commit statuses that the engine sets."""

    RUN = "run"
    ORDERS = "orders"


class CheckoutTarget(StrEnum):
    """The code of a pull request's orders: its head, or what the base branch would be after the merge."""

    HEAD = "head"
    MERGE = "merge"


_JOB_ONLY: Final = "it is a field of a job that is sent; here the event sets it"
_ORDER_ONLY: Final = "it is a field of a job that is sent; here orders run on the commit of the event"


_REQUIRE: Final = "{approved: 1, mergeable: true}"
"""An example of requirements."""


class Settings(Payload):
    """Fields that an order can set itself or take from ``defaults``."""

    timeout: Annotated[StrictInt, Field(gt=0, le=limits.MAX_CODEBUILD_ORDER_SECONDS)] | None = Field(
        None, description=f"Seconds that all commands together may take; {limits.DEFAULT_ORDER_SECONDS} by default."
    )
    stop_grace: Annotated[StrictInt, Field(gt=0, le=limits.MAX_STOP_GRACE_SECONDS)] | None = Field(
        None, description="Seconds after `timeout` in which the commands may end by themselves, as in a job."
    )
    checkout: CheckoutTarget | None = Field(
        None,
        description="Code of a pull request: `head` (default), or `merge`, what the base branch would be after it.",
    )
    execution_target: ExecutionTarget | None = Field(None, description="Where to run; `auto` by default.")
    size: Size | None = Field(None, description="Size of the build, as in a job; none by default.")
    tools: dict[FetchedTool, ToolVersion] = Field(
        default_factory=dict, description="Versions of terraform, opentofu and terragrunt, as in a job."
    )
    env_vars: dict[VariableName, Value] = Field(
        default_factory=dict, max_length=MAX_VARIABLES, description="Plain environment variables; all templates."
    )
    secrets: dict[VariableName, LocationTemplate] = Field(
        default_factory=dict,
        max_length=MAX_VARIABLES,
        description="One variable per entry, from `ssm:/path` or `secretsmanager:id#key`; templates of the matrix.",
    )
    ssm_paths: Annotated[list[ParameterTemplate], Field(max_length=64)] | None = Field(
        None, description="Parameters, as in a job; templates of the matrix."
    )
    secret_manager_paths: Annotated[list[StoredSecretTemplate], Field(max_length=64)] | None = Field(
        None, description="Secrets Manager secrets, as in a job; templates of the matrix."
    )
    git_credentials: Annotated[list[ModuleRepository], Field(max_length=limits.MAX_GIT_CREDENTIALS)] | None = Field(
        None, description="Connected repositories that git may read while the commands run, as in a job; no templates."
    )
    registries: dict[RegistryHost, LocationTemplate] = Field(
        default_factory=dict,
        max_length=limits.MAX_REGISTRIES,
        description="Locations of tokens for registries, by host, as in a job; templates of the matrix.",
    )
    assume_role: RoleTemplate | None = Field(
        None, description="Role whose temporary credentials the commands get; templates of the matrix."
    )
    credentials: CredentialsDelivery | None = Field(
        None, description="How they get them, as in a job: `endpoint` by default, or `environment`."
    )
    sops_key: LocationTemplate | None = Field(
        None, description="Location of an age identity to seal with; templates of the matrix."
    )
    must_succeed: StrictBool | None = Field(
        None, description="False: the run and the dependents continue if this order fails; true by default."
    )


class RestoreTemplate(Restore):
    """Files of an earlier order of this job; its name may contain templates of the matrix."""

    order: NameTemplate = Field(description="Name of the order that saved them, one of `depends_on`.")


def _relative(path: str) -> str:
    if path.startswith("/"):
        raise ValueError("begins with a slash; write paths from the project's folder")
    return path


MAX_FILES: Final = 32
"""Most files of one list of a project."""

RelativeFiles = Annotated[list[Annotated[Text, AfterValidator(_relative)]], Field(max_length=MAX_FILES)]


class PlanTemplate(PlanFile):
    """The plan that the commands write; templates of the matrix in its workspace and in the files of its backend."""

    backend_config: RelativeFiles = Field(
        default_factory=list,
        description="Files for `init -backend-config`: plans of one folder and workspace with other files are of other"
        " states.",
    )
    replan_when_stale: StrictBool = Field(
        default=False,
        description="True: when an apply of another pull request has made the plan stale, it is made again by itself.",
    )


def _needs_commands(schema: dict[str, Any]) -> None:
    schema["if"] = {"required": ["approval"], "properties": {"approval": {"type": "object"}}}
    schema["else"] = {"required": ["cmds"]}


class ConcurrencyTemplate(Concurrency):
    """A concurrency group; templates of the matrix in its name."""

    group: Annotated[Text, _templated(GroupName)] = Field(
        description="Name of the group; those of other repositories are other groups. Templates of the matrix."
    )


class ApprovalTemplate(Approval):
    """What makes an order wait for an approval; templates of the matrix in the names of what it overrides."""

    overrides: list[NameTemplate] = Field(
        default_factory=list,
        max_length=limits.MAX_DEPENDENCIES,
        description="Names of `depends_on` whose failure the approval overrides: nobody is asked if all of them"
        " succeed. Templates of the matrix.",
    )


class ConfiguredOrder(Settings):
    """An order, which the matrix copies."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_needs_commands)

    foreign_fields: ClassVar[Mapping[str, str]] = {
        "git_repo": _ORDER_ONLY,
        "commit_hash": _ORDER_ONLY,
        "s3_location": _ORDER_ONLY,
        "merge_into": "write checkout: merge",
        "merge_commit": "write checkout: merge",
        "verbatim": "it is a field of a job that is sent; values of templates are never read as templates here",
        "queue_id": "it is a field of a job that is sent; here 'depends_on' takes names of orders only",
        **ORDER_WORDS,
    }

    name: NameTemplate = Field(description="Unique name; templates of the matrix.")
    folder: Text | None = Field(
        None, description="Folder of the repository in which the commands run; templates of the matrix."
    )
    paths: PathPatterns | None = Field(
        None, description="Run only if one of these has changed; templates of the matrix."
    )
    project: NameTemplate | None = Field(
        None,
        description="Project of the order: `/iac-ci <word> <project>` runs the orders of this project only.",
    )
    approval: ApprovalTemplate | None = Field(
        None, description="Makes the order wait for an approval, as in a job; templates in `overrides` alone."
    )
    cmds: list[ConfiguredCommands] = Field(
        default_factory=list,
        max_length=limits.MAX_COMMANDS,
        description="Shell commands, run in sequence; `{run, ok}` names exit codes; no templates.",
    )
    save: list[FilePattern] = Field(
        default_factory=list,
        max_length=limits.MAX_FILE_PATTERNS,
        description="Patterns of files below the folder to save when the commands have ended; no templates.",
    )
    plan: PlanTemplate | None = Field(
        None, description="The plan that the commands write, as in a job; templates of the matrix in its workspace."
    )
    apply_plan: NameTemplate | None = Field(
        None,
        description="Name of an order with `plan`. Of another job: its reviewed plan of this pull request is applied.",
    )
    after_merge: TrueOrPatterns = Field(
        False,
        description="True: the reviewed plan of `apply_plan` is applied by itself after the merge, if no file of"
        " `paths` differs from what was planned; or patterns of these files. No comment applies it before.",
    )
    require: Annotated[Requirements | None, _mapping(_REQUIRE)] = Field(
        None, description="What must hold before this order starts, as in the job, for this order alone; no templates."
    )
    restore: list[RestoreTemplate] = Field(
        default_factory=list, max_length=limits.MAX_RESTORES, description="Saved files of earlier orders to restore."
    )
    keep_on_failure: Annotated[list[FilePattern], Field(max_length=limits.MAX_FILE_PATTERNS)] | None = Field(
        None, description="Patterns of files to keep if the order does not succeed, as in a job; no templates."
    )
    depends_on: list[NameTemplate] = Field(
        default_factory=list,
        max_length=limits.MAX_DEPENDENCIES,
        description="Names of orders of this job that must end before this one starts; templates of the matrix.",
    )
    when: dict[NameTemplate, Literal["changed"]] = Field(
        default_factory=dict,
        max_length=limits.MAX_DEPENDENCIES,
        description="Names of `depends_on` that must be `changed`; otherwise the order is skipped.",
    )
    concurrency: ConcurrencyTemplate | None = Field(
        None, description="Group of which one order runs at a time, as in a job; templates of the matrix in its name."
    )
    idempotent: StrictBool = Field(
        False, description="True: the commands may run again after they failed, as if for the first time."
    )
    retry: Retry | None = Field(None, description="Repeats a failed order that is `idempotent`, as in a job.")


class PullRequestTrigger(Payload):
    """Runs the job if a pull request is opened or has new commits."""

    branches: BranchPatterns | None = Field(None, description="Base branches; any if none is given.")
    paths: PathPatterns | None = Field(None, description="Only if one of these has changed.")
    drafts: StrictBool = Field(default=True, description="False: not before a draft is ready for review.")
    labels: LabelPatterns | None = Field(None, description="Only with a label that matches; Bitbucket has none.")


class PushTrigger(Payload):
    """Runs the job after a push to a branch."""

    branches: BranchPatterns | None = Field(None, description="Branches; any if none is given.")
    paths: PathPatterns | None = Field(None, description="Only if one of these has changed.")


def _readable_cron(value: str) -> str:
    problem = cron_problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _known_zone(value: str) -> str:
    problem = zone_problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


class Schedule(Payload):
    """Planned minutes, each met within 15 minutes."""

    cron: Annotated[StrictStr, StringConstraints(min_length=1, max_length=128), AfterValidator(_readable_cron)] = Field(
        description="Five fields of cron: minute, hour, day of the month, month, day of the week; 15 minutes apart."
    )
    timezone: Annotated[StrictStr, StringConstraints(min_length=1, max_length=64), AfterValidator(_known_zone)] = Field(
        "UTC", description="IANA time zone of the fields, for example `Europe/Berlin`."
    )


class _WithoutNull(GenerateJsonSchema):
    """Writes that no field may be null: the loader refuses a field without a value."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def _or(kind: str, model: type[Payload]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [model.model_json_schema(schema_generator=_WithoutNull), {"type": kind}]})


class Triggers(Payload):
    """The triggers of a job; at least one is needed."""

    pull_request: Annotated[
        PullRequestTrigger | None,
        _mapping("{branches: [main]}"),
        BeforeValidator(_empty_if_nothing),
        _or("null", PullRequestTrigger),
    ] = Field(None, description="A pull request; no value or `{}` means any.")
    command: Annotated[
        list[CommandWord],
        Field(min_length=1, max_length=16),
        BeforeValidator(_list_of_one),
        WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1, "maxItems": 16}),
    ] = Field(default_factory=list, description="One or several words: `/iac-ci <word> [target]` in a comment.")
    push: Annotated[
        PushTrigger | None,
        _mapping("{branches: [main]}"),
        BeforeValidator(_empty_if_nothing),
        _or("null", PushTrigger),
    ] = Field(None, description="A push; no value or `{}` means to any branch.")

    schedule: Annotated[Schedule | None, _mapping('{cron: "0 6 * * *", timezone: Europe/Berlin}')] = Field(
        None, description="Planned minutes; only of the branch that the stack's connection names for schedules."
    )

    before_merge: StrictBool = Field(
        default=False,
        description="For a job of a command: its status is pending on a pull request until every order has succeeded.",
    )

    @model_validator(mode="after")
    def _starts_at_all(self) -> Self:
        if self.pull_request is None and self.push is None and self.schedule is None and not self.command:
            raise ValueError("has no trigger, so nothing starts the job; add pull_request, command, push or schedule")
        if self.before_merge and (self.pull_request is not None or not self.command):
            raise ValueError("has before_merge, which is for a job that a command starts and no pull request")
        return self


class ConfiguredJob(Payload):
    """A job: its triggers and its orders."""

    foreign_fields: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("username", "git_repo", "commit_hash", "pr_number", "issue_number", "pr_comment_search_tag"), _JOB_ONLY
        ),
        "flow_label": "it is a field of a job that is sent; here the job's name is its label",
        "git_token_location": "it is a field of a job that is sent; here the stack's connection sets it",
        "git_ssh_key_location": "it is a field of a job that is sent; here the stack's connection sets it",
        "commit_status": "it is a field of a job that is sent; here every job has commit statuses",
        "order_statuses": "it is a field of a job that is sent; here 'statuses' of the whole file sets it",
        "presign_expiry": "it is a field of a job that is sent, not of .iac-ci.yml",
        **{word: f"{text}, in each of 'orders'" for word, text in ORDER_WORDS.items() if text.startswith("write ")},
        "stage": "an order starts when those of its 'depends_on' have ended",
        "strategy": "write matrix in the job itself",
        "autoplan": "write paths in on: {pull_request: …}",
    }

    on: Annotated[Triggers, _mapping("{pull_request: {}}")] = Field(description="The triggers of the job.")
    matrix: dict[Axis, Annotated[list[MatrixValue], Field(min_length=1, max_length=limits.MAX_ORDERS)]] = Field(
        default_factory=dict,
        max_length=8,
        description="Axes and their values; each order is copied once per combination.",
    )
    job_timeout: Annotated[StrictInt, Field(gt=0, le=limits.MAX_JOB_SECONDS)] = Field(
        limits.DEFAULT_JOB_SECONDS, description="Seconds after acceptance at which the run ends `timed_out`."
    )
    max_parallel: Annotated[StrictInt, Field(gt=0, le=limits.MAX_ORDERS)] | None = Field(
        None, description="Most orders running at once; the stack's limit if none is given."
    )
    checkout: CheckoutTarget | None = Field(
        None, description="Code of all orders that do not set it: `head` (default), or `merge`."
    )
    require: Annotated[Requirements | None, _mapping(_REQUIRE)] = Field(
        None,
        description="What must hold for all orders that do not set it: approvals, mergeability, checks; no templates."
        " For a job that only commands start.",
    )
    concurrency: Annotated[Concurrency, _mapping("{group: deploy, queue: newest}")] | None = Field(
        None, description="Group that a run holds from its first order's start until its end; orders then name none."
    )
    mask: Annotated[Mask, _mapping("{also: [HOST], never: [USER]}")] | None = Field(
        None, description="Values to mask in output besides the secrets, and values to leave readable; no templates."
    )
    orders: list[ConfiguredOrder] = Field(min_length=1, max_length=limits.MAX_ORDERS, description="The orders.")


class Roles(Payload):
    """The roles of a project: its plans should only be able to read."""

    plan: RoleTemplate = Field(description="Role whose temporary credentials plans get; templates of the matrix.")
    apply: RoleTemplate = Field(description="Role whose temporary credentials applies get; templates of the matrix.")


class Workflow(Payload):
    """Commands of projects, instead of the tool's usual ones. They run in the project's folder."""

    plan: list[CommandLine] = Field(
        min_length=1,
        max_length=limits.MAX_COMMANDS,
        description='Commands that plan; they write the plan to "$PLANFILE". No templates.',
    )
    apply: list[CommandLine] = Field(
        min_length=1,
        max_length=limits.MAX_COMMANDS,
        description='Commands that apply; "$PLANFILE" is the plan that was made just before. No templates.',
    )
    saves_plan: StrictBool = Field(
        default=True, description="False: the commands write no plan, and those that apply decide what to do."
    )


def _both_roles(value: Any) -> Any:
    return {"plan": value, "apply": value} if isinstance(value, str) else value


def _no_patterns(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError("must be true or false; patterns of when_modified are those of watch")  # noqa: TRY004
    return value


def _folder_below(folder: str) -> str:
    parts = folder.split("/")
    if folder != "." and {"", ".", ".."} & set(parts):
        raise ValueError("must be a path from the repository's root, without empty parts, . or .. (the root is .)")
    return folder


class AppliedPlan(StrEnum):
    """The plan that `/iac-ci apply` applies."""

    REVIEWED = "reviewed"
    FRESH = "fresh"


class AppliedOn(StrEnum):
    """What starts an apply."""

    COMMENT = "comment"
    MERGE = "merge"


class ApplyRule(Payload):
    """How a project is applied."""

    on: AppliedOn = Field(
        AppliedOn.COMMENT,
        description="`comment`: `/iac-ci apply` in an open pull request; `merge`: by itself after the merge.",
    )

    plan: AppliedPlan = Field(
        AppliedPlan.REVIEWED, description="`reviewed`: the plan in the pull request; `fresh`: one made just before."
    )
    require: Annotated[ProjectRequirements, _mapping(_REQUIRE)] = Field(
        default_factory=lambda: ProjectRequirements.model_validate({}),
        description="What must hold before it is applied; `mergeable` and `undiverged` unless they are false.",
    )


class ProjectRule(Settings):
    """Finds projects: folders that a tool plans and applies. Each gives an order to the jobs `plan` and `apply`."""

    foreign_fields: ClassVar[Mapping[str, str]] = {
        "dir": "write folder, or find with a pattern",
        "paths": "write watch: files besides those that the project reads",
        "when_modified": "write watch, with paths from the repository's root",
        "cmds": "write a workflow",
        "name": "projects are named after their folders",
        "terraform_version": "write tools: {terraform: …}",
        "terraform_distribution": "write tool: terraform or opentofu",
        **dict.fromkeys(("opentofu", "terragrunt"), "write tool: opentofu or tool: terragrunt"),
        "include_patterns": "write watch, with paths from the repository's root",
        "execution_order_group": "write depends_on: folders of projects that end before",
        "aws_role_to_assume": "write role",
        "drift_detection": "write drift",
        "idempotent": "write retry: plans change nothing and may be repeated; applies are never repeated",
        "when": "an apply without changes changes nothing; write jobs by hand where an order depends on it",
        **dict.fromkeys(("require", "requirements", "apply_requirements"), "write apply: {require: …}"),
    }

    find: Annotated[PathPatterns | None, BeforeValidator(_list_of_one)] = Field(
        None, description="Patterns of files; each folder that has one is a project, for example `live/**/backend.tf`."
    )
    folder: Annotated[Text, AfterValidator(_folder_below)] | None = Field(
        None, description="The folder of one project, `.` for the repository's root."
    )
    tool: Tool = Field(Tool.TERRAFORM, description="What plans and applies.")
    autoplan: Annotated[StrictBool, BeforeValidator(_no_patterns)] = Field(
        default=True, description="False: only a command that names the project plans or applies it."
    )
    replan_when_stale: StrictBool = Field(
        default=False,
        description="True: when an apply of another pull request has made the plan stale, it is made again by itself.",
    )
    drift: StrictBool = Field(
        default=True, description="False: the job `drift` leaves the project out, if the file has `drift`."
    )
    retry: Retry | None = Field(
        None, description="Repeats a failed plan, which changes nothing, as in an order; applies are never repeated."
    )
    role: Annotated[Roles | None, BeforeValidator(_both_roles), _or("string", Roles)] = Field(
        None, description="Roles of plans and of applies, or one role for both."
    )
    apply: ApplyRule | None = Field(
        None, description="How it is applied; `{plan: reviewed}` by default, `{plan: fresh}` with terragrunt."
    )
    workflow: Name | None = Field(None, description="Name of one of `workflows`, whose commands run instead.")
    watch: PathPatterns | None = Field(
        None, description="Further files whose change concerns the projects, with paths from the repository's root."
    )
    depends_on: Annotated[list[Text], Field(max_length=MAX_PATTERNS)] = Field(
        default_factory=list,
        description="Patterns of the folders of projects that are applied before; `../x` is beside the project.",
    )
    matrix: dict[Axis, Annotated[list[MatrixValue], Field(min_length=1, max_length=limits.MAX_ORDERS)]] = Field(
        default_factory=dict,
        max_length=8,
        description="Axes and their values; each folder is one project per combination.",
    )
    workspace: Text | None = Field(
        None, description="Terraform workspace, which is created if it is missing; templates of the matrix."
    )
    var_files: RelativeFiles = Field(
        default_factory=list, description="Files of variables, from the project's folder; templates of the matrix."
    )
    backend_config: RelativeFiles = Field(
        default_factory=list, description="Files for `init -backend-config`, as var_files; templates of the matrix."
    )


class Configuration(Payload):
    """The whole file: jobs, projects, or both."""

    foreign_fields: ClassVar[Mapping[str, str]] = {
        "username": _JOB_ONLY,
        "git_repo": _JOB_ONLY,
        "commit_hash": _JOB_ONLY,
        "stages": "an order starts when those of its 'depends_on' have ended",
        **dict.fromkeys(("dirs", "stacks", "generate_projects"), "write projects, which find folders by patterns"),
        **dict.fromkeys(("parallel_plan", "parallel_apply"), "projects that depend on none run at the same time"),
        "engine": "write tool in each of 'projects'",
    }

    version: Version = Field(description="Version of the configuration's format.")
    defaults: Annotated[Settings, BeforeValidator(_empty_if_nothing)] = Field(
        default_factory=lambda: Settings.model_validate({}),
        description="Values for orders that do not set them; mappings are merged.",
    )
    statuses: Statuses = Field(Statuses.RUN, description="A commit status for the run, or one for each order too.")
    jobs: Annotated[dict[Name, ConfiguredJob], _mapping("{plan: {on: …, orders: …}}")] = Field(
        default_factory=dict, max_length=MAX_JOBS, description="Jobs by name; the name is the run's flow label."
    )
    projects: Annotated[list[ProjectRule], Field(max_length=MAX_RULES)] = Field(
        default_factory=list,
        description="What finds projects in the code; they give the jobs `plan` and `apply`. The first entry that finds"
        " a folder and workspace counts.",
    )
    merge_when_applied: StrictBool = Field(
        default=False,
        description="True: a pull request is merged when everything that it planned has been applied, at that commit.",
    )
    drift: Annotated[Schedule | None, _mapping('{cron: "0 6 * * *", timezone: Europe/Berlin}')] = Field(
        None,
        description="When all projects are planned to find drift: it gives the job `drift`, and an issue per project.",
    )
    workflows: Annotated[dict[Name, Workflow], _mapping("{name: {plan: […], apply: […]}}")] = Field(
        default_factory=dict, max_length=MAX_JOBS, description="Commands of projects, by the name that projects use."
    )

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the JSON Schema of the file, in which only `pull_request` and `push` may be null."""
        return super().model_json_schema(*args, **({"schema_generator": _WithoutNull} | options))
