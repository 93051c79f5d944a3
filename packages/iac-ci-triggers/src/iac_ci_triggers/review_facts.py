"""Asks the code host what requirements are about, within a bounded number of requests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_triggers.code_owners import CodeOwners, Unreadable, read_code_owners
from iac_ci_triggers.ledger import MAX_PUSHERS
from iac_ci_triggers.requirements import Approver, Known
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.provider import Permission
from iac_ci_vcs.reviews import Approvals, Checks, Mergeability, Mergeable, ReviewedHost
from iac_ci_vcs.waiting import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from iac_ci_triggers.facts import Source
    from iac_ci_triggers.ledger import Ledger
    from iac_ci_triggers.required import Requirements
    from iac_ci_vcs.provider import Account, CodeHost
    from iac_ci_vcs.reviews import Approval, Reviews

T = TypeVar("T")

MOST_PEOPLE: Final = 10
"""Most approvers whose rights and teams are asked for, those who approved last first."""

MOST_MEMBERSHIPS: Final = 20
"""Most questions whether a person is in a team; each costs one or two requests."""

_MERGE_SECONDS: Final = 12.0
"""How long a host is asked again whether it would merge: GitHub and GitLab compute it some seconds after a change."""

_OWNERS_BYTES: Final = 3 * 1024 * 1024
"""Largest CODEOWNERS that GitHub reads (GitHub Docs, "About code owners")."""

_NOT_ASKED: Final = "this stack's provider for the code host cannot ask for it"


@dataclass(frozen=True, slots=True)
class Subject:
    """The pull request and what was known of it before: ``base`` is the newest commit of its base branch."""

    known: Known
    ledger: Ledger
    base: str


@dataclass(slots=True)
class ReviewCollector:
    """Collects what requirements are about from one repository's host.

    ``waits`` is False where an unsettled answer is shown and decides nothing.
    """

    host: CodeHost
    source: Source
    waits: bool = True
    _memberships: int = field(default=0, init=False)

    def known(self, subject: Subject, required: Sequence[Requirements]) -> Known:
        """Return what the host tells of what is required. Raises the errors that a retry may repair."""
        known, pull = subject.known, subject.known.pull
        reviews = self.host.reviews() if isinstance(self.host, ReviewedHost) else None
        if any(one.mergeable for one in required):
            known = replace(known, mergeability=self._mergeability(reviews, pull.number))
        if any(one.checks for one in required):
            known = replace(known, checks=self._checks(reviews, pull.number, pull.head_sha))
        approved = [one.approved for one in required if one.approved is not None]
        if not approved:
            return known
        if reviews is None:
            return replace(known, approvals_unknown=_NOT_ASKED, owners_unknown=_NOT_ASKED)
        teams = {team for one in approved for team in one.teams}
        if any(one.code_owners for one in approved):
            owners, why = self._owners(reviews, subject.base)
            known = replace(known, owners=owners, owners_unknown=why)
        people = {name for one in approved for name in one.people}
        return self._with_approvers(known, subject.ledger, reviews, teams, people)

    def _mergeability(self, reviews: Reviews | None, number: int) -> Mergeability:
        if reviews is None:
            return Mergeability(Mergeable.UNKNOWN, _NOT_ASKED)

        def read() -> Mergeability:
            return _asked(lambda: reviews.mergeability(number), lambda why: Mergeability(Mergeable.UNKNOWN, why))

        if not self.waits:
            return read()
        return settled(read, lambda found: found.state is not Mergeable.PENDING, seconds=_MERGE_SECONDS)

    @staticmethod
    def _checks(reviews: Reviews | None, number: int, commit: str) -> Checks:
        if reviews is None:
            return Checks(unknown=_NOT_ASKED)
        return _asked(lambda: reviews.checks(number, commit), lambda why: Checks(unknown=why))

    def _owners(self, reviews: Reviews, base: str) -> tuple[CodeOwners | None, str | None]:
        """Return the owners by the file of the base branch, or why they are not known."""
        if not reviews.owner_files:
            return None, f"the engine reads no owners of files on {self.host.kind}"
        for path in reviews.owner_files:
            try:
                content = self.host.file(path, base, max_bytes=_OWNERS_BYTES)
                return read_code_owners(content, as_gitlab=self.host.kind == Sender.GITLAB), None
            except NotFound:
                continue
            except Unreadable as error:
                return None, f"{path} of the base branch cannot be read: {error}"
            except PortFailed as error:
                if error.retry_is_safe:
                    raise
                return None, error.message
        return None, None

    def _with_approvers(
        self, known: Known, ledger: Ledger, reviews: Reviews, teams: set[str], people: Iterable[str]
    ) -> Known:
        found = _asked(lambda: reviews.approvals(known.pull.number), lambda why: Approvals(unknown=why))
        unknown = found.unknown
        if len(ledger.pushers) >= MAX_PUSHERS:
            unknown = f"{MAX_PUSHERS} people or more have pushed to it"
        # Anybody may approve on public repositories: the people that are asked for are examined first.
        wanted = {name.casefold() for name in people}
        newest = sorted(found.given, key=lambda one: (one.at is not None, one.at), reverse=True)
        newest.sort(key=lambda one: not {one.account.login.casefold(), one.account.id.casefold()} & wanted)
        if newest:
            teams = teams | _teams_of(reviews, known, {one.account.login.lower() for one in newest})
        asked_for = sorted(teams, key=str.lower)
        approvers: list[Approver] = []
        asked = 0
        for approval in newest:
            approver = _approver(approval, known, ledger)
            is_of_head = approval.commit in {None, known.pull.head_sha}
            may_count = is_of_head and approval.at is not None and approval.at > known.head_seen_at
            if may_count and not (approver.is_author or approver.has_contributed):
                asked += 1
                approver = self._asked_about(approver, reviews, asked_for, is_within=asked <= MOST_PEOPLE)
            approvers.append(approver)
        return replace(known, approvers=tuple(approvers), approvals_unknown=unknown)

    def _asked_about(self, approver: Approver, reviews: Reviews, teams: Sequence[str], *, is_within: bool) -> Approver:
        """Return an approver with the right to write, and with the teams if the person has that right."""
        if not is_within:
            return replace(approver, may_write=None, teams=dict.fromkeys(map(str.lower, teams)))
        may_write = self._may_write(approver.account)
        if not may_write:
            return replace(approver, may_write=may_write)
        return replace(
            approver,
            may_write=True,
            teams={team.lower(): self._is_member(reviews, team, approver.account) for team in teams},
        )

    def _may_write(self, account: Account) -> bool | None:
        permission = self.host.permission(account)
        if permission is Permission.UNKNOWN:
            return True if self.source.names_writer(account) else None
        return permission.can_write

    def _is_member(self, reviews: Reviews, team: str, account: Account) -> bool | None:
        if self._memberships >= MOST_MEMBERSHIPS:
            return None
        self._memberships += 1
        return reviews.is_member(team, account)


def _approver(approval: Approval, known: Known, ledger: Ledger) -> Approver:
    account = approval.account
    is_author = account.id == known.pull.author.id
    has_contributed = approval.has_committed or account.id in ledger.pushers
    return Approver(account, approval.at, is_author, has_contributed, commit=approval.commit)


def _teams_of(reviews: Reviews, known: Known, people: Collection[str]) -> set[str]:
    """Return the teams among the owners of the changed files, of at most as many names as are asked for.

    ``people`` are logins in lower case, which are no teams.
    """
    found: dict[str, str] = {}
    for path in (known.changed or ()) if known.owners is not None else ():
        for owned in known.owners.of(path) if known.owners is not None else ():
            found |= {name.lower(): name[1:] for name in owned.owners if name.startswith("@")}
    names = [name for key, name in found.items() if key[1:] not in people]
    names.sort(key=lambda name: "/" not in name)
    return {name for name in names[:MOST_MEMBERSHIPS] if reviews.may_be_team(name)}


def _asked(ask: Callable[[], T], refused: Callable[[str], T]) -> T:
    """Return an answer; if the host refuses it for good, what says so."""
    try:
        return ask()
    except PortFailed as error:
        if error.retry_is_safe:
            raise
        return refused(error.message)


__all__ = ["MOST_MEMBERSHIPS", "MOST_PEOPLE", "ReviewCollector", "Subject"]
