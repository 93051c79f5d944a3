"""Judges requirements by what is known of a pull request: pure. Each verdict has its own words and the way on.

What is not known is never taken for met.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iac_ci_common.globs import matches
from iac_ci_vcs.reviews import CheckState, Mergeable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from iac_ci_triggers.code_owners import CodeOwners, Owned
    from iac_ci_triggers.required import Approved, Requirements
    from iac_ci_vcs.provider import Account, PullRequest
    from iac_ci_vcs.reviews import Checks, Mergeability

_SHOWN: Final = 3
_SHOWN_CHARS: Final = 120


class Standing(StrEnum):
    """Whether a requirement is met."""

    MET = "met"
    NOT_MET = "not met"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one requirement. ``text`` says what is not met or not known, and the way on."""

    name: str
    standing: Standing
    text: str = ""


@dataclass(frozen=True, slots=True)
class Approver:
    """An approval that stands, and what is known of its person.

    ``at``, ``commit`` and ``may_write`` are None where the host does not tell. ``teams`` are, by their names in lower
    case, those that were asked for.
    """

    account: Account
    at: datetime | None
    is_author: bool = False
    has_contributed: bool = False
    may_write: bool | None = True
    teams: Mapping[str, bool | None] = field(default_factory=dict)
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a pull request. What was not asked for is None.

    ``head_seen_at`` is when the engine first saw the newest commit as the head. ``approvals_unknown`` and
    ``owners_unknown`` say why approvals or CODEOWNERS cannot be judged.
    """

    pull: PullRequest
    head_seen_at: datetime
    approvers: tuple[Approver, ...] = ()
    approvals_unknown: str | None = None
    mergeability: Mergeability | None = None
    checks: Checks | None = None
    owners: CodeOwners | None = None
    owners_unknown: str | None = None
    changed: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class BaseChanges:
    """What the base branch has changed since the plan, of the files that one order reads.

    ``paths`` is None if it is not known, and ``unknown`` says why. ``way_on`` brings the changes into the plan.
    """

    paths: tuple[str, ...] | None
    way_on: str
    unknown: str = ""


def judge(required: Requirements, known: Known, base: BaseChanges | None) -> tuple[Verdict, ...]:
    """Return the verdict on each requirement."""
    found: list[Verdict] = []
    if required.approved is not None:
        found.append(_approved(required.approved, known))
        if required.approved.code_owners:
            found.append(_code_owners(known))
    if required.not_draft:
        found.append(_not_draft(known))
    if required.from_ is not None:
        found.append(_from(required.from_, known))
    if required.mergeable:
        found.append(_mergeable(known))
    if required.undiverged:
        found.append(_undiverged(known, base))
    found += _checks(required.checks, known)
    return tuple(found)


def unmet(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Return the verdicts that do not allow an apply."""
    return tuple(verdict for verdict in verdicts if verdict.standing is not Standing.MET)


def _approved(wanted: Approved, known: Known) -> Verdict:
    commit = known.pull.head_sha[:12]
    whom = _whom(wanted)
    way_on = f"ask {whom} to approve commit {commit}"
    if known.approvals_unknown is not None:
        return _unknown("approved", f"the approvals cannot be judged: {known.approvals_unknown}; open a smaller one")
    refused: list[str] = []
    counted = possible = 0
    for approver in known.approvers:
        login, named = approver.account.login or approver.account.id, _is_named(approver, wanted)
        if (why := _why_never(approver, known)) is not None:
            refused.append(why)
        elif named is False:
            refused.append(f"{login} is not one of {whom}")
        elif (why := _why_not(approver, known)) is not None:
            possible += approver.may_write is None
            refused.append(why)
        elif named is None:
            possible += 1
            refused.append(f"the code host does not tell whether {login} is in {_listed(wanted.teams)}")
        else:
            counted += 1
    if counted >= wanted.count:
        return Verdict("approved", Standing.MET)
    reasons = f" ({'; '.join(refused[:_SHOWN])})" if refused else ""
    text = f"{counted} of {wanted.count} approvals count{reasons}; {way_on}"
    return _unknown("approved", text) if counted + possible >= wanted.count else _not_met("approved", text)


def _whom(wanted: Approved) -> str:
    named = [*wanted.people, *(f"a member of {team}" for team in wanted.teams)]
    if not named:
        return "a person who may write to the repository"
    return _listed(named, " or ")


def _is_named(approver: Approver, wanted: Approved) -> bool | None:
    """Return whether an approval is one of those that are asked for; None if that is not known."""
    if not wanted.people and not wanted.teams:
        return True
    if any(_is(approver.account, name) for name in wanted.people):
        return True
    memberships = [approver.teams.get(team.lower()) for team in wanted.teams]
    if True in memberships:
        return True
    return None if None in memberships else False


def _is(account: Account, name: str) -> bool:
    """Return whether a name is an account's. Bitbucket's names are not unique: there, the UUID counts alone."""
    if account.id.startswith("{") or name.startswith("{"):
        return account.id.casefold() == name.casefold()
    return account.login.casefold() == name.casefold()


def _why_never(approver: Approver, known: Known) -> str | None:
    """Return why an approval does not count, whatever its person may do; None if it may."""
    login = approver.account.login or approver.account.id
    if approver.is_author:
        return f"{login} is the author"
    if approver.has_contributed:
        return f"{login} has committed or pushed to it"
    if approver.at is None:
        return f"the code host does not tell when {login} approved"
    if approver.at <= known.head_seen_at:
        return f"{login} approved before the engine had seen commit {known.pull.head_sha[:12]}"
    if approver.commit not in {None, known.pull.head_sha}:
        commit = f"commit {approver.commit[:12]}, an older one" if approver.commit else "a commit that is gone"
        return f"{login} approved {commit}"
    return None


def _why_not(approver: Approver, known: Known) -> str | None:
    why, login = _why_never(approver, known), approver.account.login or approver.account.id
    if why is not None:
        return why
    if approver.may_write is None:
        return f"the code host does not tell whether {login} may write to the repository"
    return None if approver.may_write else f"{login} may not write to the repository"


def _code_owners(known: Known) -> Verdict:
    name = "code owners"
    if known.owners is None:
        why = known.owners_unknown or "the base branch has no file CODEOWNERS"
        return _unknown(name, f"the owners of the changed files are not known: {why}; name people instead")
    if known.approvals_unknown is not None or known.changed is None:
        why = known.approvals_unknown or "the code host does not list all changed files"
        return _unknown(name, f"not all is known: {why}; open a smaller pull request")
    counting = [one for one in known.approvers if _why_not(one, known) is None]
    missing: Counter[Owned] = Counter()
    first: dict[Owned, str] = {}
    is_unknown = False
    for path in known.changed:
        for owned in known.owners.of(path):
            owning = [_owns(one, owned.owners) for one in counting]
            if owning.count(True) >= owned.count:
                continue
            is_unknown = is_unknown or owning.count(True) + owning.count(None) >= owned.count
            missing[owned] += 1
            first.setdefault(owned, path)
    if not missing:
        return Verdict(name, Standing.MET)
    texts = []
    for owned, files in list(missing.items())[:_SHOWN]:
        more = f" and {files - 1} more files" if files > 1 else ""
        need = "an approval" if owned.count == 1 else f"{owned.count} approvals"
        texts.append(f"{first[owned][:_SHOWN_CHARS]}{more} need {need} by {_listed(owned.owners, ' or ')}")
    more = f"; and files of {len(missing) - _SHOWN} more owners" if len(missing) > _SHOWN else ""
    text = f"{'; '.join(texts)}{more}; ask them to approve commit {known.pull.head_sha[:12]}"
    return _unknown(name, text) if is_unknown else _not_met(name, text)


def _owns(approver: Approver, owners: Sequence[str]) -> bool | None:
    """Return whether an approver is one of the owners; None if that is not known. Addresses name nobody here."""
    names = [owner[1:] for owner in owners if owner.startswith("@")]
    if any(_is(approver.account, name) for name in names):
        return True
    memberships = [approver.teams.get(name.lower()) for name in names if "/" in name or name.lower() in approver.teams]
    if True in memberships:
        return True
    return None if None in memberships else False


def _not_draft(known: Known) -> Verdict:
    if not known.pull.is_draft:
        return Verdict("not_draft", Standing.MET)
    return _not_met("not_draft", "the pull request is a draft; mark it ready for review")


def _from(patterns: Sequence[str], known: Known) -> Verdict:
    shown = _listed(patterns)
    way_on = f"open a pull request from a branch of this repository that matches {shown}"
    if known.pull.is_fork:
        return _not_met("from", f"its branch is in a fork, where everybody chooses names; {way_on}")
    if matches(patterns, known.pull.head_branch):
        return Verdict("from", Standing.MET)
    return _not_met("from", f"its branch {known.pull.head_branch[:_SHOWN_CHARS]} does not match; {way_on}")


def _mergeable(known: Known) -> Verdict:
    found = known.mergeability
    if found is None or found.state is Mergeable.PENDING:
        return _unknown("mergeable", "the code host has not computed it yet; comment the command again in a minute")
    if found.state is Mergeable.YES:
        return Verdict("mergeable", Standing.MET)
    way_on = "remove the cause, and comment the command again"
    if found.state is Mergeable.NO:
        return _not_met("mergeable", f"the code host would not merge it: {found.reason}; {way_on}")
    return _unknown("mergeable", f"the code host does not tell whether it would merge: {found.reason}; {way_on}")


def _undiverged(known: Known, base: BaseChanges | None) -> Verdict:
    branch = known.pull.base_branch
    if base is None or base.paths is None:
        why = base.unknown if base is not None and base.unknown else "it was not asked for"
        way_on = base.way_on if base is not None else "comment the command again"
        return _unknown("undiverged", f"what {branch} has changed is not known: {why}; {way_on}")
    if not base.paths:
        return Verdict("undiverged", Standing.MET)
    count = "a file" if len(base.paths) == 1 else f"{len(base.paths)} files"
    text = f"{branch} has changed {count} since that the plan reads: {_listed(base.paths)}; {base.way_on}"
    return _not_met("undiverged", text)


def _checks(wanted: Sequence[str], known: Known) -> Iterator[Verdict]:
    commit = known.pull.head_sha[:12]
    for name in wanted:
        subject = f"check {name}"
        state = known.checks.states.get(name.casefold()) if known.checks is not None else None
        if known.checks is None or (state is not CheckState.FAILED and known.checks.unknown is not None):
            why = known.checks.unknown if known.checks is not None and known.checks.unknown else "it was not asked for"
            yield _unknown(subject, f"{why}; comment the command again when it has")
        elif state is CheckState.PASSED:
            yield Verdict(subject, Standing.MET)
        elif state is CheckState.FAILED:
            yield _not_met(subject, f"it has failed on commit {commit}; repair it, and comment the command again")
        elif state is CheckState.PENDING:
            yield _unknown(subject, f"it has not ended on commit {commit}; comment the command again when it has")
        else:
            text = f"it was never reported on commit {commit}; start it, or correct its name in the requirements"
            yield _unknown(subject, text)


def _not_met(name: str, text: str) -> Verdict:
    return Verdict(name, Standing.NOT_MET, f"{name}: {text}")


def _unknown(name: str, text: str) -> Verdict:
    return Verdict(name, Standing.UNKNOWN, f"{name}: {text}")


def _listed(names: Sequence[str], between: str = ", ") -> str:
    shown = between.join(name[:_SHOWN_CHARS] for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


__all__ = ["Approver", "BaseChanges", "Known", "Standing", "Verdict", "judge", "unmet"]
