"""Commands for the projects of a checkout."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
import yaml

from iac_ci_cli import jobs, streams
from iac_ci_cli.answers import Remark, ScaffoldAnswer
from iac_ci_cli.atlantis_conversion import convert
from iac_ci_cli.atlantis_file import read_file, second_document
from iac_ci_cli.checkout import changes_since, commit_of, file_at, prefix_of, tree_of
from iac_ci_cli.errors import CommandFailed, ExitCode, problems_of
from iac_ci_cli.expansion import expanded
from iac_ci_cli.options import AsJson, check_path
from iac_ci_cli.progress import progress
from iac_ci_cli.scaffold import counted, scaffolded
from iac_ci_cli.text import comment, plain, write
from iac_ci_cli.validation import OTHER_NAME, RENAME
from iac_ci_projects import propose
from iac_ci_triggers.configuration import FILE_NAME, read_configuration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_cli.expansion import Expanded
    from iac_ci_common.tree import Tree

commands = typer.Typer()

_HINT: Final = "iac-ci scaffold writes one for a checkout."

Folder = Annotated[Path, typer.Argument(parser=check_path, help="A checkout, or a folder in the shape of one.")]


@commands.command()
def expand(
    folder: Folder = Path(),
    since: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT",
            help="Use the configuration of this branch or commit, and print only what the changes since then start.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the jobs that the projects of a checkout stand for, as .iac-ci.yml would hold them.

    The engine makes the jobs of a pull request by the same function.
    """
    with progress(f"Reading {plain(str(folder))}", quiet=as_json):
        tree = tree_of(folder)
        base = None if since is None else commit_of(folder, since)
        content = _of_checkout(folder) if base is None else file_at(folder, FILE_NAME, base)
        if content is None:
            where = str(folder) if since is None else f"{folder} at {since}"
            hint = RENAME if (folder / OTHER_NAME).exists() else _HINT
            raise CommandFailed(f"{where} has no {FILE_NAME}", exit_code=ExitCode.BAD_INPUT, hint=hint)
        changes = None if base is None else changes_since(folder, base)
        with problems_of(f"the configuration {folder / FILE_NAME}"):
            found = expanded(read_configuration(content), tree, changes)
    write(_as_json(found) if as_json else _as_yaml(found))


@commands.command()
def scaffold(
    folder: Folder = Path(),
    to: Annotated[
        Path | None,
        typer.Option(
            parser=check_path,
            metavar="FILE",
            help=f"New file to write, or - for standard output; {FILE_NAME} of the folder by default.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", parser=check_path, metavar="FILE", help="Convert this atlantis.yaml, and say what it cannot."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a first .iac-ci.yml, with comments, for the projects that a checkout has."""
    path = folder / FILE_NAME if to is None else to
    with progress(f"Reading {plain(str(folder))}", quiet=as_json):
        tree = tree_of(folder)
        prefix = prefix_of(folder)
    if prefix and not as_json:
        streams.write_error(
            f"{plain(str(folder))} is {plain(prefix)} of its repository. The engine reads {FILE_NAME} of the"
            " repository's root, with paths from there.\n"
        )
    if source is not None:
        _convert(source, path, tree, as_json=as_json)
        return
    proposal = propose(tree)
    text = scaffolded(proposal)
    if as_json:
        write(_scaffold_as_json(path, text, proposal.folders))
        return
    _write_new(path, text)
    for name, reason in proposal.left_out:
        streams.write_error(f"Left out: {plain(comment(name))}: {reason}\n")
    number = len(proposal.folders)
    found = f"{counted(number)} found." if number else "No project found; write your own patterns."
    streams.write_error(f"{found} Check them with: iac-ci expand {shlex.quote(plain(str(folder)))}\n")


def _convert(source: Path, path: Path, tree: Tree, *, as_json: bool) -> None:
    """Write what a file of Atlantis stands for, and each thing that is not as it was there, with its line."""
    content = jobs.read_file(source) if jobs.is_standard_input(source) else jobs.read_in_folder(source)
    made = convert(read_file(content, plain(str(source))), tree.folders, tree.entries)
    if (second := second_document(content)) is not None:
        made.tell(second, "a second document begins here: Atlantis reads only the first, and so does this conversion")
        made.remarks.sort()
    lines = [f"line {line}: {remark}" for line, remark in made.remarks]
    for line in lines if not as_json else ():
        streams.write_error(f"{plain(str(source))}: {plain(line)}\n")
    if not made.text:
        raise CommandFailed(f"{source} has no project that can be converted", exit_code=ExitCode.BAD_INPUT)
    comments = "".join(f"# {comment(line)}\n" for line in lines)
    text = f"# Converted from {source.name}. What is not as it was there:\n{comments}\n{made.text}"
    if as_json:
        write(_scaffold_as_json(path, text, (), made.remarks))
    else:
        _write_new(path, text)


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, or to standard output for ``-``."""
    if str(path) == "-":
        write(text)
        return
    _create(path, text)
    write(f"Written: {plain(str(path))}")


def _create(path: Path, text: str) -> None:
    try:
        opened = path.open("x", encoding="utf-8")
    except FileExistsError as error:
        hint = "Remove it, or name another file with --to (- is standard output)."
        raise CommandFailed(f"{path} is there already", exit_code=ExitCode.BAD_INPUT, hint=hint) from error
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        with opened:
            opened.write(text)
    except OSError as error:
        # A part of it would keep the next call from writing it.
        path.unlink(missing_ok=True)
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"{path} cannot be written: {error.strerror}", exit_code=ExitCode.BAD_INPUT)


def _scaffold_as_json(path: Path, text: str, projects: Sequence[str], remarks: Sequence[tuple[int, str]] = ()) -> str:
    """Write the file, or nothing for ``-``, and return what was written as JSON."""
    is_output = str(path) == "-"
    if not is_output:
        _create(path, text)
    return ScaffoldAnswer(
        schema_version=1,
        written=None if is_output else str(path),
        text=text,
        projects=tuple(folder or "." for folder in projects),
        remarks=tuple(Remark(line=line, text=remark) for line, remark in remarks),
    ).model_dump_json()


def _of_checkout(folder: Path) -> bytes | None:
    path = folder / FILE_NAME
    return jobs.read_in_folder(path) if path.exists() else None


def _as_json(found: Expanded) -> str:
    return json.dumps(
        {
            "schema_version": 1,
            "configuration": found.configuration,
            "left_out": [{"name": name, "reason": reason} for name, reason in found.left_out],
            "remarks": list(found.remarks),
            "schedules": list(found.schedules),
        }
    )


def _as_yaml(found: Expanded) -> str:
    lines = [f"{name}: {reason}" for name, reason in found.left_out] + [*found.remarks, *found.schedules]
    comments = "".join(f"# {comment(plain(line))}\n" for line in lines)
    text = yaml.safe_dump(dict(found.configuration), sort_keys=False, allow_unicode=True, width=1000)
    return comments + text
