"""GitHub's reviews, mergeability, checks and teams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from iac_ci_common.errors import NotFound, PortFailed
from iac_ci_vcs.provider import account_of, moment_of
from iac_ci_vcs.reviews import (
    MOST_PAGES,
    Approval,
    Approvals,
    Checks,
    CheckState,
    Mergeability,
    Mergeable,
    is_own_context,
    worst,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from iac_ci_vcs.provider import Account

_MOST_REVIEW_PAGES: Final = 10
_MOST_COMMITS: Final = 250
"""GitHub lists no more commits of a pull request (GitHub REST API, "List commits on a pull request")."""

_PAGE: Final = 100
_SHOWN: Final = 5
_DECISIONS: Final = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})
"""States of a review that decide; a comment leaves the decision before it as it is."""

_MERGES: Final = frozenset({"clean", "unstable", "has_hooks"})
_PASSED: Final = frozenset({"success", "neutral", "skipped"})
_WHY: Final = {
    "dirty": "it conflicts with its base branch",
    "draft": "it is a draft",
    "behind": "the rules of its base branch want it to be up to date with that",
}
_NOT_APPROVED: Final = {
    "CHANGES_REQUESTED": "a reviewer has requested changes",
    "REVIEW_REQUIRED": "a required review is missing",
}
_CAUSES: Final = """
query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviewDecision
      reviewThreads(first: 100) { totalCount nodes { isResolved } }
      baseRef {
        branchProtectionRule { requiresConversationResolution requiresStrictStatusChecks requiredStatusCheckContexts }
        rules(first: 100) { nodes { parameters {
          ... on RequiredStatusChecksParameters { strictRequiredStatusChecksPolicy requiredStatusChecks { context } }
          ... on PullRequestParameters { requiredReviewThreadResolution }
        } } }
      }
      commits(last: 1) { nodes { commit { statusCheckRollup { contexts(first: 100) { totalCount nodes {
        ... on StatusContext { context state isRequired(pullRequestNumber: $number) }
        ... on CheckRun { name status conclusion isRequired(pullRequestNumber: $number) }
      } } } } } }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class GitHubCalls:
    """How the repository's host is asked: the calls of its provider.

    ``just_read`` returns, once, the pull request that was read a moment ago; None if none was.
    """

    root: str
    repository_url: str
    repository: str
    doing: Callable[[str], AbstractContextManager[None]]
    get: Callable[..., Any]
    pages: Callable[..., Iterator[dict[str, Any]]]
    graphql: Callable[[str, dict[str, Any], str], dict[str, Any]]
    just_read: Callable[[int], dict[str, Any] | None]


class GitHubReviews:
    """The reviews of one repository on GitHub."""

    owner_files = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")

    def __init__(self, calls: GitHubCalls) -> None:
        """Ask by the provider's calls."""
        self._calls = calls

    def approvals(self, number: int) -> Approvals:
        """Return the people whose newest decision is an approval.

        That a review is of the newest commit proves nothing, for GitHub moves reviews to later commits
        (The01Geek/prflow#1247); that it is of another one does, and so does that it is of none: GitHub forgets commits
        that no branch has.
        """
        subject, read = "reviews", 0
        newest: dict[str, tuple[str, Account, dict[str, Any]]] = {}
        with self._calls.doing(subject):
            url = f"{self._calls.repository_url}/pulls/{number}/reviews"
            for review in self._calls.pages(url, subject, pages=_MOST_REVIEW_PAGES):
                read += 1
                if review.get("state") not in _DECISIONS or not review.get("user"):
                    continue
                account = account_of(review["user"]["id"], review["user"]["login"])
                at = str(review.get("submitted_at") or "")
                if account.id not in newest or newest[account.id][0] <= at:
                    newest[account.id] = (at, account, review)
            committers, commits = self._committers(number)
        unknown = None
        if read >= _MOST_REVIEW_PAGES * _PAGE:
            unknown = f"the pull request has {read} reviews or more, which are too many to read"
        elif commits >= _MOST_COMMITS:
            unknown = f"the pull request has {commits} commits or more, and GitHub does not list the people of all"
        given = tuple(
            Approval(
                account, moment_of(review.get("submitted_at")), account.id in committers, review.get("commit_id") or ""
            )
            for _, account, review in newest.values()
            if review["state"] == "APPROVED"
        )
        return Approvals(given, unknown)

    def _committers(self, number: int) -> tuple[set[str], int]:
        """Return the accounts of authors and committers, and the number of commits."""
        url, found, count = f"{self._calls.repository_url}/pulls/{number}/commits", set(), 0
        for commit in self._calls.pages(url, "commits", pages=MOST_PAGES):
            count += 1
            found |= {str(person["id"]) for side in ("author", "committer") if (person := commit.get(side))}
        return found, count

    def mergeability(self, number: int) -> Mergeability:
        """Return whether GitHub would merge. Where it is blocked, one more request asks why."""
        subject = "pull request"
        payload = self._calls.just_read(number)
        with self._calls.doing(subject):
            if payload is None:
                payload = self._calls.get(f"{self._calls.repository_url}/pulls/{number}", subject)
            mergeable, state = payload.get("mergeable"), payload.get("mergeable_state")
            if payload["state"] != "open":
                return Mergeability(Mergeable.NO, "it is closed")
            if payload.get("draft"):
                return Mergeability(Mergeable.NO, _WHY["draft"])
            if mergeable is None or not state or state == "unknown":
                return Mergeability(Mergeable.PENDING)
            if state in _MERGES and mergeable is True:
                return Mergeability(Mergeable.YES)
            if mergeable is False or state in _WHY:
                return Mergeability(Mergeable.NO, _WHY.get(state, _WHY["dirty"]))
            if state != "blocked":
                return Mergeability(Mergeable.UNKNOWN, f"GitHub calls its state {str(state)[:40]!r}")
            return self._why_blocked(number, payload)

    def _why_blocked(self, number: int, payload: dict[str, Any]) -> Mergeability:
        """Return what blocks the merge besides the engine's own statuses; if nothing does, it counts as mergeable.

        A required check that was never reported is in no list of checks, so the rules are joined with it; a check of
        its name from an app that the rule does not mean is not required. GitHub calls a pull request blocked also if it
        is behind a base branch that must be merged first, so that is asked for besides.
        """
        owner, _, name = self._calls.repository.partition("/")
        try:
            answer = self._calls.graphql(_CAUSES, {"owner": owner, "name": name, "number": number}, "merge state")
        except PortFailed as error:
            if error.retry_is_safe:
                raise
            return Mergeability(Mergeable.UNKNOWN, "GitHub blocks the merge and does not tell this token why")
        pull = answer["repository"]["pullRequest"]
        base = pull.get("baseRef") or {}
        rule = base.get("branchProtectionRule") or {}
        rules = [one.get("parameters") or {} for one in (base.get("rules") or {}).get("nodes") or ()]
        commit = pull["commits"]["nodes"][0]["commit"]
        contexts = (commit.get("statusCheckRollup") or {}).get("contexts") or {"totalCount": 0, "nodes": []}
        unresolved, is_cut = _conversations(pull, rule, rules)
        open_threads = "conversations are not resolved" if unresolved else None
        causes = (_NOT_APPROVED.get(str(pull.get("reviewDecision"))), open_threads)
        problems = [text for text in causes if text is not None]
        waiting = _not_passed(contexts["nodes"], rule, rules)
        others = sorted(name for name in waiting if not is_own_context(name))
        problems += [f"the required check {name[:80]} has not passed" for name in others[:_SHOWN]]
        if problems:
            return Mergeability(Mergeable.NO, "; ".join(problems))
        if contexts["totalCount"] > len(contexts["nodes"]):
            return Mergeability(Mergeable.UNKNOWN, "its commit has more checks than GitHub lists at once")
        if is_cut:
            return Mergeability(Mergeable.UNKNOWN, "it has more conversations than GitHub lists at once")
        if waiting:
            if _wants_base(rule, rules) and self._is_behind(payload):
                return Mergeability(Mergeable.NO, _WHY["behind"])
            return Mergeability(Mergeable.YES)
        return Mergeability(Mergeable.UNKNOWN, "GitHub blocks the merge and does not tell why")

    def _is_behind(self, payload: dict[str, Any]) -> bool:
        base, head = str(payload["base"]["ref"]), str(payload["head"]["sha"])
        url = f"{self._calls.repository_url}/compare/{quote(base, safe='')}...{quote(head)}?per_page=1"
        return bool(self._calls.get(url, "comparison of commits")["behind_by"])

    def checks(self, number: int, commit: str) -> Checks:  # noqa: ARG002 - other hosts need it
        """Return statuses and check runs; one of each with the same name must both pass."""
        url, read = f"{self._calls.repository_url}/commits/{quote(commit)}", 0
        found: dict[str, CheckState] = {}
        with self._calls.doing("checks"):
            for status in self._calls.pages(f"{url}/status", "statuses", pages=MOST_PAGES, key="statuses"):
                read += 1
                found[status["context"].casefold()] = worst(found, status["context"], _state(status["state"]))
            more = read >= MOST_PAGES * _PAGE
            try:
                runs = list(self._calls.pages(f"{url}/check-runs", "check runs", pages=MOST_PAGES, key="check_runs"))
            except PortFailed as error:
                if error.retry_is_safe:
                    raise
                return Checks(found, "the code host does not let this stack's token read check runs")
            for run in runs:
                state = _state(run.get("conclusion")) if run.get("status") == "completed" else CheckState.PENDING
                found[run["name"].casefold()] = worst(found, run["name"], state)
        more = more or len(runs) >= MOST_PAGES * _PAGE
        return Checks(found, "the commit has more checks than are read" if more else None)

    def may_be_team(self, owner: str) -> bool:
        """Return whether an owner is named as teams are: ``organisation/team``."""
        return "/" in owner

    def is_member(self, team: str, account: Account) -> bool | None:
        """Return whether an account is in a team ``organisation/team``; members of child teams count.

        GitHub answers 404 for a person who is not in the team and for a team that the token may not see.
        """
        organisation, _, slug = team.partition("/")
        if not slug or "/" in slug or not account.login:
            return False
        url = f"{self._calls.root}/orgs/{quote(organisation, safe='')}/teams/{quote(slug, safe='')}"
        with self._calls.doing("members of a team"):
            try:
                found = self._calls.get(f"{url}/memberships/{quote(account.login, safe='')}", "member of a team")
            except NotFound:
                return False if self._is_visible(url) else None
            except PortFailed as error:
                if error.retry_is_safe:
                    raise
                return None
        return bool(found.get("state") == "active")

    def _is_visible(self, url: str) -> bool:
        try:
            self._calls.get(url, "team")
        except PortFailed as error:
            if error.retry_is_safe:
                raise
            return False
        return True

    def merge_base(self, base: str, head: str) -> str | None:
        """Return the best common ancestor."""
        subject = "comparison of commits"
        with self._calls.doing(subject):
            url = f"{self._calls.repository_url}/compare/{quote(base)}...{quote(head)}?per_page=1"
            try:
                return str(self._calls.get(url, subject)["merge_base_commit"]["sha"])
            except NotFound:
                return None


def _not_passed(nodes: list[dict[str, Any]], rule: dict[str, Any], rules: list[dict[str, Any]]) -> set[str]:
    """Return the required checks that have not passed; a status and a check of one name must both pass."""
    wanted = {str(context) for context in rule.get("requiredStatusCheckContexts") or ()}
    wanted |= {str(check["context"]) for one in rules for check in one.get("requiredStatusChecks") or ()}
    required = [node for node in nodes if node.get("isRequired")]
    # GitHub compares contexts ignoring case.
    reported = {_name(node).casefold() for node in required}
    failing = {_name(node) for node in required if not _has_passed(node)}
    return failing | {name for name in wanted if name.casefold() not in reported}


def _conversations(pull: dict[str, Any], rule: dict[str, Any], rules: list[dict[str, Any]]) -> tuple[bool, bool]:
    """Return whether conversations must be resolved and are not, and whether GitHub has not listed all of these."""
    is_wanted = any(one.get("requiredReviewThreadResolution") for one in rules)
    if not (is_wanted or rule.get("requiresConversationResolution")):
        return False, False
    threads = pull.get("reviewThreads") or {}
    nodes = threads.get("nodes") or ()
    return not all(thread["isResolved"] for thread in nodes), threads.get("totalCount", 0) > len(nodes)


def _wants_base(rule: dict[str, Any], rules: list[dict[str, Any]]) -> bool:
    """Return whether the base branch must be merged before the pull request is."""
    is_strict = any(one.get("strictRequiredStatusChecksPolicy") for one in rules)
    return is_strict or bool(rule.get("requiresStrictStatusChecks"))


def _name(node: dict[str, Any]) -> str:
    return str(node.get("context") or node.get("name") or "")


def _has_passed(node: dict[str, Any]) -> bool:
    return str(node.get("state") or node.get("conclusion") or "").lower() in _PASSED


def _state(word: object) -> CheckState:
    """Return the state of a status, or of a check run's conclusion."""
    if word in _PASSED:
        return CheckState.PASSED
    return CheckState.PENDING if word == "pending" else CheckState.FAILED


__all__ = ["GitHubCalls", "GitHubReviews"]
