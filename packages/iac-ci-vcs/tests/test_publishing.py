"""A run reports to its pull request; what the code host refuses becomes an event."""

from __future__ import annotations

import pytest

from iac_ci_common.errors import PortFailed
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, TRACE_ID, order_row, run_row
from iac_ci_vcs.provider import CommitState
from iac_ci_vcs.reporting import commit_status
from iac_ci_vcs.reporting.commit_status import MAX_DESCRIPTION_CHARS
from iac_ci_vcs.reporting.publish import publish
from iac_ci_vcs.testing import MemoryReports

TARGET = ReportTarget(repository="https://github.com/acme/infra", number=7)


def run(**fields):
    return run_row(**({"report": TARGET, "commit_hash": "a" * 40, "flow_id": f"me:{TRACE_ID}-plan-all"} | fields))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (RunState.QUEUED, CommitState.PENDING),
        (RunState.RUNNING, CommitState.PENDING),
        (RunState.SUCCEEDED, CommitState.SUCCESS),
        (RunState.FAILED, CommitState.FAILURE),
        (RunState.TIMED_OUT, CommitState.ERROR),
        (RunState.CANCELLED, CommitState.ERROR),
    ],
)
def test_a_status_goes_from_pending_to_the_truth(status, state):
    assert commit_status(run(status=status), []).state is state


def test_a_status_names_flow_counts_and_reason_and_fits():
    orders = [order_row(1, status=OrderState.SUCCEEDED), order_row(2, status=OrderState.FAILED)]
    status = commit_status(run(status=RunState.FAILED, reason="exit code 1"), orders)
    assert status.context == "iac-ci/plan-all"
    assert status.description == f"{RUN_ID}: 1 failed, 1 succeeded (exit code 1)"
    long = commit_status(run(status=RunState.FAILED, reason="x" * 1000), orders)
    assert len(long.description) == MAX_DESCRIPTION_CHARS
    assert long.description.endswith("…")


@pytest.mark.parametrize("fields", [{"report": None}, {"commit_hash": None}])
def test_a_run_about_no_commit_has_no_status(fields):
    assert commit_status(run(**fields), []) is None


def test_comment_and_status_are_written():
    reports = MemoryReports()
    assert publish(reports, run(), [order_row(1)], with_status=True).failed == {}
    assert [status.commit for status in reports.statuses] == ["a" * 40]
    assert "could not be set" not in reports.bodies[RUN_ID]


def test_an_edit_in_between_leaves_the_status_alone():
    reports = MemoryReports()
    publish(reports, run(), [order_row(1)], with_status=False)
    assert reports.statuses == []


def test_a_status_that_cannot_be_set_is_told_in_the_comment():
    class Refusing(MemoryReports):
        def mark(self, target, status):
            raise PortFailed("GitHub refused the commit's status: HTTP 403")

    reports = Refusing()
    failed = publish(reports, run(), [order_row(1)], with_status=True).failed
    assert set(failed) == {"status_failed"}
    assert r"could not be set: GitHub refused the commit's status: HTTP 403" in reports.bodies[RUN_ID]


@pytest.mark.parametrize(("retry_is_safe", "count"), [(False, 3), (True, 1)])
def test_a_status_that_is_refused_stops_no_other_and_a_host_that_fails_stops_all(retry_is_safe, count):
    asked = []

    class Refusing(MemoryReports):
        def mark(self, target, status):
            asked.append(status.context)
            if len(asked) <= 2:
                raise PortFailed(f"no. {len(asked)}", retry_is_safe=retry_is_safe)

    reports = Refusing()
    target = TARGET.model_copy(update={"order_statuses": True})
    failed = publish(reports, run(report=target), [order_row(1), order_row(2)], with_status=True).failed
    assert failed["status_failed"].message == "no. 1"
    assert len(asked) == count


def test_a_comment_that_fails_keeps_no_status_from_being_set():
    class Refusing(MemoryReports):
        def publish(self, target, **comment):
            raise PortFailed("down")

    reports = Refusing()
    assert set(publish(reports, run(), [order_row(1)], with_status=True).failed) == {"comment_failed"}
    assert len(reports.statuses) == 1
