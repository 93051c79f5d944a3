"""The merge of a pull request at the end of a run, when everything that it planned has been applied."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from iac_ci_common.errors import PortFailed
from iac_ci_common.limits import MERGE_SECONDS
from iac_ci_common.models.commit_job import JobPart
from iac_ci_common.models.rows import JobScope
from iac_ci_common.states import OrderState
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_vcs.provider import Account, CommitState, CommitStatus, PullRequest
from iac_ci_vcs.testing import MemoryReports

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine

HEAD = "d" * 40
REPOSITORY = "https://github.com/acme/infra.git"
SCOPE = JobScope(base="main", whole=False, before_merge=("flow",), merge_when_applied=True)
EARLIER = "20250101T000000-aaaaaaaaaaaa"
PULL = PullRequest(7, "t", Account("1", "ann"), True, HEAD, "b", "o/r", "0" * 40, "main", is_fork=False, url="u")


class Applying(Engine):
    """A run that applies projects of pull request 7; ``waiting`` are orders of its job that it does not run."""

    def __init__(self, names=("dns", "net"), *, scope=SCOPE, waiting=(), **observers):
        super().__init__(
            [{"order_name": name} for name in names], **observers, scope=scope,
            git_repo=REPOSITORY, commit_hash=HEAD, git_token_location="ssm:/iac-ci/token", commit_status=True,
            pr_number=7
        )  # fmt: skip
        self.reports.clock = self.clock
        self.reports.merge_host.pulls[7] = PULL
        own = CommitStatus(HEAD, "iac-ci/flow", CommitState.PENDING, "")
        # The pull request's event has named the orders of the job.
        part = JobPart(7, "main", EARLIER, {}, not_run=(*names, *waiting))
        self.reports.mark_job(self.runs.read(RUN_ID).run.report, own, part)

    def play(self, *failed):
        self.wake()
        for number, row in enumerate(self.runs.read(RUN_ID).orders, start=1):
            state = OrderState.FAILED if row.order_name in failed else OrderState.SUCCEEDED
            self.report(f"{number:04d}", state)
        self.wake()
        return self

    @property
    def merged(self):
        return self.reports.merge_host.merged

    @property
    def kinds(self):
        return [event.kind for event in self.runs.event_rows.values() if event.order_num == "0000"]


def test_the_last_apply_merges_the_applied_commit():
    engine = Applying().play()
    assert engine.merged == [(7, HEAD)]
    assert engine.kinds.count("merged") == 1
    engine.assert_ended_well()


@pytest.mark.parametrize("failed", [["dns"], ["dns", "net"]])
def test_a_failed_apply_merges_nothing(failed):
    engine = Applying().play(*failed)
    assert engine.merged == []
    assert {"merged", "not_merged"}.isdisjoint(engine.kinds)
    engine.assert_ended_well()


def test_a_project_that_is_not_applied_keeps_the_pull_request_open():
    engine = Applying(["dns"], waiting=["net"]).play()
    assert engine.merged == []
    engine.assert_ended_well()


def test_nothing_is_merged_without_the_setting():
    assert Applying(scope=SCOPE.model_copy(update={"merge_when_applied": False})).play().merged == []


def test_the_status_is_set_before_the_merge_is_asked_for():
    seen = []
    engine = Applying(after=lambda name: seen.append(name) if name.startswith("reports.") else None)
    engine.play()
    assert seen.index("reports.mark_job") < seen.index("reports.merge_applied")
    assert engine.reports.statuses[-1].state is CommitState.SUCCESS


def test_a_refusal_fails_no_run_and_is_recorded():
    engine = Applying()
    engine.reports.merge_host.merge_problem = "HTTP 405: a review is required"
    engine.play()
    assert engine.marker.status.value == "succeeded"
    [event] = [event for event in engine.runs.event_rows.values() if event.kind == "not_merged"]
    assert "a review is required" in event.reason
    assert "a review is required" in engine.reports.merge_host.comments[7][0].body
    engine.assert_ended_well()


def failing(monkeypatch, method, error):
    def refuse(*arguments, **named):
        raise error

    monkeypatch.setattr(MemoryReports, method, refuse)


def test_a_host_that_fails_is_asked_again_by_the_next_pass(monkeypatch):
    engine = Applying()
    with monkeypatch.context() as patch:
        failing(patch, "merge_applied", PortFailed("the host is down", retry_is_safe=True))
        engine.play()
        assert engine.marker.status.value == "succeeded"
        assert not engine.locks.read(RUN_ID).completed
    engine.clock.advance(60)
    engine.wake()
    assert engine.merged == [(7, HEAD)]
    engine.assert_ended_well()


def test_a_host_that_goes_on_failing_is_given_up(monkeypatch):
    engine = Applying()
    failing(monkeypatch, "merge_applied", PortFailed("the host is down", retry_is_safe=True))
    engine.play()
    engine.clock.advance(MERGE_SECONDS + 1)
    engine.wake()
    assert engine.kinds.count("not_merged") == 1
    engine.assert_ended_well()


def test_a_host_that_refuses_for_good_is_not_asked_again(monkeypatch):
    engine = Applying()
    failing(monkeypatch, "merge_applied", PortFailed("the token is not valid"))
    engine.play()
    assert engine.kinds.count("not_merged") == 1
    engine.assert_ended_well()


def test_a_status_that_could_not_be_set_delays_the_merge(monkeypatch):
    engine = Applying()
    with monkeypatch.context() as patch:
        failing(patch, "mark_job", PortFailed("the host is down", retry_is_safe=True))
        engine.play()
        assert engine.merged == []
    engine.wake()
    assert engine.merged == [(7, HEAD)]
    engine.assert_ended_well()


class Died(Exception):
    """The process ends here."""


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_crash_around_the_merge_merges_once(point):
    died = []

    def die(name):
        if name == "reports.merge_applied" and not died:
            died.append(name)
            raise Died

    engine = Applying(**{point: die})
    with pytest.raises(Died):
        engine.play()
    engine.clock.advance(60)
    engine.wake()
    assert engine.merged == [(7, HEAD)]
    assert engine.kinds.count("merged") == 1
    engine.assert_ended_well()


def test_a_person_may_merge_while_the_apply_runs():
    engine = Applying()
    engine.reports.merge_host.pulls[7] = replace(PULL, is_open=False, is_merged=True)
    engine.play()
    assert engine.merged == []
    assert engine.kinds.count("merged") == 1


def test_the_events_of_a_merge_that_is_tried_again_are_one(monkeypatch):
    engine = Applying()
    engine.play()
    assert engine.clock.now() >= START
    [event] = [event for event in engine.runs.event_rows.values() if event.kind == "merged"]
    assert event.at == engine.runs.read(RUN_ID).run.finished_at
    assert event.at - START < timedelta(minutes=1)
