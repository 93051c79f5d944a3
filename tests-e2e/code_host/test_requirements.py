"""Requirements of applies on hosts that behave like GitHub, GitLab and Bitbucket: each refusal with its own words.

The hosts are as unkind as the real ones: mergeability comes late, a review moves to newer commits, a dismissed one
leaves an older one behind it, teams are hidden, approvals have no time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.models.saved_plan import PlannedFile, PlanRecord, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_local.fake_hosts.bitbucket.payloads import uuid_of
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_local.fake_hosts.project import Person, Project
from iac_ci_local.fake_hosts.repository import HostedRepository
from iac_ci_local.fake_hosts.reviews import CheckRun, Rules, Team
from iac_ci_local.fake_hosts.shape import Change, Happened
from iac_ci_vcs import gitlab, http_session

from .conftest import AUTHOR, ENGINE, STRANGER
from .engine import Engine

ANN, BEN = Person(21, "ann"), Person(22, "ben")
ALL = ("github", "gitlab", "bitbucket")
ARRIVED = "The comment has arrived"
"""What a host without reactions shows until the answer replaces it, and if there is no answer."""

NAME = {"github": "ann", "gitlab": "ann", "bitbucket": uuid_of(ANN.id)}
JOBS = """
version: 1
jobs:
  plan:
    on: {{pull_request: , command: plan}}
    orders: [{{name: plan-net, folder: live/net, cmds: [./plan]}}]
  apply:
    on: {{command: apply}}
    require: {require}
    orders: [{{name: net, folder: live/net, paths: ["live/net/**"], cmds: [./apply]}}]
"""
PROJECTS = b"""
version: 1
projects: [{find: "live/*/main.tf"}]
"""
FILES = {
    "live/net/main.tf": b'module "m" { source = "../../modules/vpc" }\n',
    "live/dns/main.tf": b"# 1\n",
    "modules/vpc/main.tf": b"# 1\n",
    "CODEOWNERS": b"* @ben\nlive/ @acme/platform\n",
}


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


@pytest.fixture
def configuration():
    return JOBS.format(require="{}").encode()


@pytest.fixture
def project(tmp_path, configuration):
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": configuration, **FILES}, "base")
    repository.commit("change", {"live/net/main.tf": FILES["live/net/main.tf"] + b"# 2\n"}, "head", start="main")
    rights = {"engine": "write", "author": "admin", "ann": "write", "ben": "write", "stranger": "read"}
    return Project("demo", "pets", repository, {"engine-token": ENGINE}, rights)


class Clocked:
    """An engine whose waits move its clock and the host's, and one pull request that was planned."""

    def __init__(self, host, project, monkeypatch, **connection):
        self.engine = Engine(host, project, datetime.now(UTC).replace(microsecond=500_000), **connection)
        self.project, self.host = project, host
        project.now = self.engine.clock.now
        self.waits = []
        for module in (http_session, gitlab):
            monkeypatch.setattr(module, "pause", self.wait)
        project.open_pull_request(title="t", author=AUTHOR, head_branch="change", base_branch="main")

    def wait(self, seconds):
        self.waits.append(seconds)
        self.engine.clock.advance(seconds)

    def later(self):
        self.engine.clock.advance(10)

    def open(self):
        self.engine.activity.opened(1)
        self.later()

    def approve(self, person=ANN):
        self.engine.activity.approve(1, person)
        self.later()

    def push(self, person=None):
        self.engine.activity.push(1, {"live/net/main.tf": b"# %d\n" % len(self.engine.jobs)}, person=person)
        self.later()

    def set(self, state, context="build"):
        self.project.set_status(
            self.head, AUTHOR, state=state, context=context, description="", target_url="", ref="change"
        )

    def apply(self, text="/iac-ci apply"):
        """Comment the command; return the answer, None if there is none."""
        before = len(self.answers)
        self.engine.activity.comment(1, AUTHOR, text)
        self.later()
        return self.answers[-1] if len(self.answers) > before else None

    @property
    def head(self):
        return self.project.repository.head("change")

    @property
    def answers(self):
        bodies = [one.body for one in self.project.comments(1) if one.author == ENGINE]
        return [
            re.sub(r"\\([^\w\s])\u200b?|\u200b", r"\1", body)
            for body in bodies
            if "iac-ci:answer" in body and ARRIVED not in body
        ]

    @property
    def applied(self):
        return [stored.job.flow_label for stored in self.engine.jobs].count("apply")


@pytest.fixture
def clocked(host, project, monkeypatch):
    return Clocked(host, project, monkeypatch)


def nobody(clocked):
    pass


def author(clocked):
    clocked.approve(AUTHOR)


def before_the_head(clocked):
    clocked.approve()
    clocked.push()


def before_a_head_without_webhook(clocked):
    clocked.approve()
    clocked.project.push(1, {"live/net/main.tf": b"# lost\n"}, "more")
    clocked.apply()  # on GitHub, the comment by which the engine sees the head applies nothing
    clocked.later()


def reset_to_an_earlier_head(clocked):
    """The approval was of a head in between: it was pushed, approved and taken back."""
    first = clocked.head
    clocked.push()
    clocked.approve()
    pushed, git = clocked.head, clocked.project.repository
    git._git("update-ref", "refs/heads/change", first)
    clocked.project._heads.clear()
    pull = clocked.project.change(1)
    clocked.engine.activity._send(Happened(Change.PUSHED, pull, pull.author, before=pushed, after=first))
    clocked.later()


def pusher(clocked):
    clocked.push(ANN)
    clocked.approve()


def committer(clocked):
    clocked.project.book.people_of[clocked.head] = ANN
    clocked.approve()


def taken_back(clocked):
    for state in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED" if clocked.host.shape.kind == "github" else "WITHDRAWN"):
        clocked.project.review(1, ANN, state)
        clocked.later()


def reader(clocked):
    clocked.approve(STRANGER)


def ben(clocked):
    clocked.approve(BEN)


def hidden_team(clocked):
    clocked.project.book.teams["acme/platform"] = Team(frozenset({"ann"}), is_visible=False)
    clocked.approve()


def outside_of_the_team(clocked):
    clocked.project.book.teams["acme/platform"] = Team(frozenset({"ben"}), invited=frozenset({"ann"}))
    clocked.approve()


def without_time(clocked):
    clocked.project.book.tells_times = False
    clocked.approve()
    clocked.project.book.reviews[-1].at = datetime.min.replace(tzinfo=UTC)


def conflict(clocked):
    clocked.project.repository.commit("main", {"live/net/main.tf": b"# another\n"}, "conflict")


def slow(clocked):
    clocked.project.repository.commit("main", {"README": b"1\n"}, "more")
    clocked.project.merge_seconds = 1000


def blocked(clocked):
    clocked.project.book.rules = Rules(checks=("build",))
    clocked.set("failure")


def blocked_in_silence(clocked):
    blocked(clocked)
    clocked.project.book.hides_causes = True


def behind(clocked):
    clocked.project.repository.commit("main", {"live/net/other.tf": b"1\n", "live/dns/main.tf": b"2\n"}, "more")


def failed(clocked):
    clocked.set("failure")


def failed_run(clocked):
    clocked.set("success")
    clocked.project.book.check_runs.append(CheckRun(clocked.head, "build", "failure"))


def pending(clocked):
    clocked.set("pending")


def draft(clocked):
    clocked.project.change(1, is_draft=True)


@dataclass(frozen=True)
class Case:
    """What is required, how it is not met, the words of the refusal, and the hosts on which it is so."""

    name: str
    require: str
    unmet: object
    words: str
    kinds: tuple[str, ...] = field(default=ALL)


TEAMS = "{approved: {teams: [acme/platform]}}"
OWNERS = "{approved: {code_owners: true}}"
CASES = [
    Case("approved", "{approved: 1}", nobody, "0 of 1 approvals count; ask a person who may write"),
    Case("approved", "{approved: 1}", author, "author is the author"),
    Case("approved", "{approved: 1}", before_the_head, "ann approved before the engine had seen"),
    Case("approved", "{approved: 1}", before_a_head_without_webhook, "ann approved before the engine had seen"),
    Case("approved", "{approved: 1}", reset_to_an_earlier_head, "ann approved before the engine had seen"),
    Case("approved", "{approved: 1}", pusher, "ann has committed or pushed to it"),
    Case("approved", "{approved: 1}", committer, "ann has committed or pushed to it"),
    Case("approved", "{approved: 1}", taken_back, "0 of 1 approvals count; ask a person who may write"),
    Case("approved", "{approved: 1}", reader, "stranger may not write to the repository"),
    Case("approved", "{approved: 2}", ben, "1 of 2 approvals count; ask a person who may write"),
    Case("people", "{approved: {people: [NAME]}}", ben, "ben is not one of NAME"),
    Case("teams", TEAMS, hidden_team, "does not tell whether ann is in acme/platform"),
    Case("teams", TEAMS, outside_of_the_team, "ann is not one of a member of acme/platform", ("github", "gitlab")),
    Case("code owners", OWNERS, ben, "live/net/main.tf need an approval by @acme/platform", ("github", "gitlab")),
    Case("code owners", OWNERS, ben, "the engine reads no owners of files on bitbucket", ("bitbucket",)),
    Case("mergeable", "{mergeable: true}", conflict, "would not merge it: it conflicts with its"),
    Case("mergeable", "{mergeable: true}", slow, "has not computed it yet", ("github", "gitlab")),
    Case("mergeable", "{mergeable: true}", blocked, "build has not passed", ("github", "gitlab")),
    Case("mergeable", "{mergeable: true}", blocked_in_silence, "does not tell whether it would merge", ("github",)),
    Case(
        "undiverged", "{undiverged: true}", behind, "main has changed a file since that the plan reads: live/net/other"
    ),
    Case("checks", "{checks: [build]}", nobody, "it was never reported on commit"),
    Case("checks", "{checks: [build]}", failed, "it has failed on commit"),
    Case("checks", "{checks: [build]}", failed_run, "it has failed on commit", ("github",)),
    Case("checks", "{checks: [build]}", pending, "it has not ended on commit"),
    Case("not_draft", "{not_draft: true}", draft, "the pull request is a draft; mark it ready"),
    Case("from", '{from: ["release/*"]}', nobody, "its branch change does not match"),
]
REFUSALS = [(case, kind) for case in CASES for kind in case.kinds]


@pytest.mark.parametrize(
    ("case", "kind"), REFUSALS, ids=[f"{case.name}-{case.unmet.__name__}-{kind}" for case, kind in REFUSALS]
)
def test_what_is_not_met_is_refused(case, kind, project, clocked):
    require = case.require.replace("NAME", f'"{NAME[kind]}"')
    project.repository.commit("main", {".iac-ci.yml": JOBS.format(require=require).encode()}, "configure")
    clocked.open()
    case.unmet(clocked)
    answer = clocked.apply()
    assert case.words.replace("NAME", NAME[kind]) in (answer or ""), answer
    assert "Nothing of the job apply runs, because its requirements are not met" in answer
    assert clocked.applied == 0
    assert sum(clocked.waits) <= 30


def test_the_refusals_have_their_own_words():
    names = list(dict.fromkeys(case.name for case in CASES))
    words = {case.words for case in CASES}
    print(f"{', '.join(ALL)}: {len(names)} requirements, {len(REFUSALS)} refusals, each with its own words")
    assert {"approved", "mergeable", "undiverged", "checks", "not_draft", "from"} <= set(names)
    assert len(words) >= 20
    assert {kind for _, kind in REFUSALS} == set(ALL)


EVERYTHING = """{approved: {count: 1, people: [NAME]}, mergeable: true, undiverged: true, checks: [build],
 not_draft: true, from: [change]}"""
BUDGET = {"github": 23, "gitlab": 25, "bitbucket": 28}
"""Most requests from the comment of an apply with every requirement until its run is prepared and reported."""


def test_what_is_met_starts_at_once_within_a_budget_of_requests(kind, project, clocked, host):
    require = EVERYTHING.replace("NAME", f'"{NAME[kind]}"')
    project.repository.commit("main", {".iac-ci.yml": JOBS.format(require=require).encode()}, "configure")
    clocked.open()
    refused = clocked.apply()
    assert [name in refused for name in ("approved:", "check build:")] == [True, True]
    clocked.approve()
    clocked.set("success")
    before = len(host.recorded)
    assert clocked.apply() is None
    assert clocked.applied == 1
    count = len(host.recorded) - before
    print(f"{kind}: {count} requests for an apply with every requirement")
    print("\n".join(f"{one.request.method} {one.request.target}" for one in host.recorded[before:]))
    assert count <= BUDGET[kind]


@pytest.mark.parametrize("configuration", [JOBS.format(require=TEAMS).encode()])
def test_the_rights_of_at_most_ten_people_are_asked_for(project, clocked, host):
    clocked.open()
    for number in range(30):
        person = Person(100 + number, f"person{number}")
        project.rights[person.login] = "write"
        project.review(1, person, "APPROVED")
    clocked.later()
    before = len(host.recorded)
    assert "0 of 1 approvals count" in clocked.apply()
    assert len(host.recorded) - before <= 60


@pytest.mark.parametrize("configuration", [JOBS.format(require="{approved: {people: [ann]}}").encode()])
@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_approvals_of_others_do_not_hide_the_one_that_is_asked_for(project, clocked):
    clocked.open()
    clocked.approve(ANN)
    for number in range(12):
        project.review(1, Person(100 + number, f"person{number}"), "APPROVED")
    clocked.later()
    assert clocked.apply() is None
    assert clocked.applied == 1


@pytest.mark.parametrize("configuration", [JOBS.format(require="{approved: {teams: [acme/platform]}}").encode()])
@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_a_member_of_a_team_may_approve(project, clocked):
    project.book.teams["acme/platform"] = Team(frozenset({"ann"}))
    clocked.open()
    clocked.approve()
    assert clocked.apply() is None
    assert clocked.applied == 1


@pytest.mark.parametrize("configuration", [JOBS.format(require=OWNERS).encode()])
@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_code_owners_of_the_base_approve_and_not_those_of_the_head(project, clocked):
    project.book.teams["acme/platform"] = Team(frozenset({"ann"}))
    project.repository.commit("change", {"CODEOWNERS": b"* @ben\n"}, "mine")
    clocked.open()
    clocked.approve(BEN)
    assert "need an approval by @acme/platform" in clocked.apply()
    clocked.approve(ANN)
    assert clocked.apply() is None


@pytest.mark.parametrize("configuration", [JOBS.format(require=OWNERS).encode()])
@pytest.mark.parametrize("kind", ["gitlab"])
@pytest.mark.parametrize("owner", ["@platform", "@@developers"])
def test_a_group_at_the_top_and_a_role_own_files_on_gitlab(project, clocked, owner):
    project.book.teams["platform"] = Team(frozenset({"ann"}))
    project.rights["ben"] = "admin"
    project.repository.commit("main", {"CODEOWNERS": f"* {owner} @carl\n".encode()}, "owners")
    clocked.open()
    clocked.approve(BEN)
    assert f"need an approval by {owner} or @carl" in clocked.apply()
    clocked.approve(ANN)
    assert clocked.apply() is None


def test_no_repository_lowers_the_operators_minimum(host, project, monkeypatch):
    clocked = Clocked(host, project, monkeypatch, require={"approved": 1})
    clocked.open()
    assert "0 of 1 approvals count" in clocked.apply()
    assert clocked.apply("/iac-ci plan") is None
    clocked.approve()
    assert clocked.apply() is None
    assert clocked.applied == 1


@pytest.mark.parametrize("configuration", [JOBS.format(require="{mergeable: true}").encode()])
def test_the_engines_own_required_status_blocks_no_apply(kind, clocked):
    clocked.project.book.rules = Rules(checks=("iac-ci/plan", "iac-ci/apply"))
    clocked.open()
    assert clocked.apply() is None
    assert clocked.applied == 1


@pytest.mark.parametrize("configuration", [JOBS.format(require="{mergeable: true}").encode()])
@pytest.mark.parametrize("kind", ["github", "gitlab"])
def test_mergeability_that_comes_late_is_waited_for(clocked):
    clocked.open()
    clocked.project.repository.commit("main", {"README": b"1\n"}, "more")
    assert clocked.apply() is None
    assert (clocked.applied, 0 < sum(clocked.waits) <= 20) == (1, True)


def enter_plan(clocked, **fields):
    """Enter the plan of the pull request as the orchestrator does."""
    stored, now = clocked.engine.jobs[-1], clocked.engine.clock.now()
    (name, project), *_ = stored.projects.items()
    saved = SavedPlan(
        run_id=stored.run_id,
        order_num="0001",
        order_name=name,
        file="iac-ci.tfplan",
        planned=PlannedFile(sha256="b" * 64, tool="terraform", workspace="default"),
        files=Sealed(sha256="c" * 64, size=10, identity="YQ=="),
        generation=0,
    )
    record = {
        "key": project.record, "project": project.key, "name": project.name, "pull_request": 1,
        "repository": stored.job.git_repo, "commit": stored.job.commit_hash, "base": "main",
        "configuration": stored.scope.configuration, "saved": saved, "planned_at": now,
        "usable_until": now + timedelta(days=13), "expires_at": now + timedelta(days=14),
    }  # fmt: skip
    clocked.engine.plans.plan_records[project.record] = PlanRecord(**(record | fields))
    assert keys.plan_record_of(project.record, 1) == project.record


@pytest.mark.parametrize("configuration", [PROJECTS])
class TestProjects:
    """The reviewed plans of projects, with the requirements that they have unless the file says otherwise."""

    @pytest.mark.parametrize("path", ["live/net/more.tf", "modules/vpc/main.tf"])
    def test_a_base_that_changed_what_the_project_reads_is_refused(self, clocked, path):
        clocked.open()
        enter_plan(clocked)
        clocked.project.repository.commit("main", {path: b"# 9\n"}, "more")
        answer = clocked.apply()
        assert f"main has changed a file since that the plan reads: {path}" in answer
        assert "merge main into the pull request's branch" in answer
        assert clocked.applied == 0

    def test_a_base_that_changed_other_files_is_not(self, clocked):
        clocked.open()
        enter_plan(clocked)
        clocked.project.repository.commit("main", {"live/dns/main.tf": b"# 9\n", "README": b"1\n"}, "more")
        assert clocked.apply() is None
        assert clocked.applied == 1

    def test_a_plan_of_the_merged_result_is_compared_with_its_own_base(self, clocked):
        clocked.open()
        clocked.project.repository.commit("main", {"live/net/more.tf": b"# 9\n"}, "more")
        enter_plan(clocked, merge_into=clocked.project.repository.head("main"))
        clocked.project.repository.commit("main", {"live/dns/main.tf": b"# 9\n"}, "more")
        assert clocked.apply() is None
        assert clocked.applied == 1

    def test_a_stale_plan_and_what_is_not_met_are_answered_together(self, clocked):
        clocked.open()
        enter_plan(clocked)
        clocked.project.change(1, is_draft=True)
        clocked.push()
        answer = clocked.apply()
        assert ["is stale" in answer, "it is a draft" in answer] == [True, True]


@pytest.mark.parametrize("configuration", [JOBS.format(require=EVERYTHING.replace("[NAME]", "[ben]")).encode()])
def test_the_comment_of_the_plan_shows_ticks(kind, clocked):
    clocked.open()
    (shown,) = [one.body for one in clocked.project.comments(1) if "iac-ci apply" in one.body]
    shown = shown.replace("\\", "")
    signs = dict.fromkeys("✓✗?", 0) | {sign: shown.count(f"- {sign} ") for sign in "✓✗?"}
    assert "asks again for these requirements" in shown
    assert "- ✗ approved: 0 of 1 approvals count" in shown
    assert "- ? check build: it was never reported" in shown
    assert "- ✓ undiverged" in shown
    assert ("- ✓ mergeable" in shown) is (kind == "bitbucket")
    print(f"{kind}: the comment of the plan shows {signs}")
