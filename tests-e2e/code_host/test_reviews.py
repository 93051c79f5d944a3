"""What the three code hosts tell about approvals, mergeability, checks and teams, with the counted requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_local.fake_hosts.project import Person
from iac_ci_local.fake_hosts.reviews import CheckRun, Rules, Team
from iac_ci_vcs.provider import CommitState, CommitStatus
from iac_ci_vcs.reviews import CheckState, Mergeable

from .conftest import AUTHOR, ENGINE

ANN, BEN = Person(21, "ann"), Person(22, "ben")


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


@pytest.fixture
def clock(project):
    """A clock of the project that only the test moves."""

    class Clock:
        now = datetime(2026, 11, 1, 12, tzinfo=UTC)

        def advance(self, seconds):
            self.now += timedelta(seconds=seconds)

    clock = Clock()
    project.now = lambda: clock.now
    return clock


@pytest.fixture
def reviews(opened, clock):
    return opened().reviews()


def head(project):
    return project.repository.head("change")


def mergeable(project, reviews, clock):
    reviews.mergeability(1)
    clock.advance(10)
    return reviews.mergeability(1)


def by(approvals):
    return {one.account.login: one for one in approvals.given}


def test_an_approval_has_its_person_and_its_time(project, reviews, clock, host):
    clock.advance(60)
    project.review(1, ANN, "APPROVED")
    before = len(host.recorded)
    (given,) = reviews.approvals(1).given
    assert (given.account.login, given.at, given.has_committed) == ("ann", clock.now, False)
    assert len(host.recorded) - before <= 2


@pytest.mark.parametrize("kind", ["gitlab"])
def test_gitlabs_notes_tell_when_its_approvals_do_not(project, reviews, clock):
    project.book.tells_times = False
    project.review(1, BEN, "APPROVED")
    project.write_comment(1, BEN, "approved this merge request")
    clock.advance(60)
    project.review(1, ANN, "APPROVED")
    assert by(reviews.approvals(1))["ann"].at == clock.now
    assert by(reviews.approvals(1))["ben"].at == clock.now - timedelta(seconds=60)


def test_an_approval_that_was_taken_back_stands_no_more(project, reviews, clock, kind):
    for state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED" if kind == "github" else "WITHDRAWN"):
        project.review(1, ANN, state)
        clock.advance(1)
    assert reviews.approvals(1).given == ()
    project.review(1, BEN, "APPROVED")
    project.review(1, BEN, "COMMENTED")
    assert list(by(reviews.approvals(1))) == ["ben"]


def test_a_push_takes_approvals_back_where_the_host_does_so(project, reviews, kind):
    project.book.resets = kind != "github"
    project.review(1, ANN, "APPROVED")
    project.push(1, {"main.tf": b"# more\n"}, "more")
    assert len(reviews.approvals(1).given) == (1 if kind == "github" else 0)


def test_the_people_of_commits_are_known_as_the_host_names_them(project, reviews):
    project.book.people_of[head(project)] = ANN
    for person in (ANN, BEN):
        project.review(1, person, "APPROVED")
    assert {login: one.has_committed for login, one in by(reviews.approvals(1)).items()} == {"ann": True, "ben": False}


def test_more_commits_than_are_read_make_approvals_unknown(project, reviews, monkeypatch):
    project.review(1, ANN, "APPROVED")
    monkeypatch.setattr(project, "commits", lambda pull: [head(project)] * 301)
    assert "commits or more" in reviews.approvals(1).unknown


def test_mergeability_is_pending_until_the_host_knows_it(project, reviews, clock, kind):
    assert reviews.mergeability(1).state is (Mergeable.YES if kind == "bitbucket" else Mergeable.PENDING)
    clock.advance(10)
    assert reviews.mergeability(1).state is Mergeable.YES


def test_a_conflict_and_a_draft_are_not_mergeable(project, reviews, clock):
    project.change(1, is_draft=True)
    found = mergeable(project, reviews, clock)
    assert (found.state, found.reason) == (Mergeable.NO, "it is a draft")
    project.change(1, is_draft=False)
    project.repository.commit("main", {"main.tf": b"# another\n"}, "conflict")
    found = mergeable(project, reviews, clock)
    assert found.state is Mergeable.NO
    assert "conflicts with its" in found.reason


@pytest.mark.parametrize("state", ["pending", "failure", None])
def test_the_engines_own_statuses_never_count_against_a_merge(project, reviews, clock, opened, kind, state):
    project.book.rules = Rules(checks=("iac-ci/apply",))
    if state is not None:
        opened().set_status(CommitStatus(head(project), "iac-ci/apply", CommitState(state), ""))
    assert mergeable(project, reviews, clock).state is Mergeable.YES


@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_what_blocks_besides_them_is_named_at_once(project, reviews, clock, opened, kind):
    project.book.rules = Rules(checks=("iac-ci/apply", "build"), approvals=1, resolved=True)
    project.book.open_threads = 1
    opened().set_status(CommitStatus(head(project), "iac-ci/apply", CommitState.PENDING, ""))
    project.set_status(
        head(project), AUTHOR, state="failure", context="build", description="", target_url="", ref="change"
    )
    found = mergeable(project, reviews, clock)
    assert found.state is Mergeable.NO
    assert "build has not passed" in found.reason
    assert "are not resolved" in found.reason
    assert ("required review" if kind == "github" else "required approval") in found.reason


@pytest.mark.parametrize("kind", ["github"])
def test_github_names_a_required_check_that_was_never_reported(project, reviews, clock):
    project.book.rules = Rules(checks=("build",))
    assert "build has not passed" in mergeable(project, reviews, clock).reason
    project.book.hides_causes = True
    found = mergeable(project, reviews, clock)
    assert (found.state, "does not tell" in found.reason) == (Mergeable.UNKNOWN, True)


@pytest.mark.parametrize("kind", ["github"])
def test_github_wants_a_branch_to_be_up_to_date_where_rules_say_so(project, reviews, clock):
    project.book.rules = Rules(up_to_date=True)
    project.repository.commit("main", {"other": b"1\n"}, "more")
    assert "up to date" in mergeable(project, reviews, clock).reason


def test_checks_have_the_worst_state_of_their_name(project, reviews, kind):
    sha = head(project)
    for name, state in (("build", "success"), ("scan", "failure"), ("slow", "pending")):
        project.set_status(sha, AUTHOR, state=state, context=name, description="", target_url="", ref="change")
    project.set_status(sha, ENGINE, state="success", context="Other", description="", target_url="", ref="elsewhere")
    if kind == "github":
        project.book.check_runs += [CheckRun(sha, "build", "failure"), CheckRun(sha, "lint", "neutral")]
        project.book.check_runs += [CheckRun(sha, "open")]
    found = reviews.checks(1, sha)
    assert found.unknown is None
    assert found.states["scan"] is CheckState.FAILED
    assert found.states["slow"] is CheckState.PENDING
    assert found.states["build"] is (CheckState.FAILED if kind == "github" else CheckState.PASSED)
    assert ("other" in found.states) is (kind != "gitlab")
    if kind == "github":
        assert (found.states["lint"], found.states["open"]) == (CheckState.PASSED, CheckState.PENDING)


def test_a_team_that_the_token_may_not_see_is_unknown(project, reviews, account, kind):
    project.book.teams = {
        "acme/platform": Team(frozenset({"ann"}), invited=frozenset({"ben"})),
        "acme/hidden": Team(frozenset({"ann"}), is_visible=False),
    }
    for person in (ANN, BEN):
        project.review(1, person, "COMMENTED")
    found = [reviews.is_member("acme/platform", account(person)) for person in (ANN, BEN, AUTHOR)]
    assert found == ([None] * 3 if kind == "bitbucket" else [True, False, False])
    assert reviews.is_member("acme/hidden", account(ANN)) is None
    assert reviews.is_member("acme/missing", account(ANN)) is None


def test_the_common_ancestor_of_two_commits(project, reviews):
    before = project.repository.head("main")
    project.repository.commit("main", {"other": b"1\n"}, "more")
    assert reviews.merge_base(project.repository.head("main"), head(project)) == before
    assert reviews.merge_base("0" * 40, head(project)) is None
