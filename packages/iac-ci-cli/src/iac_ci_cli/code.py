"""Packs a local folder as the code of a job, without what git and ``.iac-ci-ignore`` leave out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_common.content_pointers import MAX_POINTER_BYTES, is_annex_link, is_annex_pointer, lfs_pointer
from iac_ci_common.errors import PackageUnsafe, PreparationFailed
from iac_ci_common.ignore_patterns import IgnorePattern, IgnorePatterns, NoPattern
from iac_ci_common.left_out import LeftOut
from iac_ci_common.packing import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_GITLINK: Final = b"160000 "
_SPARSE: Final = b"S "
"""How git marks a file of the index that is left out of the folder on purpose (git-ls-files, "-t")."""

_UNASKED: Final = (".terraform", ".env")
_IGNORED: Final = ".gitignore"
_GIT_SECONDS: Final = 60
_OF_A_REPOSITORY: Final = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"}
)


def pack_code(folder: Path) -> tuple[bytes, str]:
    """Pack a folder; return the archive and its digest. The same tree gives the same bytes."""
    if not folder.is_dir():
        raise CommandFailed(f"{folder} is not a folder", exit_code=ExitCode.BAD_INPUT)
    with tempfile.TemporaryDirectory(prefix="iac-ci-code-") as temporary:
        archive = Path(temporary, "code.zip")
        try:
            pack(folder, archive, paths=files_of(folder))
        except (PackageUnsafe, PreparationFailed) as error:
            raise CommandFailed(f"{folder} cannot be packed: {error.message}", exit_code=ExitCode.BAD_INPUT) from error
        content = archive.read_bytes()
    return content, hashlib.sha256(content).hexdigest()


def files_of(folder: Path) -> list[str]:
    """List what belongs to the code: what git tracks or would track; outside git, what .gitignore files leave.

    ``.iac-ci-ignore`` leaves out more. ``.terraform`` folders and ``.env`` files are left out unless it names them with
    ``!``: providers are large, and files of that name hold secrets. Raises ``PreparationFailed`` if it cannot be read.
    """
    left_out = LeftOut.of(folder, before=_UNASKED)
    listed = _git_files(folder, left_out)
    if listed is not None:
        return sorted(name for name in listed if name not in left_out)
    names = sorted(name for name in _unignored(folder) if name not in left_out)
    # An archive of a code host has pointers in place of what is in Git LFS, and no repository that says so.
    _refuse_pointers(folder, "", pointers=filter(lambda name: _is_pointer(folder / name), names), names=names)
    return names


def files_and_submodules_of(folder: Path) -> tuple[list[str], list[str]]:
    """List the files of a checkout as a commit would list them, and its submodules, whose own files are left out."""
    if not _is_in_repository(folder):
        # Other entries, such as pipes, are in no commit.
        found = _unignored(folder)
        return sorted(name for name in found if (folder / name).is_symlink() or (folder / name).is_file()), []
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = {name.decode("utf-8", "surrogateescape") for name in listed.split(b"\0") if name}
    files = [name for name in names if (folder / name).is_symlink() or (folder / name).is_file()]
    return sorted(files), _submodules(folder)


def environment_of_git() -> dict[str, str]:
    """Return the environment for git: hooks set variables that name their own repository (githooks(5))."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}


def _git_files(folder: Path, left_out: LeftOut, prefix: str = "") -> list[str] | None:
    """Return the files of a repository, its submodules and other repositories in it; None outside git.

    Raises ``PackageUnsafe`` for a file, submodule, or Git LFS or git-annex file whose content is not there, and if git
    refuses to list a repository's files: without it, none would be noticed.
    """
    if not _is_in_repository(folder):
        return None
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    named = {name.decode("utf-8", "surrogateescape") for name in listed.split(b"\0") if name}
    names = {name for name in named if prefix + name not in left_out}
    _refuse_sparse(folder, left_out, prefix)
    # A file that was deleted and is still in the index is not there.
    found = [f"{prefix}{name}" for name in names if (folder / name).is_symlink() or (folder / name).is_file()]
    # git lists a repository that is no submodule by its folder alone.
    others = {name.rstrip("/") for name in names if name.endswith("/")}
    for name in sorted({*_submodules(folder), *others}):
        if f"{prefix}{name}/" in left_out:
            continue
        inside = _git_files(folder / name, left_out, f"{prefix}{name}/") if (folder / name / ".git").exists() else None
        if inside is None:
            raise PackageUnsafe(
                f"the submodule {prefix + name!r:.200} is not checked out; run git submodule update --init --recursive"
            )
        found += inside
    _refuse_pointers(folder, prefix, pointers=_pointers(folder, names), names=names)
    return found


def _refuse_sparse(folder: Path, left_out: LeftOut, prefix: str) -> None:
    """Raise ``PackageUnsafe`` for a file that a sparse checkout leaves out: nobody deleted it."""
    marked = _git(folder, "ls-files", "-z", "-t", "--cached").split(b"\0")
    paths = [entry.removeprefix(_SPARSE).decode("utf-8", "surrogateescape") for entry in marked if entry[:2] == _SPARSE]
    missing = [path for path in paths if not os.path.lexists(folder / path) and prefix + path not in left_out]
    if missing:
        others = f" and {len(missing) - 1} others are" if len(missing) > 1 else " is"
        raise PackageUnsafe(
            f"{prefix + missing[0]!r:.200}{others} left out by a sparse checkout; run git sparse-checkout disable, or"
            f" leave out with lines in {LeftOut.FILE_NAME} what no command needs"
        )


def _refuse_pointers(folder: Path, prefix: str, *, pointers: Iterable[str], names: Iterable[str]) -> None:
    """Raise ``PackageUnsafe`` for a pointer of Git LFS, and for what stands for content of git-annex."""
    if found := sorted(pointers):
        raise PackageUnsafe(f"{prefix + found[0]!r:.200} is a pointer of Git LFS without its content; run git lfs pull")
    if annexed := sorted(name for name in names if _is_annexed(folder / name)):
        raise PackageUnsafe(
            f"{prefix + annexed[0]!r:.200} stands for content of git-annex, which is not packed; store it in git, or"
            f" leave it out with a line in {LeftOut.FILE_NAME} if no command needs it"
        )


def _submodules(folder: Path) -> list[str]:
    entries = _git(folder, "ls-files", "-z", "--stage").split(b"\0")
    return [
        entry.partition(b"\t")[2].decode("utf-8", "surrogateescape") for entry in entries if entry.startswith(_GITLINK)
    ]


def _pointers(folder: Path, names: set[str]) -> list[str]:
    """Return the files that git gives to LFS and that are still pointers."""
    found = [name for name in names if _is_pointer(folder / name)]
    if not found:
        return []
    given = b"\0".join(name.encode("utf-8", "surrogateescape") for name in found)
    fields = _git(folder, "check-attr", "-z", "--stdin", "filter", given=given).split(b"\0")
    return [
        path.decode("utf-8", "surrogateescape")
        for path, value in zip(fields[::3], fields[2::3], strict=False)
        if value == b"lfs"
    ]


def _is_pointer(path: Path) -> bool:
    return lfs_pointer(_small_content(path)) is not None


def _is_annexed(path: Path) -> bool:
    return is_annex_link(str(path.readlink())) if path.is_symlink() else is_annex_pointer(_small_content(path))


def _small_content(path: Path) -> bytes:
    """Return the content of a file that is short enough for a pointer; empty for everything else."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size >= MAX_POINTER_BYTES:
        return b""
    return path.read_bytes()


def _is_in_repository(folder: Path) -> bool:
    found = folder.resolve()
    return any((above / ".git").exists() for above in (found, *found.parents))


def _git(folder: Path, *arguments: str, given: bytes | None = None) -> bytes:
    """Return what git prints of the repository of a folder. Raises ``PackageUnsafe`` with git's reason."""
    try:
        done = subprocess.run(  # noqa: S603 - a list, of our own making
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            input=given,
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
            env=environment_of_git(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageUnsafe(f"git cannot list its files: {type(error).__name__}; install git, or try again") from error
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it printed no reason"]
        raise PackageUnsafe(f"git cannot list its files: {lines[0][:200]}")
    return done.stdout


def _unignored(folder: Path, prefix: str = "", above: tuple[tuple[str, IgnorePatterns], ...] = ()) -> Iterator[str]:
    """Yield the files that the .gitignore files leave; of those above a path, the nearest that decides counts."""
    files = (*above, (prefix, _patterns(folder / prefix / _IGNORED)))
    for entry in sorted((folder / prefix).iterdir()):
        if entry.name == ".git":
            continue
        name = f"{prefix}{entry.name}"
        is_folder = entry.is_dir() and not entry.is_symlink()
        asked = f"{name}/" if is_folder else name
        decided = (patterns.decide(asked.removeprefix(base)) for base, patterns in reversed(files))
        if next((each for each in decided if each is not None), False):
            continue
        if is_folder:
            yield from _unignored(folder, f"{name}/", files)
        else:
            yield name


def _patterns(path: Path) -> IgnorePatterns:
    """Return the patterns of a file; lines that are none count for nothing, as in git."""
    if path.is_symlink() or not path.is_file():
        return IgnorePatterns()
    found = []
    for line in path.read_text("utf-8-sig", "replace").split("\n"):
        with contextlib.suppress(NoPattern):
            found.append(IgnorePattern.parse(line))
    return IgnorePatterns(filter(None, found))
