"""What was found in a commit: projects, what they read, and folders that are no projects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoundProject:
    """A project's folder in a commit.

    ``rules`` are the indexes of the rules that find it. ``is_deleted`` says that the change deletes it: nothing else
    is known of it then. ``folders`` and ``files`` are what it reads outside of its own folder. ``after`` are the
    folders of projects whose state or outputs it reads. ``may_read_more`` says that something that it reads is
    unknown; ``remarks`` are for the user.
    """

    rules: tuple[int, ...]
    folder: str
    is_deleted: bool = False
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    may_read_more: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All projects of a commit, sorted by folder, and the folders that a rule matches and that are left out."""

    projects: tuple[FoundProject, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    """Each folder with the reason."""
