"""The command ``iac-ci validate``: a job or a configuration checked as the engine checks it, without a stack."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iac_ci_cli import jobs
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.kinds import Kind
from iac_ci_cli.schedule_words import schedule_words
from iac_ci_cli.state_words import state_words
from iac_ci_common.errors import ConfigurationProblems, InputProblems
from iac_ci_triggers.configuration import FILE_NAME, read_configuration
from iac_ci_triggers.configuration.models import Configuration

if TYPE_CHECKING:
    from iac_ci_common.errors import Problem
    from iac_ci_common.job_validation.rules import Rules

_OF_CODE: Final = (".git_folder", ".git_repo", ".s3_location")
OTHER_NAME: Final = ".iac-ci.yaml"
"""Name that people give the configuration, and that the engine does not read."""

RENAME: Final = f"The engine reads {FILE_NAME} only: rename {OTHER_NAME}."
_YAML: Final = frozenset({".yml", ".yaml"})
_CONFIGURATION: Final = re.compile(rf"^({'|'.join(Configuration.model_fields)})[ \t]*:".encode(), re.MULTILINE)


@dataclass(slots=True)
class Report:
    """What a check found. ``kind`` is None where the file cannot be read and no kind was given.

    ``filled_in`` are the fields that are not in the file and that ``submit`` and ``local run`` fill in, ``not_checked``
    what only a stack can know, and ``schedules`` when jobs start by themselves, in words for the user.
    """

    kind: Kind | None
    label: str
    problems: tuple[Problem, ...] = ()
    filled_in: list[str] = field(default_factory=list)
    code: Path | None = None
    not_checked: list[str] = field(default_factory=list)
    hint: str = ""
    schedules: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "schema_version": 1,
            "file": self.label,
            "valid": not self.problems,
            "kind": None if self.kind is None else self.kind.value,
            "problems": [{"where": problem.where, "what": problem.what} for problem in self.problems],
            "code": None if self.code is None else str(self.code),
            "filled_in": self.filled_in,
            "not_checked": self.not_checked,
            "schedules": self.schedules,
        }


def validate(path: Path, rules: Rules, *, kind: Kind | None = None, code: Path | None = None) -> Report:
    """Check a file, a folder or standard input (``-``).

    Raises ``CommandFailed`` where it cannot be read, and where ``code`` is not a folder.
    """
    file = _file_in(path)
    body = jobs.read_file(file) if file == path else jobs.read_in_folder(file)
    found = kind or kind_of(file.name, body)
    label = "standard input" if jobs.is_standard_input(path) else str(file)
    if found is Kind.CONFIGURATION:
        return _check_configuration(body, label, file.name)
    report = _check_job(body, label, rules, path, jobs.code_folder(path, code))
    beside = file.with_name(FILE_NAME)
    if path != file and beside.exists():
        report.not_checked.append(f"{beside}: name it to check it too")
    return report


def kind_of(name: str, body: bytes) -> Kind:
    """Return what a file holds: by its name where that is clear, else by how its content begins."""
    suffix = Path(name).suffix
    if name in {FILE_NAME, OTHER_NAME} or suffix in _YAML:
        return Kind.CONFIGURATION
    begins = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if suffix == ".json" or begins in {b"{", b"["}:
        return Kind.JOB
    return Kind.CONFIGURATION if _CONFIGURATION.search(body) else Kind.JOB


def _file_in(path: Path) -> Path:
    """Return the file that a folder stands for: its ``job.json``, else its configuration."""
    try:
        if jobs.is_standard_input(path) or not path.is_dir():
            return path
        for name in ("job.json", FILE_NAME, OTHER_NAME):
            if (path / name).exists():
                return path / name
    except (OSError, ValueError) as error:
        raise jobs.unreadable(str(path), error) from error
    raise CommandFailed(f"{path} holds no job.json and no {FILE_NAME}", exit_code=ExitCode.BAD_INPUT)


def _check_job(body: bytes, label: str, rules: Rules, path: Path, folder: Path | None) -> Report:
    report = Report(Kind.JOB, label, code=folder)
    patterns = rules.grant.secrets
    named = "every secret" if "*" in patterns else f"the secrets {', '.join(patterns)}"
    report.not_checked = [
        f"the settings of a stack; assumed here: its jobs may name {named} below {rules.secrets_prefix}",
        "whether the secrets, roles, repositories, commits and archives that the job names exist",
    ]
    if folder is not None:
        report.filled_in = jobs.places_without_code(body)
        report.not_checked.append(f"the files of {folder}, such as links that lead out of it")
    try:
        jobs.check(body, rules, code=None if folder is None else jobs.PACKED)
    except InputProblems as error:
        report.problems = error.problems
        lacks_code = any(problem.where.endswith(_OF_CODE) for problem in error.problems)
        if lacks_code and folder is None and path.is_file() and (path.parent / "code").is_dir():
            report.hint = f"Name the folder {path.parent} to send its folder code with the job, or use --code."
    return report


def _check_configuration(body: bytes, label: str, name: str) -> Report:
    report = Report(Kind.CONFIGURATION, label)
    report.not_checked = [
        "which secrets and roles a stack grants to the repository's jobs",
        "whether the secrets, roles and folders that the configuration names exist",
    ]
    if name == OTHER_NAME:
        report.hint = RENAME
    try:
        configuration = read_configuration(body)
        report.schedules = schedule_words(configuration, datetime.now(UTC))
        report.not_checked += state_words(configuration)
    except ConfigurationProblems as error:
        report.problems = error.problems
    return report
