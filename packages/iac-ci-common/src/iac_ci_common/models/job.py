"""The job as callers send it to ``POST /webhook``; existing callers depend on the names.

The models check single fields and single orders; ``iac_ci_common.job_validation.rules`` checks what needs the whole job
(duplicates, dependencies, cycles, limits of a target).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)

from iac_ci_common import limits
from iac_ci_common.environment import EnvironmentName
from iac_ci_common.globs import check_path_pattern
from iac_ci_common.locations import ParameterLocation, SecretLocation, StoredSecretLocation
from iac_ci_common.models.base import DEFERRED, Name
from iac_ci_common.models.commands import AnyCommand, Retry, command_text
from iac_ci_common.models.tools import Tool, ToolVersion
from iac_ci_common.module_repositories import ModuleRepository
from iac_ci_common.order_outputs import OutputReference, reference
from iac_ci_common.registries import RegistryHost
from iac_ci_common.validation_messages import ORDER_WORDS

# pydantic uses Rust's regex crate, where `$` matches only the end of the text: a trailing newline does not match.
Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A short line without control characters."""

Size = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
"""Name of a size of builds; `order_sizes` in terraform/deploy/variables.tf has the same pattern."""

CommitHash = Annotated[StrictStr, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
S3Location = Annotated[
    StrictStr, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x1f\x7f]{1,1024}$")
]
RoleArn = Annotated[
    StrictStr, StringConstraints(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}$")
]


class ExecutionTarget(StrEnum):
    """Where an order runs; ``auto`` is Lambda if the time-out and a named ``stop_grace`` fit there, else CodeBuild."""

    AUTO = "auto"
    LAMBDA = "lambda"
    CODEBUILD = "codebuild"


class CredentialsDelivery(StrEnum):
    """How commands get the credentials of ``assume_role``.

    ``endpoint`` serves them on loopback to the SDKs of AWS, renewed for as long as the order runs; ``environment`` sets
    three variables, which end after an hour.
    """

    ENDPOINT = "endpoint"
    ENVIRONMENT = "environment"


class Payload(BaseModel):
    """A frozen model of input from callers: types are strict and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=DEFERRED)

    foreign_fields: ClassVar[Mapping[str, str]] = {}
    """Hints for fields that users know from another kind of file and that mean nothing here, by name."""


_CONFIGURATION_ONLY: Final = "it is a field of a repository's .iac-ci.yml, not of a job that is sent"


MaskEntry = Annotated[
    StrictStr, StringConstraints(min_length=1, max_length=limits.MAX_MASK_CHARS, pattern=r"^[^\x00]*$")
]


class Mask(Payload):
    """What is masked in output beside the secrets, and what is not.

    An entry is the name of a variable that an order has, and stands for its value; any other entry is a text itself.
    """

    also: list[MaskEntry] = Field(
        default_factory=list,
        max_length=limits.MAX_MASK_ENTRIES,
        description=f"Variables or texts to mask like secrets; texts of at least {limits.MIN_MASKED_CHARS} characters.",
    )
    never: list[MaskEntry] = Field(
        default_factory=list,
        max_length=limits.MAX_MASK_ENTRIES,
        description="Variables or texts to leave readable though they are secret, or part of a secret.",
    )


def _below(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or "\\" in folder:
        raise ValueError("must be a relative path without ..")
    return folder


def _file_pattern(pattern: str) -> str:
    if pattern.removeprefix("!").startswith("/"):
        raise ValueError("begins with a slash; write paths from the folder of the commands without one")
    return check_path_pattern(pattern)


FilePattern = Annotated[Text, AfterValidator(_file_pattern)]


class Restore(Payload):
    """Files that an earlier order saved, to put into the folder of this one."""

    order: Name = Field(description="Name or queue id of the order that saved them, one of the dependencies.")
    files: Annotated[list[FilePattern], Field(min_length=1, max_length=limits.MAX_FILE_PATTERNS)] = Field(
        default_factory=lambda: ["**"], description="Patterns of the files; all by default."
    )
    folder: Annotated[Text, AfterValidator(_below)] = Field(
        ".", description="Folder to put them into, relative to that of the commands, without `..`; made if missing."
    )
    overwrite: StrictBool = Field(False, description="True: replace files that came with the code.")


GroupName = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$")]


class Concurrency(Payload):
    """A concurrency group: of all orders and jobs of one source that name it, one runs at a time."""

    group: GroupName = Field(description="Name of the group; other sources' groups of this name are other groups.")
    queue: Literal["all", "newest"] = Field(
        "all",
        description="Which orders wait: `all`, or only the `newest` of a job's order in a pull request or branch.",
    )
    shared: StrictBool = Field(
        False, description="True: may run beside others that share the group; those that do not run alone."
    )


def _plan_file(name: str) -> str:
    if "/" in name or name in {".", ".."} or set(name) & set("*?[]{}!\\"):
        raise ValueError("must be the name of a file in the folder of the commands")
    return name


class PlanFile(Payload):
    """The plan that the order's commands write: the engine reads and shows that file, not what the commands print."""

    file: Annotated[Text, AfterValidator(_plan_file)] = Field(
        description="Name of the file in the folder of the commands; `save` must keep it."
    )
    tool: Literal["terraform", "opentofu"] = Field("terraform", description="`terraform` or `opentofu`.")
    workspace: Text | None = Field(None, description="Workspace that the plan must be for; any if none is given.")
    json_file: Annotated[Text, AfterValidator(_plan_file)] | None = Field(
        None,
        description="Name of a file that the engine saves beside the plan: its JSON, for orders that check the plan.",
    )


_APPROVER: Final = re.compile(
    r"[A-Za-z0-9_.-]{1,100}|\{[0-9a-fA-F-]{36}\}|team:[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){0,20}"
)


def _approver(value: str) -> str:
    segments = set(value.removeprefix("team:").split("/"))
    if _APPROVER.fullmatch(value) is None or len(value) > limits.MAX_APPROVER_CHARS or segments & {".", ".."}:
        raise ValueError(
            "must be a person's login, the id of an account in braces (Bitbucket), or team: and the path of a team"
            " (examples: alice, team:acme/platform)"
        )
    return value


Approver = Annotated[StrictStr, AfterValidator(_approver)]


class Approval(Payload):
    """What makes an order wait for an approval instead of running commands."""

    by: list[Approver] = Field(
        default_factory=list,
        max_length=limits.MAX_APPROVERS,
        description="Who may answer in a comment: logins, and `team:` with the path of a team. They need write access.",
    )
    message: Text | None = Field(None, description="What is asked, shown where the order waits.")
    expires: Annotated[StrictInt, Field(gt=0, le=limits.MAX_JOB_SECONDS)] | None = Field(
        None, description="Seconds of waiting after which the order ends `timed_out`; until the run's end by default."
    )
    api: StrictBool = Field(False, description="True: a signed request may answer too; then no person is known.")
    self_approval: StrictBool = Field(
        False, description="True: the author of the pull request and who started the run may approve too."
    )
    overrides: list[Name] = Field(
        default_factory=list,
        max_length=limits.MAX_DEPENDENCIES,
        description="Dependencies whose failure the approval overrides: nobody is asked if all of them succeed.",
    )


def _needs_commands(schema: dict[str, Any]) -> None:
    schema["if"] = {"required": ["approval"], "properties": {"approval": {"type": "object"}}}
    schema["else"] = {"required": ["cmds", "timeout"]}


class Order(Payload):
    """A list of commands with its code, secrets, time-out and dependencies; or an approval to wait for."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_needs_commands)

    foreign_fields = {
        **dict.fromkeys(("paths", "project", "apply_plan", "after_merge", "require"), _CONFIGURATION_ONLY),
        "checkout": f"{_CONFIGURATION_ONLY}; write merge_into, the commit to merge into",
        **ORDER_WORDS,
    }

    order_name: Name | None = Field(None, description="Unique name; `order-<order_num>` if none is given.")
    queue_id: Name | None = Field(None, description="A second unique name that dependencies may use.")
    approval: Approval | None = Field(
        None, description="Makes the order wait for an approval; it has no commands, code or secrets then."
    )
    cmds: list[AnyCommand] = Field(
        default_factory=list,
        max_length=limits.MAX_COMMANDS,
        description="Shell commands, or `{run, ok}` with exit codes, in sequence; the first that fails ends the order.",
    )
    timeout: StrictInt = Field(0, description="Seconds that all commands together may take, more than 0.")
    stop_grace: Annotated[StrictInt, Field(gt=0, le=limits.MAX_STOP_GRACE_SECONDS)] | None = Field(
        None,
        description="Seconds after `timeout`, or a request to stop, in which the commands may end by themselves.",
    )
    execution_target: ExecutionTarget = Field(ExecutionTarget.AUTO, description="Where to run.")
    use_lambda: StrictBool | None = Field(None, description="Older name: true is `lambda`, false is `codebuild`.")
    size: Size | None = Field(
        None,
        description="Name of a machine that the stack's operator mapped (`order_sizes`); the order runs on CodeBuild.",
    )
    tools: dict[Tool, ToolVersion] = Field(
        default_factory=dict,
        description="Versions of terraform, opentofu and terragrunt: one like `1.11.4`, or `latest`,"
        " `latest:<pattern>`, `latest-allowed`, `min-required`.",
    )
    git_repo: Text | None = Field(
        None,
        description="Repository to clone, by https or ssh (file:// on the local cloud); the job's if none is given.",
    )
    git_folder: Text | None = Field(
        None, description="Folder of the code in which the commands run, relative, without `..`."
    )
    commit_hash: CommitHash | None = Field(None, description="Full commit to check out; the job's if none is given.")
    merge_into: CommitHash | None = Field(
        None,
        description="Full commit of the job's git_repo: the code is what it would be with commit_hash merged into it.",
    )
    merge_commit: CommitHash | None = Field(
        None, description="A merge of the two that the code host has made; used if its parents are these two commits."
    )
    s3_location: S3Location | None = Field(
        None, description="`s3://bucket/key` of a zip archive with the code, instead of git."
    )
    env_vars: dict[EnvironmentName, StrictStr] = Field(
        default_factory=dict,
        max_length=256,
        description="Plain environment variables; `{{ orders.NAME.OUTPUT }}` takes the output of a dependency.",
    )
    verbatim: list[EnvironmentName] = Field(
        default_factory=list,
        max_length=256,
        description="Variables of env_vars whose text is no template, although it looks like one.",
    )
    ssm_paths: list[ParameterLocation] = Field(
        default_factory=list,
        max_length=64,
        description="Parameters; a JSON object sets a variable per key, plain text one named after the path's end.",
    )
    secret_manager_paths: list[StoredSecretLocation] = Field(
        default_factory=list, max_length=64, description="Secrets Manager secrets, read like ssm_paths."
    )
    secrets: dict[EnvironmentName, SecretLocation] = Field(
        default_factory=dict,
        max_length=256,
        description="One variable per entry, from `ssm:/path` or `secretsmanager:id#key`.",
    )
    git_credentials: list[ModuleRepository] = Field(
        default_factory=list,
        max_length=limits.MAX_GIT_CREDENTIALS,
        description="Connected repositories that git may read while the commands run: `owner/name` or https URLs.",
    )
    registries: dict[RegistryHost, SecretLocation] = Field(
        default_factory=dict,
        max_length=limits.MAX_REGISTRIES,
        description="Locations of tokens for registries of modules and providers, by host; each becomes TF_TOKEN_….",
    )
    assume_role: RoleArn | None = Field(
        None, description="Role whose temporary credentials the commands get, renewed while they run."
    )
    credentials: CredentialsDelivery | None = Field(
        None,
        description="How they get them: `endpoint` by default; `environment` sets AWS_ACCESS_KEY_ID and its companions,"
        f" for at most {limits.MAX_ENVIRONMENT_CREDENTIALS_SECONDS} seconds.",
    )
    sops_key: SecretLocation | None = Field(
        None, description="Location of an age identity to seal with, instead of the stack's KMS key."
    )
    save: list[FilePattern] = Field(
        default_factory=list,
        max_length=limits.MAX_FILE_PATTERNS,
        description="Patterns of files below the commands' folder to save when the commands have ended.",
    )
    restore: list[Restore] = Field(
        default_factory=list, max_length=limits.MAX_RESTORES, description="Saved files of earlier orders to restore."
    )
    plan: PlanFile | None = Field(
        None, description="The plan that the commands write; its text and counts are read from the saved file."
    )
    keep_on_failure: Annotated[list[FilePattern], Field(max_length=limits.MAX_FILE_PATTERNS)] | None = Field(
        None,
        description="Patterns of files to keep if the order does not succeed; errored.tfstate, crash.log by default.",
    )
    dependencies: list[Name] = Field(
        default_factory=list,
        max_length=limits.MAX_DEPENDENCIES,
        description="Names or queue ids of orders that must end before this one starts.",
    )
    when: dict[Name, Literal["changed"]] = Field(
        default_factory=dict,
        max_length=limits.MAX_DEPENDENCIES,
        description="Dependencies that must be `changed`; otherwise the order is skipped.",
    )
    must_succeed: StrictBool = Field(
        True, description="False: the run and the dependents continue if this order fails."
    )
    concurrency: Concurrency | None = Field(
        None, description="Group of which one order runs at a time; the order waits for it without a worker."
    )
    idempotent: StrictBool = Field(
        False, description="True: the commands may run again after they failed, as if for the first time."
    )
    retry: Retry | None = Field(
        None, description="Repeats a failed order that is `idempotent`; never after a time-out or a cancellation."
    )

    @property
    def commands(self) -> tuple[str, ...]:
        """Return what the commands run, without their exit codes."""
        return tuple(map(command_text, self.cmds))

    def taken_outputs(self) -> dict[str, OutputReference]:
        """Return the outputs that variables take, by the variables."""
        texts = {name: reference(text) for name, text in self.env_vars.items() if name not in self.verbatim}
        return {name: found for name, found in texts.items() if found is not None}

    @property
    def takes_something(self) -> bool:
        """Return whether the order takes outputs or files of others."""
        return bool(self.restore or self.taken_outputs())

    @model_validator(mode="after")
    def _target_named_once(self) -> Self:
        # `auto` names no target and is in every stored order.
        if self.use_lambda is not None and self.execution_target is not ExecutionTarget.AUTO:
            raise ValueError("has use_lambda and execution_target; remove one of them")
        return self


class Job(Payload):
    """A list of orders and their common fields."""

    foreign_fields = {
        **dict.fromkeys(
            ("version", "defaults", "statuses", "jobs", "projects", "workflows", "on", "matrix", "checkout", "require"),
            _CONFIGURATION_ONLY,
        ),
        "name": "write flow_label, the label of the run",
    }

    username: Name = Field(description="Name of the caller; part of the flow id.")
    flow_label: Name = Field("flow", description="Label of the flow; part of the flow id.")
    git_repo: Text | None = Field(None, description="Repository for orders that name no code themselves.")
    commit_hash: CommitHash | None = Field(None, description="Full commit of git_repo.")
    git_token_location: SecretLocation | None = Field(None, description="Location of the code host's token.")
    git_ssh_key_location: SecretLocation | None = Field(None, description="Location of the SSH deploy key.")
    pr_number: Annotated[StrictInt, Field(gt=0, le=limits.MAX_HOST_NUMBER)] | None = Field(
        None, description="Pull request to report to."
    )
    issue_number: Annotated[StrictInt, Field(gt=0, le=limits.MAX_HOST_NUMBER)] | None = Field(
        None, description="Issue to report to."
    )
    pr_comment_search_tag: Text | None = Field(
        None, description="Text that the run's comment contains, to find it again."
    )
    commit_status: StrictBool = Field(
        False, description="Set a status on commit_hash, also if there is no pull request to comment on."
    )
    order_statuses: StrictBool = Field(
        False, description="Set a status per order too, first `pending`, then how it ended; for at most 50 orders."
    )
    presign_expiry: Annotated[StrictInt, Field(gt=0, le=limits.MAX_PRESIGN_SECONDS)] | None = Field(
        None, description="Longest lifetime of a presigned URL, in seconds; workers get no URL for more than 900."
    )
    job_timeout: Annotated[StrictInt, Field(gt=0, le=limits.MAX_JOB_SECONDS)] = Field(
        limits.DEFAULT_JOB_SECONDS, description="Seconds after acceptance at which the run ends `timed_out`."
    )
    max_parallel: Annotated[StrictInt, Field(gt=0, le=limits.MAX_ORDERS)] | None = Field(
        None, description="Most orders running at once; the stack's limit if none is given."
    )
    concurrency: Concurrency | None = Field(
        None, description="Group that the run holds from its first order's start until its end; orders then name none."
    )
    mask: Mask | None = Field(None, description="What is masked in the output of all orders beside their secrets.")
    orders: list[Order] = Field(
        min_length=1, max_length=limits.MAX_ORDERS, description="The orders, numbered `0001`, … in this sequence."
    )
