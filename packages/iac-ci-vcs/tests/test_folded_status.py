"""The status of a job speaks for the commit, whatever runs its orders had and in whatever sequence they report."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iac_ci_common.errors import ConditionFailed, PortFailed
from iac_ci_common.models.approval import ApprovalAnswer, StoredApproval
from iac_ci_common.models.rows import JobScope, ReportTarget
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import START, TRACE_ID, order_row, run_row
from iac_ci_vcs.provider import MOST_BEHIND, CommitState
from iac_ci_vcs.reporting.commit_status import behind
from iac_ci_vcs.reporting.publish import publish
from iac_ci_vcs.testing import MemoryReports

SHA = "a" * 40
FAILED, SUCCEEDED, QUEUED = OrderState.FAILED, OrderState.SUCCEEDED, OrderState.QUEUED
CANCELLED, SKIPPED = OrderState.CANCELLED, OrderState.SKIPPED
ENDS = {FAILED: RunState.FAILED, CANCELLED: RunState.CANCELLED, SKIPPED: RunState.FAILED, SUCCEEDED: RunState.SUCCEEDED}


def run_id(number: int) -> str:
    return f"20260101T00{number:04d}-0123456789ab"


@pytest.fixture
def reports():
    return MemoryReports()


def report(reports, number, orders, *, pull=7, base="main", target=None, whole=None, not_run=(), optional=(), **fields):
    """Publish a run of these orders and return the contexts and states that it set."""
    is_whole = target is None if whole is None else whole
    states = list(orders.values())
    worst = next((state for state in (FAILED, CANCELLED, SKIPPED) if state in states), None)
    status = RunState.QUEUED if QUEUED in states else ENDS[worst or SUCCEEDED]
    if optional:
        status = RunState.SUCCEEDED
    run = run_row(
        run_id=run_id(number),
        status=status,
        commit_hash=SHA,
        flow_id=f"me:{TRACE_ID}-plan",
        report=ReportTarget(
            repository="https://github.com/acme/infra.git",
            number=pull,
            scope=JobScope(base=base, whole=is_whole, target=target),
            **fields,
        ),
    )
    rows = [
        order_row(index, order_name=name, status=state, run_id=run_id(number), must_succeed=name not in optional)
        for index, (name, state) in enumerate(orders.items(), 1)
    ]
    before = len(reports.statuses)
    assert publish(reports, run, rows, not_run=not_run, with_status=True).failed == {}
    return {status.context: status.state for status in reports.statuses[before:]}


def newest(reports):
    return [status for status in reports.statuses if status.context == "iac-ci/plan"][-1]


def test_a_red_order_keeps_the_job_red_after_a_green_run_of_another_target(reports):
    report(reports, 1, {"dns": FAILED, "cluster": SUCCEEDED})
    marked = report(reports, 2, {"cluster": SUCCEEDED}, target="cluster")
    assert marked == {"iac-ci/plan": CommitState.FAILURE, "iac-ci/plan/cluster": CommitState.SUCCESS}
    assert newest(reports).description == "1 failed, 1 succeeded (the newest state of each order)"


def test_the_job_turns_green_when_the_red_order_succeeds_in_a_run_of_its_own(reports):
    report(reports, 1, {"dns": FAILED, "cluster": SUCCEEDED})
    assert report(reports, 2, {"dns": QUEUED}, target="dns")["iac-ci/plan"] is CommitState.PENDING
    assert report(reports, 2, {"dns": SUCCEEDED}, target="dns")["iac-ci/plan"] is CommitState.SUCCESS


def test_a_run_of_what_failed_updates_the_whole_and_has_no_target(reports):
    report(reports, 1, {"dns": FAILED, "cluster": SUCCEEDED, "app": FAILED})
    marked = report(reports, 2, {"dns": SUCCEEDED, "app": FAILED}, whole=False)
    assert marked == {"iac-ci/plan": CommitState.FAILURE}


def test_a_target_that_runs_first_leaves_the_job_pending(reports):
    marked = report(reports, 1, {"dns": SUCCEEDED}, target="dns", not_run=("cluster", "app"))
    assert marked == {"iac-ci/plan": CommitState.PENDING, "iac-ci/plan/dns": CommitState.SUCCESS}
    assert newest(reports).description == "2 of 3 orders to plan"
    report(reports, 2, {"cluster": SUCCEEDED}, target="cluster", not_run=("dns", "app"))
    assert newest(reports).description == "1 of 3 orders to plan"
    report(reports, 3, {"app": SUCCEEDED}, target="app", not_run=("dns", "cluster"))
    assert newest(reports).state is CommitState.SUCCESS


@pytest.mark.parametrize(
    ("later", "state"),
    [
        (({"dns": SUCCEEDED, "cluster": SUCCEEDED}, None), CommitState.SUCCESS),
        (({"dns": FAILED, "cluster": SUCCEEDED}, None), CommitState.FAILURE),
        (({"dns": SUCCEEDED}, "dns"), CommitState.SUCCESS),
        (({"cluster": FAILED}, "cluster"), CommitState.FAILURE),
        # It has not ended, or has none of the target's orders.
        (({"dns": QUEUED, "cluster": QUEUED}, None), None),
        (({"app": SUCCEEDED}, "app"), None),
    ],
)
def test_a_target_that_failed_follows_later_runs_of_its_orders(reports, later, state):
    report(reports, 1, {"dns": FAILED, "cluster": SUCCEEDED}, target="live", not_run=("app",))
    orders, target = later
    assert report(reports, 2, orders, target=target).get("iac-ci/plan/live") is state


def test_a_target_whose_orders_are_gone_is_left_alone(reports):
    report(reports, 1, {"old": FAILED}, target="old")
    assert report(reports, 2, {"dns": SUCCEEDED}) == {"iac-ci/plan": CommitState.SUCCESS}


def test_the_states_of_many_targets_do_not_outgrow_a_row(reports):
    for number, target in enumerate(("first", "second", "third"), 1):
        report(reports, number, {f"{target}-{order}": FAILED for order in range(400)}, target=target)
    again = {f"{target}-{order}": SUCCEEDED for target in ("first", "second", "third") for order in range(2)}
    marked = report(reports, 4, again)
    assert marked == dict.fromkeys(("iac-ci/plan", "iac-ci/plan/second", "iac-ci/plan/third"), CommitState.SUCCESS)


def test_an_order_with_a_status_of_its_own_is_no_target_beside_it(reports):
    report(reports, 1, {"dns": FAILED}, target="dns", order_statuses=True)
    marked = report(reports, 2, {"dns": SUCCEEDED}, order_statuses=True)
    assert marked == {"iac-ci/plan": CommitState.SUCCESS, "iac-ci/plan/dns": CommitState.SUCCESS}
    assert [one.context for one in reports.statuses].count("iac-ci/plan/dns") == 2


def test_a_newer_run_of_the_whole_job_replaces_all_orders(reports):
    report(reports, 1, {"dns": FAILED, "gone": FAILED})
    report(reports, 2, {"dns": SUCCEEDED})
    assert newest(reports).state is CommitState.SUCCESS
    assert newest(reports).description.startswith(run_id(2))


def test_an_older_run_that_ends_late_changes_nothing(reports):
    report(reports, 2, {"dns": SUCCEEDED})
    for states in ({"dns": FAILED}, {"gone": FAILED}, {"dns": CANCELLED, "gone": FAILED}):
        report(reports, 1, states)
        assert newest(reports).state is CommitState.SUCCESS


def test_the_first_report_of_a_run_does_not_replace_its_last(reports):
    report(reports, 1, {"dns": FAILED})
    report(reports, 1, {"dns": QUEUED})
    assert next(iter(reports.commit_jobs.jobs.values())).pulls["7"].orders == {"dns": f"{run_id(1)} failed"}


def test_a_run_for_another_base_branch_does_not_speak_for_this_one(reports):
    report(reports, 1, {"dns": SUCCEEDED})
    assert report(reports, 2, {"dns": FAILED}, base="release")["iac-ci/plan"] is CommitState.FAILURE
    report(reports, 1, {"dns": SUCCEEDED})
    assert newest(reports).state is CommitState.FAILURE
    assert report(reports, 3, {"dns": SUCCEEDED}, base="main")["iac-ci/plan"] is CommitState.SUCCESS


@pytest.mark.parametrize("state", [FAILED, CANCELLED, SKIPPED])
def test_an_order_that_may_fail_does_not_turn_the_job_red(reports, state):
    report(reports, 1, {"lint": state, "dns": SUCCEEDED}, optional={"lint"})
    report(reports, 2, {"dns": SUCCEEDED}, target="dns")
    assert newest(reports).state is CommitState.SUCCESS


def test_two_pull_requests_with_one_commit_have_the_worst_of_both(reports):
    report(reports, 1, {"dns": FAILED}, pull=7)
    report(reports, 2, {"dns": SUCCEEDED}, pull=8)
    assert newest(reports).state is CommitState.FAILURE
    assert newest(reports).description == "pull request 7 has the same commit: 1 failed"
    report(reports, 3, {"dns": SUCCEEDED}, pull=7)
    assert newest(reports).state is CommitState.SUCCESS


def test_a_closed_pull_request_does_not_count(reports):
    report(reports, 1, {"dns": FAILED}, pull=7)
    reports.closed.add(7)
    report(reports, 2, {"dns": SUCCEEDED}, pull=8)
    assert newest(reports).state is CommitState.SUCCESS


def test_a_job_that_no_pull_request_started_has_a_status_of_its_own(reports):
    run = run_row(
        status=RunState.SUCCEEDED,
        commit_hash=SHA,
        flow_id=f"me:{TRACE_ID}-plan",
        report=ReportTarget(repository="https://github.com/acme/infra", number=7),
    )
    publish(reports, run, [order_row(1, status=SUCCEEDED)], with_status=True)
    assert newest(reports).state is CommitState.SUCCESS
    assert reports.commit_jobs.jobs == {}


def test_an_orders_own_status_is_not_set_twice(reports):
    marked = report(reports, 1, {"dns": SUCCEEDED}, target="dns", order_statuses=True)
    assert marked == dict.fromkeys(["iac-ci/plan", "iac-ci/plan/dns"], CommitState.SUCCESS)
    assert len(reports.statuses) == 2


def test_of_two_reports_at_once_the_newest_states_are_set_last(reports, monkeypatch):
    """The other report writes and sets its status between this one's write and status."""
    others = [2]

    class Meanwhile(list):
        def append(self, status):
            while others:
                report(reports, others.pop(), {"dns": FAILED}, target="dns")
            super().append(status)

    monkeypatch.setattr(reports, "statuses", Meanwhile())
    report(reports, 1, {"dns": SUCCEEDED, "app": SUCCEEDED})
    assert newest(reports).state is CommitState.FAILURE


def test_reports_that_never_get_through_are_an_error_and_no_status(reports, monkeypatch):
    def refuse(job):
        raise ConditionFailed("another", retry_is_safe=True)

    monkeypatch.setattr(reports.commit_jobs, "write", refuse)
    run = run_row(
        commit_hash=SHA,
        report=ReportTarget(repository="https://github.com/acme/infra", number=7, scope=JobScope(base="main")),
    )
    failed = publish(reports, run, [order_row(1)], with_status=True).failed
    assert isinstance(failed["status_failed"], PortFailed)
    assert reports.statuses == []


STATES = st.sampled_from([FAILED, SUCCEEDED, CANCELLED])
RUNS = st.lists(st.dictionaries(st.sampled_from("abc"), STATES, min_size=1), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(runs=RUNS, data=st.data())
def test_in_any_sequence_of_reports_each_order_has_its_newest_state(runs, data):
    whole = {"a": SUCCEEDED, "b": SUCCEEDED, "c": SUCCEEDED} | runs[0]
    parts = [(1, whole, True), *((number, run, False) for number, run in enumerate(runs[1:], 2))]
    reports = MemoryReports()
    for number, orders, is_whole in data.draw(st.permutations(parts)):
        report(reports, number, orders, whole=is_whole)
    expected = dict(whole)
    for run in runs[1:]:
        expected |= run
    stored = next(iter(reports.commit_jobs.jobs.values())).pulls["7"].orders
    assert {name: entry.split()[1] for name, entry in stored.items()} == {
        name: state.value for name, state in expected.items()
    }
    is_green = set(expected.values()) == {SUCCEEDED}
    assert (newest(reports).state is CommitState.SUCCESS) == is_green


def test_an_order_that_was_not_needed_is_as_good_as_its_success(reports):
    rows = [
        order_row(1, status=SUCCEEDED, run_id=run_id(1)),
        order_row(2, status=SKIPPED, run_id=run_id(1), not_needed=True),
    ]
    scope = JobScope(base="main", whole=True)
    target = ReportTarget(repository="https://github.com/acme/infra.git", number=7, scope=scope)
    run = run_row(
        run_id=run_id(1), status=RunState.SUCCEEDED, commit_hash=SHA, flow_id=f"me:{TRACE_ID}-plan", report=target
    )
    assert publish(reports, run, rows, with_status=True).failed == {}
    # A later run of one order leaves the other one as it was.
    report(reports, 2, {"order-1": SUCCEEDED}, target="order-1")
    assert newest(reports).state is CommitState.SUCCESS


@pytest.mark.parametrize(
    ("answered", "gate", "state"),
    [
        (True, SUCCEEDED, CommitState.SUCCESS),
        # Nobody has answered, or the answer was no.
        (False, QUEUED, CommitState.FAILURE),
        (True, FAILED, CommitState.FAILURE),
    ],
)
def test_what_a_person_has_overridden_is_as_good_as_its_success(reports, answered, gate, state):
    answer = ApprovalAnswer(approved=gate is SUCCEEDED, through="comment", by="bob", at=START) if answered else None
    approval = StoredApproval(by=("bob",), overrides=("0001",))
    rows = [
        order_row(1, status=FAILED, run_id=run_id(1)),
        order_row(2, status=gate, run_id=run_id(1), after=(1,), approval=approval, approval_answer=answer),
    ]
    scope = JobScope(base="main", whole=True)
    target = ReportTarget(repository="https://github.com/acme/infra.git", number=7, scope=scope)
    run = run_row(
        run_id=run_id(1), status=RunState.SUCCEEDED, commit_hash=SHA, flow_id=f"me:{TRACE_ID}-plan", report=target
    )
    assert publish(reports, run, rows, with_status=True).failed == {}
    report(reports, 2, {"order-3": SUCCEEDED}, target="order-3")
    assert newest(reports).state is state


@pytest.mark.parametrize(
    ("commits", "text"),
    [
        (None, ""),
        (0, ""),
        (1, "1 commit behind main"),
        (7, "7 commits behind main"),
        (100, "100 commits behind main"),
        (MOST_BEHIND, "more than 100 commits behind main"),
    ],
)
def test_how_far_a_head_is_behind_is_told(commits, text):
    assert behind(JobScope(base="main", behind=commits)) == text


@pytest.mark.parametrize("late", [CANCELLED, FAILED, SUCCEEDED])
def test_a_run_that_ends_after_its_pull_request_leaves_the_status_to_another_with_the_commit(reports, late):
    """A pull request is closed and opened again under another number, while its first run still stops."""
    report(reports, 1, {"network": QUEUED}, pull=7)
    reports.closed.add(7)
    report(reports, 2, {"network": QUEUED}, pull=8)
    assert report(reports, 1, {"network": late}, pull=7)["iac-ci/plan"] is CommitState.PENDING
    assert report(reports, 2, {"network": SUCCEEDED}, pull=8)["iac-ci/plan"] is CommitState.SUCCESS
    assert report(reports, 1, {"network": late}, pull=7)["iac-ci/plan"] is CommitState.SUCCESS
    reports.closed.add(8)
    assert report(reports, 1, {"network": FAILED}, pull=7)["iac-ci/plan"] is CommitState.FAILURE
