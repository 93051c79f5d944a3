"""Collects the facts about a merge: the commit that it made, and how the base branch differs from what was planned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from iac_ci_common.errors import ConfigurationProblems, IacCiError, PortFailed, PreparationFailed
from iac_ci_common.tree import differences
from iac_ci_triggers.apply_requirements import sets_of
from iac_ci_triggers.configuration import (
    Configuration,
    applies_after_merge,
    planning_jobs,
    reads_after_merge,
)
from iac_ci_triggers.connections import repository_key
from iac_ci_triggers.facts import Facts, MergeFacts
from iac_ci_triggers.ledger import SeenMerge
from iac_ci_triggers.requirements import Known
from iac_ci_triggers.review_facts import ReviewCollector, Subject
from iac_ci_triggers.saved_plans import after_merge_records
from iac_ci_triggers.seen_heads import head_seen_at
from iac_ci_vcs.provider import ChangeKind, KnowsMerges, Permission
from iac_ci_vcs.reviews import ReviewedHost
from iac_ci_vcs.waiting import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from iac_ci_common.ports import Plans
    from iac_ci_common.tree import Tree
    from iac_ci_triggers.event import HostEvent
    from iac_ci_triggers.facts import Source
    from iac_ci_triggers.repository_reader import RepositoryReader
    from iac_ci_triggers.run_facts import RunCollector
    from iac_ci_vcs.provider import ChangedFiles, CodeHost, PullRequest

_MERGE_KNOWN_WITHIN: Final = timedelta(minutes=4)
"""Age of an event about a merge within which the host may not know its commit yet: Lambda repeats an event that failed
after one minute and after two more."""

_NO_MERGE: Final = "the code host does not tell which commit the merge made, or the branch does not have it any more"
_NOT_USED: Final = "this stack does not use the configuration of the branch"

_MOST_ORIGINS: Final = 3
"""Most pull requests that are read to find the one that a pushed commit came from."""

_ORIGIN_SECONDS: Final = 6.0
"""How long a host is asked for that pull request: a commit that was pushed by hand has none."""


@dataclass(frozen=True, slots=True)
class MergeCollector:
    """Collects the facts about merged pull requests. Raises the errors of the host."""

    host: CodeHost
    source: Source
    repository: RepositoryReader
    runs: RunCollector
    plans: Plans
    now: Callable[[], datetime]

    def merged(self, event: HostEvent, known: Facts, pull: PullRequest) -> Facts:
        """Return the facts about a merged pull request of which something is applied after the merge.

        Each event about the merge compares with the same commit of the base branch, a command with the newest one.
        """
        by_itself = known.comment is None
        default = self.repository.default_branch()
        seen_at = head_seen_at(event, pull, known.ledger, known.received_at, self.now)
        known = replace(known, default_branch=default, head_seen_at=seen_at)
        if not known.uses(pull.base_branch):
            return replace(known, merge=MergeFacts(None, unknown=_NOT_USED, by_itself=by_itself))
        seen = known.ledger.merge if by_itself else None
        seen = seen or self._merge_of(pull, known.received_at)
        if seen is None:
            return replace(known, merge=MergeFacts(None, unknown=_NO_MERGE, by_itself=by_itself))
        configuration, digest = self.repository.configuration(seen.newest)
        written = configuration
        listed = self.host.changed_files(pull.number)
        paths = tuple(dict.fromkeys(path for file in listed.files for path in file.paths))
        deleted: frozenset[str] = frozenset()
        if isinstance(configuration, Configuration) and configuration.projects:
            configuration, deleted = self.repository.with_projects(configuration, self.source, seen.newest, listed)
        elif isinstance(configuration, Configuration):
            deleted = self.repository.emptied_folders(configuration, listed, seen.newest)
        permission = self.host.permission(pull.author) if not pull.is_fork else Permission.NONE
        known = replace(
            known,
            source=self.repository.source_of(pull),
            configuration=configuration,
            configuration_sha256=digest,
            deleted_folders=deleted,
            changed=paths if listed.complete and paths else None,
            author_may_write=self.source.may_write(pull.author, permission),
            author_is_unknown=permission is Permission.UNKNOWN,
            merge=MergeFacts(seen, seen.newest, by_itself=by_itself),
        )
        if not isinstance(configuration, Configuration):
            return known
        jobs = {name for name in configuration.jobs if reads_after_merge(configuration, name)}
        runs = [run for run in known.ledger.runs if run.job in jobs]
        plans = self.runs.plans_of(configuration, jobs, pull, known, runs)
        newest = cache(lambda: self.repository.paths(seen.newest))
        known = self._compared(replace(known, plans=plans), newest)
        if known.merge is not None and isinstance(written, Configuration):
            gone = self._planned_elsewhere(known, written, configuration, listed, newest)
            known = replace(known, merge=replace(known.merge, gone=gone))
        return self._reviewed_again(known, configuration, jobs, seen.newest)

    def _planned_elsewhere(
        self,
        known: Facts,
        written: Configuration,
        of_base: Configuration,
        listed: ChangedFiles,
        newest: Callable[[], Tree],
    ) -> tuple[str, ...]:
        """Return the projects of the head with plans that the merge applies, and that the base branch does not have.

        ``written`` is the base branch's file, ``of_base`` the same with the jobs of the projects that it has. The
        head's projects are read only if the base branch lacks a file that the pull request has: it was moved.
        """
        pull, merge = known.pull, known.merge
        if pull is None or merge is None or not written.projects:
            return ()
        paths = newest().entries
        if all(file.path in paths for file in listed.files if file.kind is not ChangeKind.REMOVED):
            return ()
        of_head, _ = self.repository.with_projects(written, known.source, pull.head_sha, None)
        if not isinstance(of_head, Configuration):
            return ()
        repository = repository_key(self.source.repository) or ""
        present = after_merge_records(of_base, repository, pull.number)
        planned = after_merge_records(of_head, repository, pull.number)
        labels = {key: label for key, label in planned.items() if key not in present}
        return tuple(sorted(labels[key] for key in (self.plans.records(labels) if labels else ())))

    def _merge_of(self, pull: PullRequest, received_at: datetime) -> SeenMerge | None:
        """Return the merge once the base branch has it.

        Raises ``PortFailed``, safe to retry, while the host may not know it yet; later, return None.
        """
        found = self.repository.settled(lambda: self._found_merge(pull.number), lambda found: found is not None)
        if found is None:
            if self.now() - received_at < _MERGE_KNOWN_WITHIN:
                raise PortFailed(
                    f"the code host does not tell yet which commit the merge of pull request {pull.number} made",
                    retry_is_safe=True,
                )
            return None
        sha, newest = found
        at = min(received_at, pull.merged_at) if pull.merged_at is not None else received_at
        return SeenMerge(sha=sha, newest=newest, at=at)

    def _found_merge(self, number: int) -> tuple[str, str] | None:
        """Return the commit of a merge and the newest one of the base branch, None if that does not have it."""
        pull = self.host.pull_request(number)
        newest = self.repository.head(pull.base_branch)
        if newest is None or not pull.merge_sha or not isinstance(self.host, ReviewedHost):
            return None
        has_it = pull.merge_sha == newest or self.host.reviews().merge_base(newest, pull.merge_sha) == pull.merge_sha
        return (pull.merge_sha, newest) if has_it else None

    def _compared(self, known: Facts, newest: Callable[[], Tree]) -> Facts:
        """Return the facts with the paths at which the base branch differs from what each plan was made of."""
        merge, pull = known.merge, known.pull
        records = list(known.plans.records.values())
        if merge is None or pull is None or not records:
            return known
        differing: dict[str, frozenset[str]] = {}
        incomparable: dict[str, str] = {}
        read = cache(self.repository.planned_paths)
        for record in sorted(records, key=lambda record: record.key):
            of_head = record.commit == pull.head_sha
            repository = (known.source.head_repository if of_head else None) or self.source.repository
            merged = (record.merge_into, record.merge_commit) if record.merge_into is not None else None
            try:
                differing[record.key] = differences(read(repository, record.commit, merged), newest())
            except PreparationFailed as error:
                incomparable[record.key] = error.message
        return replace(known, merge=replace(merge, differing=differing, incomparable=incomparable))

    def _reviewed_again(self, known: Facts, configuration: Configuration, jobs: Collection[str], base: str) -> Facts:
        """Return the facts with what is required after the merge: approvals and people."""
        if known.pull is None or known.head_seen_at is None:
            return known
        # What is not as planned is planned again.
        started = {*jobs, *planning_jobs(configuration).values()}
        connection, branch = known.source.connection, known.pull.base_branch
        required = sets_of(configuration, connection, sorted(started), branch, is_merged=True)
        if not required:
            return known
        unseen = Known(known.pull, known.head_seen_at, changed=known.changed)
        subject = Subject(unseen, known.ledger, base)
        return replace(known, known=ReviewCollector(self.host, known.source).known(subject, required))

    def merged_as(self, branch: str, commit: str) -> int | None:
        """Return the pull request whose merge made a branch's newest commit, None if the host knows none."""
        host = self.host
        if not isinstance(host, KnowsMerges):
            return None

        def found() -> int | None:
            for number in host.pull_requests_of(commit)[:_MOST_ORIGINS]:
                pull = self.host.pull_request(number)
                if pull.is_merged and pull.base_branch == branch and pull.merge_sha == commit:
                    return number
            return None

        try:
            return settled(found, lambda number: number is not None, seconds=_ORIGIN_SECONDS if host.lag_seconds else 0)
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            # A token that may not ask this keeps no job from running.
            return None


def is_applied_after(configuration: Configuration | ConfigurationProblems | None) -> bool:
    """Return whether a readable configuration has jobs that are applied after the merge."""
    return isinstance(configuration, Configuration) and applies_after_merge(configuration)


__all__ = ["MergeCollector", "is_applied_after"]
