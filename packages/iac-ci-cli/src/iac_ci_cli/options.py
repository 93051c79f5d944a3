"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_common.command_lines import DEFAULT_STACK
from iac_ci_common.globs import check_pattern

_STACK: Final = re.compile(r"[a-z][a-z0-9-]{1,20}[a-z0-9]")
_RUN: Final = re.compile(r"[0-9]{1,8}|[0-9]{8}T[0-9]{0,6}|[0-9]{8}T[0-9]{6}-[0-9a-f]{0,12}")
_RESERVED: Final = frozenset({"jobs"})
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_PREFIX: Final = re.compile(r"/(?!(?i:aws|ssm))([A-Za-z0-9_.-]+/){1,10}")
_MAX_PREFIX_CHARS: Final = 200
_REGION: Final = re.compile(r"[a-z]{2,8}(-[a-z]+)+-[0-9]{1,2}")


def check_stack(value: str) -> str:
    """Return the name of a stack; raise ``typer.BadParameter`` where Terraform would refuse it.

    The rule is that of the variable ``stack`` in ``terraform/deploy/variables.tf``.
    """
    if not _STACK.fullmatch(value) or "--" in value:
        raise typer.BadParameter(
            f"{value[:60]!r} is not a valid stack name: use 3 to 22 lower-case letters, digits and single hyphens,"
            f" a letter first and no hyphen last (example: {DEFAULT_STACK})"
        )
    if value in _RESERVED:
        raise typer.BadParameter(f"{value!r} is reserved; choose another name (example: {DEFAULT_STACK})")
    return value


def check_run(value: str) -> str:
    """Return a run's id or its beginning; raise ``CommandFailed`` where it is neither, before any stack is asked."""
    if not _RUN.fullmatch(value):
        message = f"{value[:60]!r} is not a valid run id (example: 20260131T235959-0123456789ab)"
        raise CommandFailed(message, exit_code=ExitCode.BAD_INPUT)
    return value


def check_cloud(value: str | None) -> str | None:
    """Return the account number of a local cloud; raise ``typer.BadParameter`` where it is not one."""
    if value is not None and not _ACCOUNT.fullmatch(value):
        raise typer.BadParameter(f"{value[:60]!r} is not an account number of 12 digits")
    return value


def check_region(value: str | None) -> str | None:
    """Return a region's name; raise ``typer.BadParameter`` where no AWS region can have it."""
    if value is not None and not _REGION.fullmatch(value):
        raise typer.BadParameter(f"{value[:60]!r} is not an AWS region (example: eu-central-1)")
    return value


def check_profile(value: str | None) -> str | None:
    """Return a profile's name; raise ``typer.BadParameter`` for an empty one, which would mean no profile.

    A script whose variable is not set passes such a name.
    """
    if value is not None and not value.strip():
        raise typer.BadParameter("is empty; name a profile (see `aws configure list-profiles`)")
    return value


def check_path(value: str | Path) -> Path:
    """Return a path; raise ``typer.BadParameter`` for an empty one, which would mean the current folder.

    A script whose variable is not set passes such a path.
    """
    if not str(value):
        raise typer.BadParameter("is empty; name a file or a folder (. is the current one)")
    if "\0" in str(value):
        raise typer.BadParameter("contains a NUL character, which no path has")
    return Path(value)


def check_filter(value: str | None) -> str | None:
    """Return what listed runs must have; raise ``typer.BadParameter`` for an empty text, which no run has.

    A script whose variable is not set passes such a text.
    """
    if value is not None and not value.strip(" /"):
        raise typer.BadParameter("is empty; leave it out to list all runs")
    return value


def check_source(value: str) -> str:
    """Return the source of a job; raise ``typer.BadParameter`` for an empty one."""
    if not value.strip():
        raise typer.BadParameter("is empty; write api, or the repository as host/path")
    return value


def check_secrets_prefix(value: str) -> str:
    """Return the prefix of the secrets of jobs; raise ``typer.BadParameter`` where Terraform would refuse it.

    The rule is that of the variable ``secrets_prefix`` in ``terraform/deploy/variables.tf``.
    """
    if not _PREFIX.fullmatch(value) or len(value) > _MAX_PREFIX_CHARS:
        raise typer.BadParameter(
            f"{value[:60]!r} is not a prefix of secrets: it begins and ends with a slash, has 1 to 10 levels, and"
            " does not begin with aws or ssm (example: /iac-ci/jobs/)"
        )
    return value


def check_patterns(values: list[str] | None) -> list[str] | None:
    """Return patterns of secrets; raise ``typer.BadParameter`` for one that is not valid."""
    for value in values or ():
        try:
            check_pattern(value)
        except ValueError as error:
            raise typer.BadParameter(f"{value[:60]!r} {error}") from None
    return values


StackName = Annotated[
    str, typer.Option("--stack", envvar="IAC_CI_STACK", help="Name of the stack.", callback=check_stack)
]
IsLocal = Annotated[bool, typer.Option("--local", help="Use the local cloud on this machine.")]
CloudAccount = Annotated[
    str | None,
    typer.Option(
        "--cloud",
        metavar="ACCOUNT",
        help="Account number of the local cloud to use where several run; implies --local.",
        callback=check_cloud,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region",
        help="AWS region of the stack; by default AWS_REGION, AWS_DEFAULT_REGION or the profile's.",
        callback=check_region,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", help="AWS profile to take the credentials from; by default AWS_PROFILE.", callback=check_profile
    ),
]
CodeFolder = Annotated[
    Path | None,
    typer.Option(
        "--code",
        parser=check_path,
        metavar="<path>",
        help="Folder to send as the code of orders that name none; by default the job's code/.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs, errors included.")]
