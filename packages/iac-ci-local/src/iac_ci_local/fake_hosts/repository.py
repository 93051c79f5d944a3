"""A project's bare git repository on the code host."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from iac_ci_common.errors import NotFound, PortFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SECONDS: Final = 60
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED: Final = re.compile(r"[0-9a-f]{7,40}")
_AUTHOR: Final = "demo <demo@localhost>"

Status = Literal["added", "modified", "removed", "renamed"]

Landing = Literal["merge", "squash", "rebase", "fast-forward"]
"""How a pull request is merged: by a merge commit, as one commit, commit by commit, or as it is."""

_STATUSES: Final[Mapping[str, Status]] = {
    "A": "added",
    "M": "modified",
    "T": "modified",
    "D": "removed",
    "R": "renamed",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One file that differs between two commits, with added and removed lines (0 for binary files)."""

    path: str
    status: Status
    blob: str
    additions: int
    deletions: int
    previous_path: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a folder: ``blob``, ``tree`` or ``commit`` (a submodule); only blobs have a size, in bytes."""

    path: str
    kind: str
    sha: str
    size: int


@dataclass(frozen=True, slots=True)
class File:
    """A file's content and mode in a commit."""

    content: bytes
    mode: Literal["100644", "100755", "120000"] = "100644"


class HostedRepository:
    """One bare repository. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Use the bare repository at ``folder``; ``create`` makes one."""
        self.folder = folder
        self._writing = threading.Lock()
        self._changes: dict[tuple[str, str], tuple[Change, ...]] = {}
        self._commits: dict[str, str] = {}

    @classmethod
    def create(cls, folder: Path, *, default_branch: str = "main") -> HostedRepository:
        """Create an empty bare repository; ``git http-backend`` may serve single commits from it."""
        folder.mkdir(parents=True)
        repository = cls(folder)
        repository._git("init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}", ".")
        # Code hosts serve any commit of a branch by its hash.
        with (folder / "config").open("a", encoding="utf-8") as settings:
            settings.write("[uploadpack]\n\tallowReachableSHA1InWant = true\n\tallowFilter = true\n")
        return repository

    def commit(
        self,
        branch: str,
        files: Mapping[str, File | bytes | None],
        message: str,
        *,
        start: str | None = None,
        moment: int = 0,
    ) -> str:
        """Add a commit with ``files`` (path to new content, None to delete) to ``branch``; return the commit's hash.

        A new branch starts at the branch ``start``, or empty. ``moment`` is the commit's time in seconds since 1970;
        equal calls create equal commits.
        """
        with self._writing:
            reference = f"refs/heads/{branch}"
            parent = self._named_by(reference) or (None if start is None else self.head(start))
            text = message.encode()
            lines = [
                f"commit {reference}\ncommitter {_AUTHOR} {moment} +0000\ndata {len(text)}\n".encode(),
                text,
                b"\n",
            ]
            if parent is not None:
                lines.append(f"from {parent}\n".encode())
            for path, given in files.items():
                if given is None:
                    lines.append(f"D {_quoted(path)}\n".encode())
                    continue
                file = given if isinstance(given, File) else File(given)
                lines += [
                    f"M {file.mode} inline {_quoted(path)}\ndata {len(file.content)}\n".encode(),
                    file.content,
                    b"\n",
                ]
            self._git(
                "fast-import", "--quiet", "--done", "--date-format=raw", standard_input=b"".join([*lines, b"done\n"])
            )
            return self.head(branch)

    def head(self, branch: str) -> str:
        """Return a branch's newest commit; raise ``NotFound`` if there is no such branch."""
        found = self._named_by(f"refs/heads/{branch}")
        if found is None:
            raise NotFound(f"there is no branch {branch!r:.200}")
        return found

    def commit_of(self, ref: str) -> str:
        """Return the commit of a full hash or branch; raise ``NotFound`` if there is neither."""
        if not _COMMIT.fullmatch(ref):
            return self.head(ref)
        found = self._commits.get(ref) or self._find(f"{ref}^{{commit}}")
        if found is None:
            raise NotFound(f"there is no commit {ref}")
        self._commits[ref] = found  # no commit is ever removed
        return found

    def whole_hash(self, short: str) -> str:
        """Return the full hash of a commit that an abbreviated one names; raise ``NotFound`` if there is none."""
        found = self._find(f"{short}^{{commit}}") if _ABBREVIATED.fullmatch(short) else None
        if found is None:
            raise NotFound(f"there is no commit {short!r:.100}")
        return found

    def branches_with(self, sha: str) -> list[str]:
        """Return the names of the branches that have a commit, sorted."""
        listed = self._git("for-each-ref", "--format=%(refname:lstrip=2)", "--contains", sha, "refs/heads")
        return listed.decode().split()

    def merge_base(self, base: str, head: str) -> str:
        """Return the merge base of two commits."""
        return self._git("merge-base", base, head).decode().strip()

    def behind(self, base: str, head: str) -> int:
        """Return how many commits of ``base`` are not in ``head``."""
        return int(self._git("rev-list", "--count", f"{head}..{base}"))

    def missing(self, include: str, exclude: str) -> list[str]:
        """Return the commits of ``include`` that are not in ``exclude``, the newest first."""
        return self._git("rev-list", f"{exclude}..{include}").decode().split()

    def conflicts(self, base: str, head: str) -> frozenset[str]:
        """Return the paths of which two commits have changes that conflict."""
        done = subprocess.run(  # noqa: S603 - a list of fixed arguments
            ["git", "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", base, head],  # noqa: S607 - found on the user's own PATH
            cwd=self.folder, env=git_environment(), capture_output=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        return (
            frozenset(path.decode() for path in done.stdout.split(b"\0")[1:] if path)
            if done.returncode == 1
            else frozenset()
        )

    def merge(self, base: str, head: str, reference: str) -> str | None:
        """Merge ``head`` into ``base``, let ``reference`` name the merge and return it; None if they conflict."""
        try:
            tree = self._git("merge-tree", "--write-tree", "--no-messages", base, head).decode().strip()
        except PortFailed:
            return None
        made = self._commit_of_tree(tree, [base, head], "Merge")
        self._git("update-ref", reference, made)
        return made

    def land(self, branch: str, head: str, how: Landing) -> str:
        """Let a branch have the changes of ``head``, and return its newest commit.

        Raises ``PortFailed`` for a conflict, and for a fast-forward of a head that does not have the whole branch.
        """
        base = self.head(branch)
        if how == "fast-forward":
            if self.behind(base, head):
                raise PortFailed(f"{head} does not have all commits of {branch}")
            landed = head
        elif how == "rebase":
            landed = base
            for commit in self.missing(head, base)[::-1]:
                landed = self._picked(landed, commit)
        else:
            tree = self._git("merge-tree", "--write-tree", "--no-messages", base, head).decode().strip()
            landed = self._commit_of_tree(tree, [base] if how == "squash" else [base, head], f"Land by {how}")
        self._git("update-ref", f"refs/heads/{branch}", landed)
        return landed

    def _picked(self, onto: str, commit: str) -> str:
        """Return a commit with the changes of another one, on top of ``onto``."""
        before, files = (self._git("rev-parse", name).decode().strip() for name in (f"{commit}^", f"{onto}^{{tree}}"))
        # With the same parent, the merge of both has exactly the changes of the commit.
        beside = self._commit_of_tree(files, [before], "Beside")
        tree = self._git("merge-tree", "--write-tree", "--no-messages", beside, commit).decode().strip()
        return self._commit_of_tree(tree, [onto], "Land by rebase")

    def _commit_of_tree(self, tree: str, parents: Sequence[str], message: str) -> str:
        who, lines = f"{_AUTHOR} 0 +0000", "".join(f"parent {parent}\n" for parent in parents)
        text = f"tree {tree}\n{lines}author {who}\ncommitter {who}\n\n{message}\n"
        return self._git("hash-object", "-t", "commit", "-w", "--stdin", standard_input=text.encode()).decode().strip()

    def name(self, reference: str, commit: str | None) -> None:
        """Let a reference name a commit, or remove it for None."""
        self._git("update-ref", *(["-d", reference] if commit is None else [reference, commit]))

    def file(self, path: str, ref: str) -> tuple[bytes, str]:
        """Return a file's bytes and its blob's hash at a commit or branch; raise ``NotFound`` if there is none."""
        if any(part in {"", ".", ".."} for part in path.split("/")):
            raise NotFound(f"{path!r:.200} is not the path of a file")
        listed = self._git("ls-tree", "-z", self.commit_of(ref), "--", path).split(b"\x00")[0]
        _, kind, blob = listed.partition(b"\t")[0].decode().split() if listed else ("", "", "")
        if kind != "blob":
            raise NotFound(f"there is no file {path!r:.200}")
        return self._git("cat-file", "blob", blob), blob

    def entries(self, path: str, ref: str) -> list[Entry]:
        """Return a folder's entries at a commit or branch (empty path: the root); empty if there is no such folder."""
        inside = ["--", f"{path.strip('/')}/"] if path.strip("/") else []
        listed = self._git("ls-tree", "-z", "--long", self.commit_of(ref), *inside)
        return [_entry(line) for line in listed.decode("utf-8", "surrogateescape").split("\x00") if line]

    def changes(self, base: str, head: str) -> tuple[Change, ...]:
        """Return the files that ``head`` changed since its merge base with ``base``, with renames; both are commits."""
        found = self._changes.get((base, head))
        if found is None:
            found = self._changes[base, head] = self._compare(self.merge_base(base, head), head)
        return found

    def _compare(self, base: str, head: str) -> tuple[Change, ...]:
        compare = ["diff", "-M", "-z", "--no-abbrev", "--no-ext-diff", "--no-textconv"]
        counts = _counts(self._git(*compare, "--numstat", base, head))
        parts = iter(self._git(*compare, "--raw", base, head).decode("utf-8", "surrogateescape").split("\x00"))
        changes = []
        for part in parts:
            if not part:
                continue
            _, _, before, after, letter = part.split(" ")
            previous = next(parts) if letter[0] in "RC" else None
            path = next(parts)
            status = _STATUSES.get(letter[0], "added")
            added, removed = counts.get(path, (0, 0))
            changes.append(Change(path, status, before if status == "removed" else after, added, removed, previous))
        return tuple(changes)

    def _named_by(self, reference: str) -> str | None:
        """Return what a full reference names: from its file, which needs no process, or else as git finds it."""
        try:
            text = (self.folder / reference).read_text("ascii").strip()
        except (OSError, ValueError):
            text = ""
        return text if _COMMIT.fullmatch(text) and ".." not in reference else self._find(reference)

    def _find(self, name: str) -> str | None:
        try:
            return self._git("rev-parse", "--quiet", "--verify", "--end-of-options", name).decode().strip()
        except PortFailed:
            return None

    def _git(self, *arguments: str, standard_input: bytes = b"") -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 - a list of fixed arguments
                ["git", "--literal-pathspecs", *arguments],  # noqa: S607 - found on the user's own PATH
                cwd=self.folder,
                env=git_environment(),
                input=standard_input,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PortFailed(f"git {arguments[0]} could not be run: {type(error).__name__}") from error
        if done.returncode != 0:
            output = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise PortFailed(f"git {arguments[0]} failed: {output[-1][:300] if output else 'it printed no reason'}")
        return done.stdout


def git_environment() -> dict[str, str]:
    """Return an environment in which git ignores the configuration of the machine and the user."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_CONFIG_KEY_1": "core.hooksPath",
        "GIT_CONFIG_VALUE_1": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


def read_folder(folder: Path) -> dict[str, File]:
    """Return a folder's files as ``commit`` takes them, without ``.git``."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if ".git" in name.parts:
            continue
        if path.is_symlink():
            files[name.as_posix()] = File(os.fsencode(path.readlink()), "120000")
        elif path.is_file():
            files[name.as_posix()] = File(path.read_bytes(), "100755" if os.access(path, os.X_OK) else "100644")
    return files


def _counts(numstat: bytes) -> dict[str, tuple[int, int]]:
    parts = iter(numstat.decode("utf-8", "surrogateescape").split("\x00"))
    counts = {}
    for part in parts:
        if not part:
            continue
        added, removed, path = part.split("\t", 2)
        if not path:
            # Git writes both names of a rename after the counts.
            next(parts)
            path = next(parts)
        counts[path] = (int(added) if added != "-" else 0, int(removed) if removed != "-" else 0)
    return counts


def _entry(line: str) -> Entry:
    about, _, path = line.partition("\t")
    _, kind, sha, size = about.split()
    return Entry(path, kind, sha, int(size) if size != "-" else 0)


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


__all__ = ["Change", "Entry", "File", "HostedRepository", "Landing", "Status", "git_environment", "read_folder"]
