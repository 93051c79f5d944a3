from __future__ import annotations

import pytest

from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import queued


def test_orders_are_numbered_as_given_and_dependencies_follow_names_and_ids():
    rows = queued([{"order_name": "a"}, {"queue_id": "second"}, {"dependencies": ["a", "second", "a"]}])
    assert [row.order_name for row in rows.orders] == ["a", "order-0002", "order-0003"]
    assert rows.orders[2].dependencies == ("0001", "0002")
    assert {row.status for row in rows.orders} == {OrderState.QUEUED}
    assert rows.run.order_count == 3


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://GitHub.com/Acme/infra.git", "github.com/acme/infra"),
        ("ssh://git@git.example.com:2222/acme/infra", "git.example.com:2222/acme/infra"),
        ("git@github.com:acme/infra.git", "github.com/acme/infra"),
        ("file:///srv/infra", None),
    ],
)
def test_the_first_event_of_a_run_has_what_people_look_for(url, repository):
    rows = queued([{}], git_repo=url, pr_number=7)
    (accepted,) = (event for event in rows.events if event.kind == "accepted")
    assert (accepted.repository, accepted.pull_request) == (repository, 7)
    assert (accepted.job_name, accepted.actor, accepted.branch) == ("flow", "tests", None)
    assert accepted.job_day == "_job#2026-01-01"
    assert {event.job_day for event in rows.events if event.order_num != "0000"} == {None}


@pytest.mark.parametrize(
    ("order", "target"),
    [
        ({"timeout": 540}, ExecutionTarget.LAMBDA),
        ({"timeout": 541}, ExecutionTarget.CODEBUILD),
        ({"use_lambda": False}, ExecutionTarget.CODEBUILD),
        ({"use_lambda": True}, ExecutionTarget.LAMBDA),
        ({"execution_target": "codebuild"}, ExecutionTarget.CODEBUILD),
    ],
)
def test_an_order_goes_where_it_fits_or_says(order, target):
    assert queued([order]).orders[0].target is target


@pytest.mark.parametrize("wanted", [True, False])
def test_a_stored_job_that_names_its_target_the_older_way_is_read_again(wanted):
    from iac_ci_common.models.answer import StoredJob
    from iac_ci_common.testing.samples import stored_job

    stored = stored_job([{"use_lambda": wanted}])
    assert StoredJob.from_stored(stored.model_dump_json()) == stored


def test_a_run_holds_the_level_that_its_job_was_accepted_under():
    from iac_ci_common.initial_rows import build_rows
    from iac_ci_common.testing.samples import stored_job

    stored = stored_job([{}]).model_copy(update={"stack_level": 7})
    assert build_rows(stored, max_parallel=1).run.stack_level == 7


def test_every_attempt_writes_the_same():
    assert queued([{}, {}]) == queued([{}, {}])


def test_a_run_that_cannot_be_prepared_is_inserted_all_the_same():
    from iac_ci_common.initial_rows import build_rows
    from iac_ci_common.testing.samples import stored_job

    rows = build_rows(stored_job([{}]), max_parallel=1, preparation_error="no such secret")
    assert (rows.run.status, rows.run.preparation_error) == (RunState.QUEUED, "no such secret")
    assert [event.kind for event in rows.events] == ["accepted", "preparation_failed", "queued"]


def test_a_job_may_ask_for_less_side_by_side_but_not_for_more():
    assert queued([{}], max_parallel=10).run.max_parallel == 10
    from iac_ci_common.initial_rows import build_rows
    from iac_ci_common.testing.samples import stored_job

    assert build_rows(stored_job([{}], max_parallel=3), max_parallel=10).run.max_parallel == 3
    assert build_rows(stored_job([{}], max_parallel=30), max_parallel=10).run.max_parallel == 10


def test_the_group_of_an_order_or_a_job_is_one_of_its_source():
    named = {"concurrency": {"group": "deploy", "queue": "newest", "shared": True}}
    rows = queued([{"order_name": "one", **named}, {"order_name": "two"}])
    found = [(order.group, order.newest_in_group, order.shares_group) for order in rows.orders]
    assert found == [("group:api#deploy", True, True), (None, False, False)]
    assert rows.run.group is None
    whole = queued([{"order_name": "one"}], concurrency={"group": "deploy"})
    assert (whole.run.group, whole.run.newest_in_group, whole.orders[0].group) == ("group:api#deploy", False, None)
