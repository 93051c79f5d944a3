"""Pull requests that the engine merges when everything is applied, on hosts that behave like GitHub and GitLab.

Webhooks are processed and runs end as in the engine; only the commands of orders are not run.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from iac_ci_common import keys
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.models.saved_plan import PlannedFile
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.states import OrderState
from iac_ci_common.testing import (
    MemoryEventBus,
    MemoryGroups,
    MemoryLastWrites,
    MemoryLocks,
    MemoryWatchdogs,
    MemoryWorkers,
    Sequential,
)
from iac_ci_local.fake_hosts.project import Project
from iac_ci_local.fake_hosts.repository import HostedRepository
from iac_ci_orchestrator.act import Orchestrator
from iac_ci_orchestrator.ports import OrchestratorPorts
from iac_ci_vcs import gitlab, http_session

from .conftest import AUTHOR, ENGINE
from .engine import Engine

NET, DNS, WEB = "live/net/main.tf", "live/dns/main.tf", "live/web/main.tf"
FILES = {NET: b"# 1\n", DNS: b"# 1\n", WEB: b"# 1\n"}
ON = b"""
version: 1
merge_when_applied: true
projects:
  - find: "live/*/main.tf"
"""
OFF = ON.replace(b"true", b"false")
SOME = Changes(operation=Operation.PLANNED, add=1)
NOTHING = Changes(operation=Operation.PLANNED)
MERGED: Counter[str] = Counter()
NOT_MERGED: Counter[str] = Counter()
REFUSED: set[str] = set()


@pytest.fixture(params=("github", "gitlab"))
def kind(request):
    return request.param


@pytest.fixture
def configuration():
    return ON


@pytest.fixture
def project(tmp_path, configuration):
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": configuration, **FILES}, "base")
    rights = {"engine": "write", "author": "admin"}
    project = Project("demo", "pets", repository, {"engine-token": ENGINE}, rights)
    project.merge_seconds = 0
    return project


class Team:
    """An engine whose runs end, and a pull request that changes two of three projects."""

    def __init__(self, host, project, monkeypatch, head=ON):
        now = datetime.now(UTC).replace(microsecond=500_000)
        self.engine = engine = Engine(host, project, now, branches=["main"])
        self.project, self.kind = project, host.shape.kind
        project.now = engine.clock.now
        for module in (http_session, gitlab):
            monkeypatch.setattr(module, "pause", engine.clock.advance)
        self.bus = MemoryEventBus()
        locks = MemoryLocks()
        ports = OrchestratorPorts(
            clock=engine.clock, runs=engine.runs, locks=locks, last_writes=MemoryLastWrites(engine.runs, locks),
            objects=engine.objects, done=engine.objects, workers=MemoryWorkers(), watchdogs=MemoryWatchdogs(),
            reports=engine.reports, plans=engine.plans, invoker=engine.invoker, groups=MemoryGroups(engine.clock),
            bus=self.bus, parallel=Sequential(), logger=engine.logger, wait=engine.clock.advance,
        )  # fmt: skip
        self.orchestrator = Orchestrator(ports)
        self.landed = []
        # The webhook of the merge is sent when the run has ended, as no host waits with the answer for it.
        project.merging.landed = lambda number, person: self.landed.append((number, person.login))
        files = {NET: b"# 2\n", DNS: b"# 2\n"} | ({".iac-ci.yml": head} if head != ON else {})
        project.repository.commit("change", files, "change", start="main")
        project.open_pull_request(title="t", author=AUTHOR, head_branch="change", base_branch="main")
        engine.activity.opened(1)

    def end(self, *, failed=(), unchanged=(), destroys=False):
        """Let all orders of the newest run end: its plans have changes, except those that are ``unchanged``."""
        stored = self.engine.jobs[-1]
        self.orchestrator.wake(stored.run_id)
        for _ in stored.job.orders:
            for row in self.engine.runs.read(stored.run_id).orders:
                if row.status is OrderState.RUNNING:
                    self._report(row, row.order_name in failed, row.order_name in unchanged, destroys=destroys)
            self.orchestrator.wake(stored.run_id)
        self.engine.clock.advance(10)
        assert self.engine.runs.find_run(stored.run_id).finished_at is not None

    def _report(self, row, has_failed, is_unchanged, *, destroys):
        now = self.engine.clock.now()
        plan = {}
        if row.project is not None and not row.project.applies:
            sha256 = f"{abs(hash((row.run_id, row.order_num))):064x}"
            planned = PlannedFile(sha256=sha256, tool="terraform", workspace="default", destroys=destroys)
            plan = {
                "planned": planned, "files": Sealed(sha256="c" * 64, size=10, identity="YQ=="),
                "changes": NOTHING if is_unchanged else SOME,
            }  # fmt: skip
        result = Result(
            run_id=row.run_id, order_num=row.order_num, reported_by=Reporter.WORKER, started_at=now, ended_at=now,
            status=OrderState.FAILED if has_failed else OrderState.SUCCEEDED, **plan,
        )  # fmt: skip
        self.engine.objects.create(keys.result(*row.attempt_key), result.model_dump_json().encode())

    def say(self, text):
        """Write a command as the author and count the runs that it starts."""
        before = len(self.engine.jobs)
        self.engine.activity.comment(1, AUTHOR, text)
        self.engine.clock.advance(10)
        return len(self.engine.jobs) - before

    def apply(self, target="", **ends):
        assert self.say(f"/iac-ci apply {target}".strip()) == 1
        self.end(**ends)

    @property
    def pull(self):
        return self.project.pull_request(1)

    @property
    def head(self):
        return self.project.repository.head("change")

    def states(self):
        return {one.context: one.state for one in self.project.statuses(self.head)}

    def notices(self):
        return [one.body for one in self.project.comments(1) if "is not merged by itself" in one.body]

    def kinds(self):
        return [event.kind for event in self.engine.runs.event_rows.values() if "merged" in event.kind]

    def assert_merged(self):
        """Check that the applied commit was merged, once, by the engine, after its status was set."""
        pull = self.pull
        assert (pull.is_merged, pull.merged_head) == (True, self.head)
        assert self.landed == [(1, ENGINE.login)]
        assert self.states()["iac-ci/apply"] == "success"
        assert self.notices() == []
        assert "merged" in self.kinds()
        MERGED[self.kind] += 1

    def assert_open(self, *, told=""):
        """Check that nothing was merged, and what the pull request says of it."""
        assert self.pull.is_open
        assert self.landed == []
        assert ([told in body for body in self.notices()]) == ([True] if told else [])
        assert self.kinds() == (["not_merged"] if told else [])
        NOT_MERGED[self.kind] += 1


@pytest.fixture
def team(host, project, monkeypatch):
    return Team(host, project, monkeypatch)


@pytest.fixture(scope="module", autouse=True)
def _summary():
    yield
    print(
        f"merged when applied: {sum(MERGED.values())} pull requests on {len(MERGED)} hosts, each once, at the applied"
        f" commit and after its status; {sum(NOT_MERGED.values())} stayed open for a reason; the setting is refused"
        f" on {', '.join(sorted(REFUSED)) or 'no host'}"
    )


def test_the_last_apply_merges_the_applied_commit(team):
    team.end()
    assert team.pull.is_open
    team.apply()
    team.assert_merged()
    # The host's webhook of the merge starts nothing.
    before = len(team.engine.jobs)
    team.engine.activity.merged(1, ENGINE)
    assert len(team.engine.jobs) == before


def test_targets_merge_when_the_last_of_them_is_applied(team):
    team.end()
    team.apply("live/net")
    team.assert_open()
    team.apply("live/dns")
    team.assert_merged()


def test_a_project_without_changes_needs_no_apply(team):
    team.end(unchanged=["plan-live-dns"])
    team.apply()
    team.assert_merged()


def test_a_plan_without_changes_may_be_the_last_thing_that_was_missing(team):
    team.end()
    team.apply("live/net")
    assert team.say("/iac-ci plan live/dns") == 1
    team.end(unchanged=["plan-live-dns"])
    team.assert_merged()


def test_plans_without_changes_alone_merge_nothing(team):
    team.end(unchanged=["plan-live-dns", "plan-live-net"])
    team.assert_open()


def test_a_failed_plan_keeps_the_pull_request_open(team):
    team.end(failed=["plan-live-dns"])
    team.apply("live/net")
    team.assert_open()


def test_a_failed_apply_keeps_the_pull_request_open(team):
    team.end()
    team.apply(failed=["apply-live-net"])
    team.assert_open()
    assert team.states()["iac-ci/apply"] == "failure"


def test_a_project_that_only_a_command_planned_has_to_be_applied_too(team):
    team.end()
    assert team.say("/iac-ci plan live/web") == 1
    team.end()
    team.apply()
    team.assert_open(told="apply\\-live\\-web is planned")
    team.apply("live/web")
    assert team.pull.is_merged
    assert [body for body in (one.body for one in team.project.comments(1)) if "was merged at the applied" in body]


def test_a_newer_commit_is_not_merged(team):
    team.end()
    assert team.say("/iac-ci apply") == 1
    applied = team.head
    # The host knows the push, and the engine hears of it when the apply has ended.
    team.project.push(1, {NET: b"# 3\n"}, "meanwhile")
    team.end()
    team.assert_open()
    assert team.head != applied


def test_a_push_between_the_look_and_the_merge_is_refused_by_the_host(team, monkeypatch):
    team.end()
    applied, push = team.head, team.project.push
    land = team.project.newest_head

    def late(pull):
        monkeypatch.setattr(team.project, "newest_head", land)
        push(1, {NET: b"# 3\n"}, "at the last moment")
        return land(pull)

    assert team.say("/iac-ci apply") == 1
    monkeypatch.setattr(team.project, "newest_head", late)
    team.end()
    assert team.project.merging.asked == [applied]
    team.assert_open()


def test_a_draft_is_not_merged_and_says_so(team):
    team.end()
    assert team.say("/iac-ci apply") == 1
    team.project.change(1, is_draft=True)
    team.end()
    team.assert_open(told="it is a draft")


def test_a_pull_request_for_another_base_branch_is_not_merged(team):
    team.end()
    team.project.repository.commit("release", {"x": b"1\n"}, "release", start="main")
    assert team.say("/iac-ci apply") == 1
    team.project.change(1, base_branch="release")
    team.end()
    team.assert_open()


def test_a_closed_pull_request_stays_closed(team):
    team.end()
    assert team.say("/iac-ci apply") == 1
    team.project.change(1, is_open=False)
    team.end()
    assert not team.pull.is_merged
    assert team.landed == []


def test_a_plan_to_destroy_is_not_merged(team):
    team.end()
    assert team.say("/iac-ci plan live/net -destroy") == 1
    team.end(destroys=True)
    team.apply("live/net")
    team.apply("live/dns")
    team.assert_open(told="a plan to destroy was applied")


def test_what_the_host_refuses_is_told_and_fails_nothing(team):
    team.end()
    team.project.merging.may_merge = False
    team.apply()
    assert team.engine.runs.find_run(team.engine.jobs[-1].run_id).status.value == "succeeded"
    team.assert_open(told="the token may not merge")


def test_a_person_who_merges_first_is_no_failure(team):
    team.end()
    assert team.say("/iac-ci apply") == 1
    team.project.land(1, "squash")
    team.end()
    assert team.kinds() == ["merged"]
    assert team.landed == []


@pytest.mark.parametrize("kind", ["github"])
def test_a_required_status_of_the_engine_is_there_before_the_merge(team):
    team.project.book.rules.checks = ("iac-ci/plan", "iac-ci/apply")
    team.end()
    team.apply()
    team.assert_merged()


@pytest.mark.parametrize("configuration", [OFF])
def test_the_head_cannot_switch_it_on(host, project, monkeypatch):
    team = Team(host, project, monkeypatch, head=ON + b"\n")
    team.end()
    team.apply()
    team.assert_open()


def test_the_head_cannot_switch_it_off(host, project, monkeypatch):
    team = Team(host, project, monkeypatch, head=OFF)
    team.end()
    team.apply()
    team.assert_merged()


@pytest.mark.parametrize("kind", ["bitbucket"])
def test_bitbucket_refuses_the_setting(host, project, monkeypatch):
    team = Team(host, project, monkeypatch)
    assert team.engine.jobs == []
    assert team.states()["iac-ci/configuration"] == "failure"
    [body] = [one.body for one in project.comments(1) if "merge" in one.body]
    assert "is not possible on this code host" in body.replace("\\", "")
    REFUSED.add("bitbucket")
