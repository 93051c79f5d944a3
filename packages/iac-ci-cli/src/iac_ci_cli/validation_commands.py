"""The command that checks jobs and configurations."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads it when it runs
from typing import Annotated

import typer

from iac_ci_cli import jobs, streams
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.failures import write_failure, write_problems
from iac_ci_cli.kinds import Kind  # noqa: TC001 - typer reads it when it runs
from iac_ci_cli.options import AsJson, CodeFolder, check_path, check_patterns, check_secrets_prefix, check_source
from iac_ci_cli.progress import progress
from iac_ci_cli.text import plain, write
from iac_ci_cli.validation import Report
from iac_ci_cli.validation import validate as check_file
from iac_ci_common.errors import Problem
from iac_ci_common.grants import Grant
from iac_ci_common.job_validation.rules import DEFAULT_SECRETS_PREFIX, Rules
from iac_ci_triggers.configuration import FILE_NAME

commands = typer.Typer()


@commands.callback()
def of_validations() -> None:
    """Make a group of the only command here, as the application expects."""


@commands.command()
def validate(
    files: Annotated[
        list[Path],
        typer.Argument(
            parser=check_path,
            help=f"Jobs, or repositories' {FILE_NAME}: files, folders with job.json or {FILE_NAME}, or - for"
            " standard input.",
        ),
    ],
    code: CodeFolder = None,
    kind: Annotated[
        Kind | None, typer.Option(help="What the files hold, where neither name nor content shows it.")
    ] = None,
    secrets_prefix: Annotated[
        str, typer.Option(help="Where the stack keeps the secrets of jobs.", callback=check_secrets_prefix)
    ] = DEFAULT_SECRETS_PREFIX,
    allow_secret: Annotated[
        list[str] | None,
        typer.Option(
            help="Pattern of secrets below the prefix that jobs may name; by default all.", callback=check_patterns
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            help="Source of the job on the stack: api, or the repository as host/path.", callback=check_source
        ),
    ] = "api",
    local: Annotated[bool, typer.Option("--local", help="Check as a local cloud does (file:// is allowed).")] = False,
    as_json: AsJson = False,
) -> None:
    """Check jobs and repositories' configurations as the engine does, without sending them.

    Exit codes: 0 all are valid, 2 one is not valid or cannot be read.
    """
    grant = Grant(secrets=tuple(allow_secret or ("*",)), roles=("*",))
    rules = Rules(source=source, secrets_prefix=secrets_prefix, grant=grant, allow_file_repositories=local)
    valid = [_check(file, rules, kind=kind, code=code, as_json=as_json) for file in files]
    if not all(valid):
        raise typer.Exit(ExitCode.BAD_INPUT)


def _check(file: Path, rules: Rules, *, kind: Kind | None, code: Path | None, as_json: bool) -> bool:
    try:
        with progress(f"Reading {jobs.read_from(file)}", quiet=as_json):
            report = check_file(file, rules, kind=kind, code=code)
    except CommandFailed as error:
        if not as_json:
            write_failure(error.message, error.hint)
            return False
        report = Report(kind, str(file), problems=(Problem("file", error.message),))
    if as_json:
        write(json.dumps(report.as_json()))
    else:
        _show(report)
    return not report.problems


def _show(report: Report) -> None:
    if report.problems:
        write_problems(f"{report.label}: the {report.kind}", report.problems)
    else:
        write(plain(f"{report.label} is a valid {report.kind}"))
        if report.code is not None:
            write(jobs.filled_in(report.code, report.filled_in))
        for subject in report.not_checked:
            write(f"Not checked: {subject}.")
        for text in report.schedules:
            write(plain(f"{text[:1].upper()}{text[1:]}."))
    if report.hint:
        streams.write_error(plain(report.hint) + "\n")
