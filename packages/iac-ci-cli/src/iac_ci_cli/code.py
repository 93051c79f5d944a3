"""Packs a local folder as the code of a job, without what git ignores."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_common.errors import PackageUnsafe
from iac_ci_common.packing import pack

if TYPE_CHECKING:
    from collections.abc import Iterator


def pack_code(folder: Path) -> tuple[bytes, str]:
    """Pack a folder; return the archive and its digest. The same tree gives the same bytes."""
    if not folder.is_dir():
        raise CommandFailed(f"{folder} is not a folder", exit_code=ExitCode.BAD_INPUT)
    with tempfile.TemporaryDirectory(prefix="iac-ci-code-") as temporary:
        archive = Path(temporary, "code.zip")
        try:
            pack(folder, archive, paths=files_of(folder))
        except PackageUnsafe as error:
            raise CommandFailed(f"{folder} cannot be packed: {error.message}", exit_code=ExitCode.BAD_INPUT) from error
        content = archive.read_bytes()
    return content, hashlib.sha256(content).hexdigest()


def files_of(folder: Path) -> list[str]:
    """List what belongs to the code: what git tracks or would track; outside git, what .gitignore files leave."""
    listed = _git_files(folder)
    return sorted(listed if listed is not None else _unignored(folder, folder.resolve(), []))


def _git_files(folder: Path) -> list[str] | None:
    try:
        done = subprocess.run(  # noqa: S603 - a list, of our own making
            ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
            capture_output=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    names = {name.decode("utf-8", "surrogateescape") for name in done.stdout.split(b"\0") if name}
    # A file that was deleted and is still in the index is not there; a submodule is a folder.
    return [name for name in names if (folder / name).is_symlink() or (folder / name).is_file()]


def _unignored(folder: Path, root: Path, inherited: list[tuple[Path, object]]) -> Iterator[str]:
    import pathspec

    rules = list(inherited)
    ignore = folder / ".gitignore"
    if ignore.is_file():
        lines = ignore.read_text("utf-8", "replace").splitlines()
        rules.append((folder, pathspec.GitIgnoreSpec.from_lines(lines)))
    for entry in sorted(folder.iterdir()):
        if entry.name == ".git":
            continue
        is_folder = entry.is_dir() and not entry.is_symlink()
        if any(_matches(spec, entry.relative_to(base).as_posix() + ("/" if is_folder else "")) for base, spec in rules):
            continue
        if is_folder:
            yield from _unignored(entry, root, rules)
        else:
            yield entry.resolve().relative_to(root).as_posix() if not entry.is_symlink() else _name(entry, root)


def _name(entry: Path, root: Path) -> str:
    return (entry.parent.resolve() / entry.name).relative_to(root).as_posix()


def _matches(spec: object, name: str) -> bool:
    import pathspec

    return isinstance(spec, pathspec.GitIgnoreSpec) and spec.match_file(name)
