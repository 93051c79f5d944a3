"""Writes a commit's files, those of its submodules and of Git LFS, with the limits that they share; reads its tree."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from iac_ci_common.errors import IacCiError, PortFailed, PreparationFailed
from iac_ci_common.left_out import LeftOut
from iac_ci_common.limits import MAX_NAMES_IN_PATH
from iac_ci_common.packing import MAX_TREE_BYTES
from iac_ci_common.redaction import Redactor
from iac_ci_common.repository_url import repository_problem
from iac_ci_vcs import git_folder, git_merge, git_process, git_tree, large_files
from iac_ci_vcs.git_environment import basic_credentials, host_of, named
from iac_ci_vcs.git_failures import Moved, Unreachable, failure
from iac_ci_vcs.git_token import git_token
from iac_ci_vcs.merges import Merged
from iac_ci_vcs.submodules import DEEPEST, MOST, Submodule, submodules

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from iac_ci_common.content_pointers import LfsPointer
    from iac_ci_common.tree import Entry, Tree
    from iac_ci_vcs.merges import Merge
    from iac_ci_vcs.provider import HostSettings

_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SHA1_DIGITS: Final = 40
_MODULES: Final = ".gitmodules"
_FETCH: Final = ("fetch", "--quiet")
_ATTEMPTS: Final = 3
_FIRST_PAUSE_SECONDS: Final = 2.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rules:
    """How git is used, and what differs between a stack and the local cloud."""

    environment: Callable[[Path, str, str | None, str | None], Mapping[str, str]]
    """Returns git's environment for a private folder, a repository, a token and a key."""

    moved: Callable[[str, str | None], str]
    """Returns where a repository was moved to, for its URL and a token."""

    uses_http: Callable[[str], bool]
    allow_file: bool
    hosts: Mapping[str, HostSettings]
    seconds: float
    wait: Callable[[float], None]


@dataclass(slots=True)
class Checkout:
    """One commit and its submodules, with the limits that they share."""

    rules: Rules
    repository: str
    token: str | None = field(repr=False)
    ssh_key: str | None = field(repr=False)
    may_read: Callable[[str], bool] | None
    private: Path
    root: Path
    deadline: float = 0.0
    fetched: int = 0
    """Submodules so far."""

    left_out: LeftOut = field(default_factory=LeftOut)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.rules.seconds

    def fetch(
        self, repository: str, commit: str, folder: Path, *, depth: int, merge: Merge | None = None
    ) -> Merged | None:
        """Write a commit, or its merge, into ``folder``, which is empty and below ``root``; return the merge."""
        self._check(repository, commit)
        token, ssh_key = self.credentials(repository)
        found = self.repeated(lambda: _Commit(self, repository, token, ssh_key, folder))
        merged = None
        if merge is None:
            found.read(commit)
        else:
            merged = found.read_merged(commit, merge)
        if depth == 0:
            self.left_out = LeftOut.of(folder)
        found.replace_pointers()
        self._check_size()
        listed = found.submodules()
        if listed and depth == DEEPEST:
            raise PreparationFailed(f"submodules are nested more than {DEEPEST} deep")
        for each in listed:
            self._fetch_submodule(each, folder / each.path, depth)
        if depth == 0:
            found.keep_identity(self.private / "git")
        else:
            shutil.rmtree(folder / ".git")
        return merged

    def tree(self, commit: str, choose: Callable[[Mapping[str, Entry]], Collection[str]], max_bytes: int) -> Tree:
        """Return a commit's paths and the content of the chosen files; ``root`` becomes a folder of git's own files."""
        self._check(self.repository, commit)
        token, ssh_key = self.credentials(self.repository)
        found = self.repeated(lambda: _Commit(self, self.repository, token, ssh_key, self.root))
        return found.tree(commit, choose, max_bytes)

    def merged_tree(self, commit: str, merge: Merge) -> Tree:
        """Return the paths of the merge of a commit into another one, without any content."""
        self._check(self.repository, commit)
        token, ssh_key = self.credentials(self.repository)
        return self.repeated(lambda: _Commit(self, self.repository, token, ssh_key, self.root)).merged_tree(
            commit, merge
        )

    def _check(self, repository: str, commit: str) -> None:
        if problem := repository_problem(repository, allow_file=self.rules.allow_file):
            raise PreparationFailed(f"repository {repository!r:.200} {problem}")
        if _COMMIT.fullmatch(commit) is None:
            raise PreparationFailed(f"{commit!r:.80} is not a full commit hash (40 or 64 hexadecimal digits)")

    def repeated(self, step: Callable[[], T]) -> T:
        """Return the answer of a step, which is tried again twice if the host or the network failed.

        Git writes a fetch's objects before it writes the reference, so a step that broke off changes nothing.
        """
        for attempt in range(_ATTEMPTS - 1):
            with contextlib.suppress(PortFailed, Unreachable):
                return step()
            self.rules.wait(_FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter
        return step()

    def _fetch_submodule(self, submodule: Submodule, folder: Path, depth: int) -> None:
        path = folder.relative_to(self.root).as_posix()
        self.fetched += 1
        if self.fetched > MOST:
            raise PreparationFailed(f"the commit has more than {MOST} submodules")
        try:
            self.fetch(submodule.url, submodule.commit, folder, depth=depth + 1)
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            raise PreparationFailed(
                f"the submodule {path!r:.200} could not be fetched: {error.message}{self._hint(submodule.url)}."
                f" Leave it out with a line in {LeftOut.FILE_NAME} if no command needs it"
            ) from None

    def credentials(self, repository: str) -> tuple[str | None, str | None]:
        """Return the token and the key that a repository's host may get."""
        if repository != self.repository and (not self._is_own_host(repository) or not self._may_read(repository)):
            return None, None
        token = git_token(repository, self.token, self.rules.hosts) if self.token else None
        return token, self.ssh_key

    def _hint(self, repository: str) -> str:
        if not (self.token or self.ssh_key):
            return ""
        if not self._is_own_host(repository):
            return ". It is on another host, so no secret was sent"
        if not self._may_read(repository):
            return ". No secret was sent, because the connection does not list this repository"
        return ""

    def _is_own_host(self, repository: str) -> bool:
        return _origin(repository) == _origin(self.repository)

    def _may_read(self, repository: str) -> bool:
        return self.may_read is None or self.may_read(repository)

    def _check_size(self) -> None:
        total = sum(
            os.lstat(Path(folder, name)).st_size
            for folder, folders, files in os.walk(self.root)
            if ".git" not in Path(folder).relative_to(self.root).parts
            for name in files
        )
        if total > MAX_TREE_BYTES:
            raise PreparationFailed(
                f"the files of the commit have more than {MAX_TREE_BYTES} bytes; remove large files"
            )


@dataclass(slots=True)
class _Commit:
    """One repository's part of a checkout."""

    checkout: Checkout
    repository: str
    token: str | None = field(repr=False)
    ssh_key: str | None = field(repr=False)
    folder: Path
    environment: Mapping[str, str] = field(init=False, repr=False)
    listing: bytes = b""
    replaced: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._use(self.repository)

    def _use(self, repository: str) -> None:
        if _origin(repository) != _origin(self.repository):
            # It was moved to another host, which gets no secret.
            self.token = self.ssh_key = None
        self.repository = repository
        rules, private = self.checkout.rules, self.checkout.private
        self.environment = rules.environment(private, repository, self.token, self.ssh_key)

    def _init(self, commit: str, *options: str) -> None:
        """Make an empty repository with hashes as long as that of ``commit``: git fetches no others into it."""
        hashes = "sha1" if len(commit) == _SHA1_DIGITS else "sha256"
        self._git(["init", "--quiet", "--template=", f"--object-format={hashes}", *options, str(self.folder)])

    def read(self, commit: str) -> None:
        """Fetch the commit and write its files."""
        self._init(commit)
        self._fetch_or_follow(commit)
        self._write_files()

    def read_merged(self, commit: str, merge: Merge) -> Merged:
        """Fetch or make the merge and write its files.

        Raises ``PreparationFailed`` if the two commits conflict.
        """
        why_here = self._read_host_merge(commit, merge)
        if why_here is None:
            return Merged(merge.host_commit or "")
        made = self._made(commit, merge)
        self._write_files()
        # From here on, the merge has no history, like a commit that was fetched alone.
        (self.folder / ".git" / "shallow").write_text(f"{made}\n")
        return Merged(made, why_here)

    def _made(self, commit: str, merge: Merge) -> str:
        """Make the merge and return its commit, without writing its files."""
        self._init(commit)
        self._fetch_history(commit, merge)
        return git_merge.merge(self._in_folder_with_code, commit)

    def merged_tree(self, commit: str, merge: Merge) -> Tree:
        """Return the paths of the merge, which is made here: one of the code host has the same files."""
        self._made(commit, merge)
        return git_tree.tree(self._blobs(), (), {}, {})

    def _blobs(self) -> dict[str, git_tree.Blob]:
        return git_tree.blobs(self._in_folder("ls-tree", "-r", "-z", "--full-tree", git_folder.NAME))

    def _read_host_merge(self, commit: str, merge: Merge) -> str | None:
        """Fetch the code host's merge and write its files; return why another one must be made, None if it is good."""
        if merge.host_commit is None:
            return "the code host has no merge of the two commits"
        self._init(commit)
        try:
            self._fetch_or_follow(merge.host_commit)
        except Unreachable:
            raise
        except PreparationFailed:
            # The host removes merges that no reference names any more.
            why = f"the code host does not have its merge {merge.host_commit[:12]} any more"
        else:
            found = git_merge.parents(self._in_folder_with_code, git_folder.NAME)
            why = git_merge.staleness(found, merge.into, commit)
            if not why:
                self._write_files()
                return None
        shutil.rmtree(self.folder / ".git")
        return why

    def _fetch_history(self, commit: str, merge: Merge) -> None:
        """Fetch both commits with their history, without the content of files."""
        wanted = [f"{commit}:{git_folder.NAME}"]
        base = merge.repository
        if base is None or base == self.repository:
            wanted.append(f"{merge.into}:{git_merge.INTO}")
        elif self.checkout.credentials(base) != (self.token, self.ssh_key):
            raise PreparationFailed(f"{base} is not connected with the token of {self.repository}; nothing is merged")
        try:
            self._fetch_from(self.repository, wanted)
        except Moved:
            self._use(self.checkout.rules.moved(self.repository, self.token))
            self._fetch_from(self.repository, wanted)
        if len(wanted) == 1 and base is not None:
            self._fetch_from(base, [f"{merge.into}:{git_merge.INTO}"])

    def _fetch_from(self, repository: str, wanted: Sequence[str]) -> None:
        step = ["-C", str(self.folder), *git_tree.WITHOUT_FILES, "--", repository, *wanted]
        self.checkout.repeated(lambda: self._git(step))

    def _write_files(self) -> None:
        names = self._in_folder("ls-tree", "-r", "-z", "--name-only", "--full-tree", git_folder.NAME).split(b"\0")
        deepest = max(names, key=_depth)
        if _depth(deepest) >= MAX_NAMES_IN_PATH:
            raise PreparationFailed(
                f"{os.fsdecode(deepest)!r:.80} is in more than {MAX_NAMES_IN_PATH - 1} folders inside one another;"
                " rename or remove it"
            )
        self._in_folder("-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", git_folder.NAME)
        self.listing = self._in_folder("ls-tree", "-r", "-l", "-z", "HEAD")

    def tree(self, commit: str, choose: Callable[[Mapping[str, Entry]], Collection[str]], max_bytes: int) -> Tree:
        """Fetch the commit without its files, and then the chosen files alone; return both."""
        self._init(commit, "--bare")
        self._fetch_or_follow(commit, git_tree.WITHOUT_FILES)
        blobs = self._blobs()
        chosen = [path for path in choose(git_tree.entries(blobs)) if path in blobs]
        wanted = "".join(f"{oid}\n" for oid in sorted({blobs[path].oid for path in chosen})).encode()
        if wanted:
            step = ["-C", str(self.folder), *git_tree.THESE_FILES, "--", self.repository]
            self.checkout.repeated(lambda: self._git(step, wanted))
        sizes = git_tree.sizes(self._in_folder("cat-file", "--batch-check", given=wanted)) if wanted else {}
        small = "".join(f"{oid}\n" for oid, size in sizes.items() if size <= max_bytes).encode()
        contents = git_tree.contents(self._in_folder("cat-file", "--batch", given=small)) if small else {}
        return git_tree.tree(blobs, chosen, sizes, contents)

    def _fetch_or_follow(self, commit: str, command: Sequence[str] = _FETCH) -> None:
        """Fetch the commit; from another repository if the host redirects this one."""
        try:
            self._fetch(commit, command)
        except Moved:
            self._use(self.checkout.rules.moved(self.repository, self.token))
            self._fetch(commit, command)

    def _fetch(self, commit: str, command: Sequence[str]) -> None:
        step = ["-C", str(self.folder), *command, "--depth=1", "--", self.repository]
        # With a name for the commit, git also fetches the tags that point to it.
        self.checkout.repeated(lambda: self._git([*step, f"{commit}:{git_folder.NAME}"]))

    def submodules(self) -> list[Submodule]:
        """Return the submodules that are not left out."""
        is_there = (self.folder / _MODULES).is_file()
        # Git follows `include` in a blob unless told not to: a commit could name any file of this machine.
        read = ("config", "--no-includes", "--blob", f"HEAD:{_MODULES}", "--list", "-z")
        configuration = self._in_folder(*read) if is_there else b""
        kept = b"\0".join(
            entry for entry in self.listing.split(b"\0") if not self._is_left_out(entry.partition(b"\t")[2] + b"/")
        )
        return submodules(kept, configuration, self.repository)

    def replace_pointers(self) -> None:
        """Replace the pointers of Git LFS by their content. Raises ``PreparationFailed`` for those of git-annex."""
        annexed = [path for path in large_files.annexed(self.folder, self.listing) if not self._is_left_out_path(path)]
        if annexed:
            others = f" and {len(annexed) - 1} others" if len(annexed) > 1 else ""
            raise PreparationFailed(
                f"{os.path.join(self._prefix(), annexed[0])!r:.200}{others} in git-annex could not be fetched: the code"  # noqa: PTH118
                f" host has no content of git-annex. Store it in git or Git LFS, or leave it out with a line in"
                f" {LeftOut.FILE_NAME} if no command needs it"
            )
        pointers = {
            path: pointer
            for path, pointer in large_files.pointers(self.folder, self.listing).items()
            if not self._is_left_out_path(path)
        }
        if not pointers:
            return
        names = b"\0".join(os.fsencode(path) for path in pointers)
        fields = self._in_folder("check-attr", "-z", "--stdin", "filter", given=names).split(b"\0")
        marked = {os.fsdecode(path) for path, value in zip(fields[::3], fields[2::3], strict=False) if value == b"lfs"}
        chosen = {path: pointer for path, pointer in pointers.items() if path in marked}
        self.checkout.repeated(lambda: self._fetch_large(chosen))
        self.replaced = tuple(chosen)

    def _fetch_large(self, files: Mapping[str, LfsPointer]) -> None:
        large_files.fetch(
            self.repository,
            files,
            self.folder,
            credentials=named(self.token) if self.token else None,
            plain_http=self.checkout.rules.uses_http(self.repository),
            deadline=self.checkout.deadline,
        )

    def keep_identity(self, private: Path) -> None:
        """Replace ``.git`` by one that answers for the commit alone."""
        listed = [entry.partition(b"\t")[2] for entry in self.listing.split(b"\0") if entry]
        left_out = [path for path in listed if self._is_left_out(path)]
        git_folder.keep(self._in_folder, self.folder, private, [*map(os.fsencode, self.replaced), *left_out])

    def _is_left_out_path(self, path: str) -> bool:
        return self._is_left_out(os.fsencode(path))

    def _is_left_out(self, path: bytes) -> bool:
        return os.fsdecode(os.path.join(os.fsencode(self._prefix()), path)) in self.checkout.left_out  # noqa: PTH118

    def _prefix(self) -> str:
        found = self.folder.relative_to(self.checkout.root).as_posix()
        return "" if found == "." else found

    def _in_folder(self, *arguments: str, given: bytes | None = None) -> bytes:
        return self._git(["-C", str(self.folder), *arguments], given)

    def _in_folder_with_code(
        self, *arguments: str, given: bytes | None = None, good: Collection[int] = (0,)
    ) -> tuple[int, bytes]:
        return self._run(["-C", str(self.folder), *arguments], given, good)

    def _git(self, arguments: list[str], given: bytes | None = None) -> bytes:
        """Run git and return its output; raises what ``_run`` raises."""
        return self._run(arguments, given)[1]

    def _run(self, arguments: list[str], given: bytes | None = None, good: Collection[int] = (0,)) -> tuple[int, bytes]:
        """Run git and return its exit code and output.

        Raises ``PreparationFailed`` or ``PortFailed`` for a code that is not ``good``, without a secret in it.
        """
        seconds = self.checkout.deadline - time.monotonic()
        try:
            code, printed, errors = git_process.run(arguments, self.environment, given=given, seconds=seconds)
        except git_process.TooSlow:
            limit = self.checkout.rules.seconds
            raise PreparationFailed(f"fetching {self.repository} took more than {limit} seconds") from None
        if code not in good:
            secrets = [self.token, self.token and self.token.rpartition(":")[2], self.ssh_key, self.checkout.token]
            encoded = [basic_credentials(self.token)] if self.token else []
            redactor = Redactor([*filter(None, secrets), *encoded])
            raise failure(self.repository, redactor.text(errors.decode("utf-8", "replace")))
        return code, printed


def _depth(path: bytes) -> int:
    return path.count(b"/")


def _origin(repository: str) -> tuple[str | None, str | None]:
    """Return what a secret is bound to: scheme and host, with the port of https."""
    parts = urlsplit(repository)
    if parts.scheme == "https":
        return "https", parts.netloc
    return "ssh" if parts.scheme != "file" else "file", host_of(repository)
