"""Checks the example of ``iac-ci local pr`` before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConfigurationProblems, InputProblems, Problem
from iac_ci_common.tree import Entry, EntryKind, Tree
from iac_ci_local.fake_hosts.repository import read_folder
from iac_ci_local.seed_secrets import read_secrets
from iac_ci_projects import files_to_read
from iac_ci_triggers.configuration import FILE_NAME, jobs_for_pull_request, read_configuration, with_project_jobs

if TYPE_CHECKING:
    from pathlib import Path

BASE_FOLDER: Final = "base"
CHANGE_FOLDER: Final = "change"
BASE_BRANCH: Final = "main"
_LINK: Final = "120000"


def check_example(example: Path) -> None:
    """Raise ``InputProblems`` if no run would start: a missing folder or file, a bad configuration, no matching job.

    The problems of its secrets are among them.
    """
    problems: list[Problem] = []
    for check in (_check_job, read_secrets):
        try:
            check(example)
        except InputProblems as error:
            problems += error.problems
    if problems:
        raise InputProblems(problems)


def _check_job(example: Path) -> None:
    problems = [
        Problem(str(example / name), "is not a folder")
        for name in (BASE_FOLDER, CHANGE_FOLDER)
        if not (example / name).is_dir()
    ]
    if problems:
        raise InputProblems(problems)
    file = example / BASE_FOLDER / FILE_NAME
    if not file.is_file():
        raise InputProblems([Problem(str(file), "does not exist: pull requests start jobs of this file only")])
    try:
        configuration = read_configuration(file.read_bytes())
    except ConfigurationProblems as error:
        raise InputProblems([Problem(f"{file}: {one.where}", one.what) for one in error.problems]) from error
    changed = _changed(example)
    if not changed:
        raise InputProblems([Problem(str(example / CHANGE_FOLDER), f"does not change any file of {BASE_FOLDER}/")])
    try:
        configuration = with_project_jobs(configuration, _head(example)).configuration
    except ConfigurationProblems as error:
        raise InputProblems([Problem(f"{file}: {one.where}", one.what) for one in error.problems]) from error
    if not jobs_for_pull_request(configuration, BASE_BRANCH, changed).jobs:
        paths = ", ".join(changed[:5]) + (", …" if len(changed) > 5 else "")
        raise InputProblems(
            [Problem(str(file), f"has no job for a pull request to {BASE_BRANCH} that changes {paths}")]
        )


def _changed(example: Path) -> list[str]:
    base = read_folder(example / BASE_FOLDER)
    return [path for path, file in read_folder(example / CHANGE_FOLDER).items() if base.get(path) != file]


def _head(example: Path) -> Tree:
    """Return the files of the pull request's head."""
    files = read_folder(example / BASE_FOLDER) | read_folder(example / CHANGE_FOLDER)
    kinds = {path: EntryKind.LINK if file.mode == _LINK else EntryKind.FILE for path, file in files.items()}
    entries = {path: Entry(kinds[path], len(file.content)) for path, file in files.items()}
    return Tree(entries, {path: files[path].content for path in files_to_read(entries)})


__all__ = ["BASE_BRANCH", "BASE_FOLDER", "CHANGE_FOLDER", "check_example"]
