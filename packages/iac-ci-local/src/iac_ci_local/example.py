"""Checks the example of ``iac-ci local pr`` before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConfigurationProblems, InputProblems, Problem
from iac_ci_local.fake_hosts.repository import read_folder
from iac_ci_triggers.configuration import FILE_NAME, jobs_for_pull_request, read_configuration

if TYPE_CHECKING:
    from pathlib import Path

BASE_FOLDER: Final = "base"
CHANGE_FOLDER: Final = "change"
BASE_BRANCH: Final = "main"


def check_example(example: Path) -> None:
    """Raise ``InputProblems`` if no run would start: a missing folder or file, a bad configuration, no matching job."""
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
    if not jobs_for_pull_request(configuration, BASE_BRANCH, changed).jobs:
        paths = ", ".join(changed[:5]) + (", …" if len(changed) > 5 else "")
        raise InputProblems(
            [Problem(str(file), f"has no job for a pull request to {BASE_BRANCH} that changes {paths}")]
        )


def _changed(example: Path) -> list[str]:
    base = read_folder(example / BASE_FOLDER)
    return [path for path, file in read_folder(example / CHANGE_FOLDER).items() if base.get(path) != file]


__all__ = ["BASE_BRANCH", "BASE_FOLDER", "CHANGE_FOLDER", "check_example"]
