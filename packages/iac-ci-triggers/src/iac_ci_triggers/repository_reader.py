"""Reads a repository from its host: pull requests, branches, the configuration, projects and trees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

from iac_ci_common.errors import ConfigurationProblems, NotFound, PortFailed, PreparationFailed, Problem
from iac_ci_common.left_out import LeftOut
from iac_ci_projects import MAX_FILE_BYTES, TooManyProjects, files_to_read
from iac_ci_triggers.announced import is_before_known, is_behind, is_older
from iac_ci_triggers.configuration import (
    FILE_NAME,
    MAX_BYTES,
    Configuration,
    folders_of,
    possibly_deleted,
    read_configuration,
    with_project_jobs,
)
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.merges import Merge
from iac_ci_vcs.provider import CanMerge, ChangeKind
from iac_ci_vcs.waiting import settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_common.tree import Tree
    from iac_ci_triggers.event import HostEvent
    from iac_ci_triggers.facts import Source
    from iac_ci_triggers.ledger import Ledger
    from iac_ci_vcs.ports import Trees
    from iac_ci_vcs.provider import ChangedFiles, CodeHost, Comment, PullRequest

T = TypeVar("T")

_MOST_FOLDERS: Final = 20
"""Most folders that the host is asked for; the orders of further deleted folders fail."""


@dataclass(frozen=True, slots=True)
class RepositoryReader:
    """Reads one repository. Raises the errors of its host."""

    host: CodeHost
    trees: Trees
    source: Source

    def settled(self, read: Callable[[], T], is_settled: Callable[[T], bool]) -> T:
        """Read until what is read is settled, as long as the host's API may lag; return the last answer."""
        return settled(read, is_settled, seconds=self.host.lag_seconds)

    def pull_request(self, event: HostEvent, ledger: Ledger) -> PullRequest:
        """Return the pull request once the host's API knows what the event has announced, and what the engine has seen.

        Raises ``NotFound`` or, safe to retry, ``PortFailed`` if it does not know it after a minute.
        """
        number = event.number or 0
        if not self.host.lag_seconds:
            return self.host.pull_request(number)
        read = self.settled(
            lambda: self._found_pull(number),
            lambda pull: pull is not None and not is_behind(pull, event) and not is_before_known(pull, event, ledger),
        )
        if read is None:
            return self.host.pull_request(number)
        if is_older(read, event) or is_before_known(read, event, ledger):
            wanted = event.head or ledger.head_sha or "its head"
            raise PortFailed(
                f"the code host announced {wanted} of pull request {number}, and its API does not know it yet",
                retry_is_safe=True,
            )
        return read

    def _found_pull(self, number: int) -> PullRequest | None:
        try:
            return self.host.pull_request(number)
        except NotFound:
            return None

    def comment(self, event: HostEvent) -> Comment | None:
        """Return the comment of an event as it is now, None if it is gone."""
        return self.settled(lambda: self._found_comment(event), lambda found: found is not None)

    def _found_comment(self, event: HostEvent) -> Comment | None:
        try:
            return self.host.comment(event.number or 0, event.comment_id or "")
        except NotFound:
            return None

    def head(self, branch: str) -> str | None:
        """Return a branch's newest commit, None if there is no such branch."""
        try:
            return self.host.branch_head(branch)
        except NotFound:
            return None

    def default_branch(self) -> str:
        """Return the repository's default branch; empty if the operator names the branches."""
        connection = self.source.connection
        return self.host.default_branch() if connection is not None and connection.branches is None else ""

    def configuration_of_branch(self, branch: str) -> tuple[Configuration | ConfigurationProblems | None, str, str]:
        """Return a branch's configuration, its digest, and the branch's commit, of the full reference ``refs/heads/…``.

        A file read by the branch's name could be that of a tag with the same name.
        """
        try:
            head = self.host.branch_head(branch)
        except NotFound:
            return None, "", ""
        return *self.configuration(head), head

    def configuration(self, commit: str) -> tuple[Configuration | ConfigurationProblems | None, str]:
        """Return a commit's configuration and the SHA-256 of its file; empty if there is none."""
        try:
            content = self.host.file(FILE_NAME, commit, max_bytes=MAX_BYTES)
        except NotFound:
            return None, ""
        digest = hashlib.sha256(content).hexdigest()
        try:
            return read_configuration(content, can_merge=isinstance(self.host, CanMerge)), digest
        except ConfigurationProblems as problems:
            return problems, digest

    def with_projects(
        self, configuration: Configuration, source: Source, commit: str, listed: ChangedFiles | None
    ) -> tuple[Configuration | ConfigurationProblems, frozenset[str]]:
        """Return the configuration with the jobs of the projects of a commit, and the folders that the change deletes.

        Problems are returned as those of a configuration. Raises ``PortFailed`` if the host or the network failed.
        """
        if not configuration.projects:
            return configuration, frozenset()
        files = () if listed is None else listed.files
        removed = [file.path for file in files if file.kind is ChangeKind.REMOVED]
        removed += [file.previous_path for file in files if file.kind is ChangeKind.RENAMED and file.previous_path]
        changed = {path for file in files for path in file.paths}
        if listed is not None and not listed.complete:
            changed.add(LeftOut.FILE_NAME)
        try:
            tree = self._tree(source, commit)
            found = with_project_jobs(configuration, tree, removed, changed)
        except ConfigurationProblems as problems:
            return problems, frozenset()
        except (PreparationFailed, TooManyProjects) as error:
            return ConfigurationProblems([Problem("projects", f"cannot be found: {error}")]), frozenset()
        gone = possibly_deleted(folders_of(found.configuration), files)
        return found.configuration, found.deleted | frozenset(folder for folder in gone if folder not in tree.folders)

    def _tree(self, source: Source, commit: str) -> Tree:
        """Read a commit's paths and the files that can matter, with the credentials of the repository's host."""
        repository = source.head_repository or source.repository
        token = self.host.clone().git_token
        return self.trees.tree(repository, commit, token=token, choose=files_to_read, max_bytes=MAX_FILE_BYTES)

    def paths(self, commit: str) -> Tree:
        """Return a tree of the base branch, without the content of its files."""
        token = self.host.clone().git_token
        return self.trees.tree(
            self.source.repository, commit, token=token, choose=lambda _: (), max_bytes=MAX_FILE_BYTES
        )

    def emptied_folders(self, configuration: Configuration, listed: ChangedFiles, commit: str) -> frozenset[str]:
        """Return the folders of orders from which a change removes files and that the commit has not any more."""
        emptied = sorted(possibly_deleted(folders_of(configuration), listed.files))[:_MOST_FOLDERS]
        return frozenset(folder for folder in emptied if not self.host.has_folder(folder, commit))

    def deleted_folders(self, folders: frozenset[str], base: str, commit: str) -> frozenset[str]:
        """Return which of these folders a commit of the base branch has and another commit has not.

        There are none if one of the two cannot be read. Raises ``PortFailed`` if the host or the network failed.
        """
        try:
            gone = folders - self.paths(commit).folders if folders else folders
            return gone & self.paths(base).folders if gone else gone
        except PreparationFailed:
            return frozenset()

    def planned_paths(self, repository: str, commit: str, merged: tuple[str, str | None] | None) -> Tree:
        """Return the tree that was planned: of a commit, or of its merge into another one."""
        merge = Merge(merged[0], self.source.repository, merged[1]) if merged is not None else None
        token = self.host.clone().git_token
        return self.trees.tree(
            repository, commit, token=token, choose=lambda _: (), max_bytes=MAX_FILE_BYTES, merge=merge
        )

    def source_of(self, pull: PullRequest) -> Source:
        """Return where the code of a pull request is: on Bitbucket, that of a fork is in the fork alone."""
        if self.host.kind != Sender.BITBUCKET or not pull.is_fork or pull.head_repository is None:
            return self.source
        base = urlsplit(self.source.repository)
        return replace(self.source, head_repository=f"https://{base.netloc}/{pull.head_repository}.git")

    def changes(self, pull: PullRequest, found: ChangedFiles) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
        """Return the changed paths, None if unknown, and the problems of a changed configuration."""
        paths = tuple(dict.fromkeys(path for file in found.files for path in file.paths))
        # A host that has not computed the changes yet lists none: that is never taken for "changes nothing".
        known = paths if found.complete and paths else None
        if FILE_NAME not in paths:
            return known, None
        changed, _ = self.configuration(pull.head_sha)
        problems = (
            tuple(f"{problem.where}: {problem.what}" for problem in changed.problems)
            if isinstance(changed, ConfigurationProblems)
            else ()
        )
        return known, problems


__all__ = ["RepositoryReader"]
