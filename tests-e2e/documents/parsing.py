"""Checks a command without running it: its program, its subcommand and its options exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Final

import botocore.session
from botocore import xform_name

from documents.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

_PYTHON: Final = ["uv", "run", "--no-sync", "python"]


def problems(command: str, environment: dict[str, str]) -> list[str]:
    """Return what is wrong with a command; nothing if it could be run by a reader who has the rights."""
    words = shlex.split(command)
    if words[0] == "export":
        return [] if all("=" in word for word in words[1:]) else [f"{command}: no value"]
    if words[0] == "aws":
        return list(_aws(words))
    if words[: len(_PYTHON)] == _PYTHON:
        script = ROOT / words[len(_PYTHON)]
        return [] if script.is_file() else [f"{script} does not exist"]
    return list(_by_help(words, environment))


def _by_help(words: list[str], environment: dict[str, str]) -> Iterator[str]:
    """Look options up in the program's own help."""
    program, rest = words[0], words[1:]
    if program == "terraform" and rest[0].startswith("-chdir="):
        rest = rest[1:]
    if "/" in program and not (ROOT / program).is_file():
        yield f"{program} does not exist"
        return
    if "/" not in program and shutil.which(program, path=environment["PATH"]) is None:
        yield f"{program} is not installed"
        return
    if "/" in program and not any(word.startswith("--") for word in rest):
        return  # a script without options may have no --help, and would do its work
    subcommand: list[str] = []
    if "/" not in program:
        subcommand = rest[: 2 if rest[:1] in (["local"], ["tool"]) else 1]
    code, text = _help(program, tuple(subcommand), tuple(sorted(environment.items())))
    if code not in {0, 129}:  # git prints its usage and ends with 129
        yield f"{program} {' '.join(subcommand)} --help ended with {code}"
    for word in rest:
        option = word.partition("=")[0]
        if option.startswith("--") and re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text) is None:
            # git's help shows --[no-]option.
            if f"--[no-]{option[2:]}" not in text:
                yield f"{program} {' '.join(subcommand)} has no option {option}"


@cache
def _help(program: str, subcommand: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> tuple[int, str]:
    done = subprocess.run(
        [program if "/" not in program else str(ROOT / program), *subcommand, "-h" if program == "git" else "--help"],
        cwd=ROOT, env={**dict(environment), "COLUMNS": "200"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _aws(words: list[str]) -> Iterator[str]:
    """Look a call of the AWS command line up in the models of AWS's own library."""
    service, operation, *rest = words[1:]
    session = botocore.session.get_session()
    if service not in session.get_available_services():
        yield f"aws has no service {service}"
        return
    model = session.get_service_model(service)
    found = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in found:
        yield f"aws {service} has no command {operation}"
        return
    shape = model.operation_model(found[operation]).input_shape
    members = {f"--{xform_name(name, '-')}" for name in (shape.members if shape is not None else ())}
    given = {word.partition("=")[0] for word in rest if word.startswith("--")}
    for option in sorted(given - members):
        yield f"aws {service} {operation} has no option {option}"
    required = {f"--{xform_name(name, '-')}" for name in (shape.required_members if shape is not None else ())}
    for option in sorted(required - given):
        yield f"aws {service} {operation} needs {option}"
