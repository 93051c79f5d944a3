"""Merges a commit into another one as a code host would: with git's own strategy, and without any command of the code.

The history of both is fetched without the content of files; git fetches the few that the merge and the result need.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from iac_ci_common.errors import PreparationFailed
from iac_ci_vcs import git_folder

if TYPE_CHECKING:
    from collections.abc import Collection

INTO: Final = "refs/iac-ci/into"
"""The name of the commit of the base, in the repository that it was fetched into."""

_MOST_NAMES: Final = 10
_NAME_CHARS: Final = 100
_CONFLICTS: Final = 1


class Git(Protocol):
    """Runs git in the folder of the repository."""

    def __call__(self, *arguments: str, given: bytes | None = None, good: Collection[int] = (0,)) -> tuple[int, bytes]:
        """Return git's exit code, one of ``good``, and what it printed."""
        ...


def parents(git: Git, commit: str) -> tuple[str, ...]:
    """Return the parents that a commit itself names, whatever history was fetched."""
    _, content = git("cat-file", "commit", commit)
    head = content.partition(b"\n\n")[0].decode("utf-8", "replace")
    return tuple(line.removeprefix("parent ") for line in head.splitlines() if line.startswith("parent "))


def staleness(found: tuple[str, ...], into: str, commit: str) -> str:
    """Return why a merge of the code host is not the wanted one; empty if it is."""
    if found == (into, commit):
        return ""
    shown = " and ".join(sha[:12] for sha in found) or "no commits"
    return f"the code host's merge is of {shown}, and not of {into[:12]} and {commit[:12]}"


def merge(git: Git, commit: str) -> str:
    """Make the merge of ``git_folder.NAME`` into ``INTO``, name it ``git_folder.NAME`` and return its hash.

    Equal commits give an equal merge. Raises ``PreparationFailed`` if they conflict, with the first conflicting paths.
    """
    _, printed = git("rev-parse", INTO)
    into = printed.decode().strip()
    code, common = git("merge-base", into, commit, good=(0, 1))
    if code != 0 or not common.strip():
        raise PreparationFailed(f"{commit} and {into}, into which it is to be merged, have no common history")
    arguments = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", into, commit)
    code, printed = git(*arguments, good=(0, _CONFLICTS))
    tree, *names = printed.rstrip(b"\0").split(b"\0")
    if code == _CONFLICTS:
        raise PreparationFailed(_conflict(commit, into, [os.fsdecode(name) for name in names if name]))
    _, when = git("log", "-1", "--format=%ct", commit)
    who = f"iac-ci <iac-ci@localhost> {int(when)} +0000"
    content = (
        f"tree {tree.decode().strip()}\nparent {into}\nparent {commit}\nauthor {who}\ncommitter {who}\n\n"
        f"Merge {commit} into {into}\n"
    )
    _, made = git("hash-object", "-t", "commit", "-w", "--stdin", given=content.encode())
    git("update-ref", git_folder.NAME, made.decode().strip())
    return made.decode().strip()


def _conflict(commit: str, into: str, names: list[str]) -> str:
    shown = ", ".join(f"{name[:_NAME_CHARS]!a}" for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (
        f"{commit[:12]} conflicts with the base branch at {into[:12]} in {shown}{more}; no command was run. Merge the"
        " base branch into the pull request's branch, or rebase it, and push"
    )


__all__ = ["INTO", "Git", "merge", "parents", "staleness"]
