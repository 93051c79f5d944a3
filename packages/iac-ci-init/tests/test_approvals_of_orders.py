"""Answers to orders that wait for an approval: by comments of the people they name, and by signed requests."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import InputProblems, SignatureRefused
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.models.approval import ApprovalAnswer
from iac_ci_common.models.result import Result
from iac_ci_common.ports import Transition
from iac_ci_common.request import Request
from iac_ci_common.signature import HEADER, sign
from iac_ci_common.states import OrderState
from iac_ci_init.approval_intake import ApprovalIntake, is_approval
from iac_ci_init.http import NotAnswered
from iac_ci_vcs.provider import Account, Permission

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import HEAD, NEXT, WRITER, Hosted

BOB, CARL, DORA = Account("7", "bob"), Account("8", "carl"), Account("9", "dora")
CONFIGURATION = """
version: 1
jobs:
  release:
    on: {command: release}
    orders:
      - {name: plan, cmds: [terraform plan]}
      - name: ask
        approval: APPROVAL
        depends_on: [plan]
      - {name: run, cmds: [terraform apply], depends_on: [ask]}
"""
USUAL = '{by: [ann, BOB, "team:acme/platform"], message: "All *good*?", expires: 600}'


class Released(Hosted):
    """A pull request by ann whose job ``release``, started by carl, has an order that waits for an approval."""

    def __init__(self, approval=USUAL, *, waits=True, configuration=CONFIGURATION):
        super().__init__()
        self.configure(configuration.replace("APPROVAL", approval).encode())
        for person in (BOB, CARL, DORA):
            self.host.permissions[person.id] = Permission.WRITE
        self.host.reviewed.members = {("acme/platform", person.id): True for person in (DORA, CARL)}
        self.comment("/iac-ci release", CARL)
        (self.job,) = self.jobs
        self.runs.insert(*build_rows(self.job, max_parallel=10))
        if waits:
            until = self.clock.now().replace(minute=10)
            self.change_order(waiting_for="approval of ann", order_deadline=until)

    def change_order(self, status=None, **fields):
        order = self.order
        if status is not None:
            between = order.model_copy(update={"status": OrderState.DISPATCHING})
            self.runs.apply([Transition(order, between)])
            order, fields = between, fields | {"status": status}
        assert self.runs.apply([Transition(order, order.model_copy(update=fields))]) == ()

    @property
    def order(self):
        return self.runs.find_order(self.job.run_id, "0002")

    @property
    def kept(self):
        key = keys.answer(self.job.run_id, "0002")
        return Result.from_stored(self.objects.get(key)) if self.objects.exists(key) else None

    def says(self, text, author):
        self.comment(text, author)
        return self.answers[-1].replace("\\", "").replace("\u200b", "")


def test_a_person_it_names_approves():
    released = Released()
    assert "ask of run" in released.says("/iac-ci approve ask", BOB)
    kept = released.kept
    assert (kept.status, kept.answer.by, kept.answer.account, kept.answer.commit) == ("succeeded", "bob", "7", HEAD)
    assert kept.reason.startswith("approved by bob at 20")


def test_a_member_of_a_team_approves_as_the_host_knows_it_now():
    released = Released()
    released.host.reviewed.members = {("acme/platform", CARL.id): True}
    assert "dora is not among those it names" in released.says("/iac-ci approve ask", DORA)
    released.host.reviewed.members = {("acme/platform", DORA.id): None}
    assert "does not tell this stack's token whether dora" in released.says("/iac-ci approve ask", DORA)
    assert released.kept is None
    released.host.reviewed.members = {("acme/platform", DORA.id): True}
    released.says("/iac-ci approve ask", DORA)
    assert released.kept.answer.by == "dora"


def test_a_person_rejects():
    released = Released()
    assert "rejected by bob" in released.says("/iac-ci reject ask", BOB)
    assert released.kept.status is OrderState.FAILED


@pytest.mark.parametrize(
    ("text", "author", "said"),
    [
        ("/iac-ci approve ask", WRITER, "ann is the author of the pull request"),
        ("/iac-ci approve ask", CARL, "carl started the run"),
        ("/iac-ci approve run", BOB, "No order run of this pull request waits for an approval"),
        ("/iac-ci approve nothing", BOB, "Waiting: ask"),
        (
            "/iac-ci approve ask 20260101T000000-000000000000",
            BOB,
            "No order ask in run 20260101T000000-000000000000 of this pull request",
        ),
        ("/iac-ci approve ask more", BOB, "needs an order that waits for it"),
        ("/iac-ci reject", BOB, "needs an order that waits for an approval"),
    ],
)
def test_each_refusal_has_its_own_answer(text, author, said):
    released = Released()
    assert said in released.says(text, author)
    assert released.kept is None


def test_the_author_may_reject():
    released = Released()
    assert "rejected by ann" in released.says("/iac-ci reject ask", WRITER)


@pytest.mark.parametrize("person", [WRITER, CARL])
def test_authors_approve_where_the_order_lets_them(person):
    released = Released("{by: [ann, carl], self_approval: true}")
    released.says("/iac-ci approve ask", person)
    assert released.kept.answer.by == person.login


def test_who_started_the_run_does_not_approve_under_another_name():
    gate = Released()
    renamed = Account(CARL.id, "carla")
    assert "carla started the run" in gate.says("/iac-ci approve ask", renamed)
    assert gate.kept is None


def test_another_account_with_the_name_of_who_started_the_run_may_approve():
    gate = Released('{by: ["team:acme/platform"]}')
    assert "approved by carl" in gate.says("/iac-ci approve ask", replace(DORA, login=CARL.login))


def test_it_is_not_answered_before_it_waits():
    released = Released(waits=False)
    assert "does not wait for an approval yet; it waits for plan" in released.says("/iac-ci approve ask", BOB)
    assert released.kept is None


def test_a_comment_from_before_the_run_does_not_answer_it():
    gate = Released()
    gate.host.now = gate.clock.now() - timedelta(seconds=1)
    gate.tell(gate.host.write(7, BOB, "/iac-ci approve ask"))
    assert "was written before its run" in gate.answers[-1]
    assert gate.kept is None


def test_it_is_answered_once():
    released = Released()
    released.says("/iac-ci reject ask", BOB)
    assert "has an answer already: rejected by bob" in released.says("/iac-ci approve ask", DORA)
    released.change_order(OrderState.FAILED, reason="rejected by bob", approval_answer=released.kept.answer)
    assert "has ended already: rejected by bob" in released.says("/iac-ci approve ask", DORA)
    assert released.kept.answer.by == "bob"


def test_an_event_that_comes_again_gets_the_same_answer():
    released = Released()
    first = released.says("/iac-ci approve ask", BOB)
    trigger = released.invoker.triggered[-1]
    released.processor.process(trigger)
    released.change_order(OrderState.SUCCEEDED, reason=released.kept.reason, approval_answer=released.kept.answer)
    released.processor.process(trigger)
    assert released.answers[-1].replace("\\", "").replace("\u200b", "") == first


def test_it_is_not_answered_after_its_time():
    released = Released()
    released.clock.advance(600)
    assert "the approval has expired" in released.says("/iac-ci approve ask", BOB)
    assert released.kept is None


def test_an_older_commit_is_not_approved():
    released = Released()
    released.change(head_sha=NEXT)
    assert "is for an older commit" in released.says("/iac-ci approve ask", BOB)
    assert released.kept is None


def test_a_cancelled_run_is_not_approved():
    released = Released()
    released.runs.request_cancel(released.job.run_id, "cancelled by ann")
    assert "is stopped: cancelled by ann" in released.says("/iac-ci approve ask", BOB)
    assert released.kept is None


def test_an_edited_comment_and_a_reader_approve_nothing():
    released = Released()
    released.comment("/iac-ci approve ask", BOB, edited=True)
    assert "was edited" in released.answers[-1]
    released.host.permissions[BOB.id] = Permission.READ
    assert "may not write" in released.says("/iac-ci approve ask", BOB)
    released.change(is_open=False)
    released.host.permissions[BOB.id] = Permission.WRITE
    assert "the pull request is closed" in released.says("/iac-ci approve ask", BOB)
    assert released.kept is None


def test_a_name_that_is_not_unique_names_nobody():
    released = Released('{by: [bob, "{00000000-0000-0000-0000-000000000009}"]}')
    released.host.kind = "bitbucket"
    assert "bob is not among those it names" in released.says("/iac-ci approve ask", BOB)
    by_id = replace(BOB, id="{00000000-0000-0000-0000-000000000009}")
    assert by_id.id in released.order.approval.by


def test_orders_that_run_again_are_approved_again():
    released = Released()
    released.says("/iac-ci approve ask", BOB)
    released.change_order(OrderState.SUCCEEDED)
    rows = released.runs.read(released.job.run_id)
    for order in rows.orders:
        if order.status is OrderState.QUEUED:
            state = OrderState.SUCCEEDED if order.order_name == "plan" else OrderState.FAILED
            between = order.model_copy(update={"status": OrderState.DISPATCHING})
            released.runs.apply([Transition(order, between)])
            released.runs.apply([Transition(between, between.model_copy(update={"status": state}))])
    run = rows.run
    released.runs.apply([Transition(run, run.model_copy(update={"status": "failed"}))])
    released.comment("/iac-ci rerun-failed", CARL)
    assert len(released.jobs) == 2, released.answers[-1]
    orders = {order.order_name: order for order in released.jobs[-1].job.orders}
    assert list(orders) == ["ask", "run"]
    assert orders["run"].dependencies == ["ask"]


GATED = """
version: 1
jobs:
  release:
    on: {command: release}
    orders:
      - {name: plan, cmds: [terraform plan -out=p], save: [p], plan: {file: p}}
      - name: policy
        cmds: [check]
        restore: [{order: plan}]
        depends_on: [plan]
      - name: ask
        approval: {by: [bob], overrides: [policy]}
        depends_on: [policy]
      - name: run
        cmds: [terraform apply p]
        restore: [{order: plan}]
        depends_on: [plan, ask]
"""


def ended(released, states):
    """Write the ends of orders, of which those not named succeed."""
    for order in released.runs.read(released.job.run_id).orders:
        between = order.model_copy(update={"status": OrderState.DISPATCHING})
        end = states.get(order.order_name, OrderState.SUCCEEDED)
        answer = ANSWER if order.order_name == "ask" and end is OrderState.SUCCEEDED else None
        after = between.model_copy(update={"status": end, "approval_answer": answer})
        assert released.runs.apply([Transition(order, between)]) == released.runs.apply([Transition(between, after)])
    run = released.runs.read(released.job.run_id).run
    released.runs.apply([Transition(run, run.model_copy(update={"status": "failed"}))])


ANSWER = ApprovalAnswer(approved=True, through="comment", by="bob", at=datetime(2026, 1, 1, tzinfo=UTC))
FAILED = OrderState.FAILED


@pytest.mark.parametrize(
    ("states", "names"),
    [
        # A plan that is made again is judged again, and what overrode the old judgement is asked for again.
        ({"run": FAILED}, ["plan", "policy", "ask", "run"]),
        ({"policy": FAILED, "run": FAILED}, ["plan", "policy", "ask", "run"]),
        ({"policy": FAILED, "ask": FAILED, "run": OrderState.CANCELLED}, ["plan", "policy", "ask", "run"]),
    ],
)
def test_a_plan_that_is_made_again_is_judged_again(states, names):
    released = Released(configuration=GATED, waits=False)
    ended(released, states)
    released.comment("/iac-ci rerun-failed", CARL)
    assert len(released.jobs) == 2, released.answers[-1]
    orders = {order.order_name: order for order in released.jobs[-1].job.orders}
    assert list(orders) == names
    assert orders["ask"].approval.overrides == ["policy"]
    assert "ask" in orders["run"].dependencies
    assert "policy" in orders["ask"].dependencies


def test_what_was_overridden_does_not_run_again():
    released = Released(configuration=GATED, waits=False)
    ended(released, {"policy": FAILED})
    assert "Nothing was run again: all orders of" in released.says("/iac-ci rerun-failed", CARL)
    assert len(released.jobs) == 1


class Asked:
    """A run that was started by an event, whose order a signed request may answer."""

    def __init__(self, approval="{by: [bob], api: true}", **fields):
        self.released = Released(approval, **fields)
        released = self.released
        self.intake = ApprovalIntake(released.clock, released.runs, released.objects, released.secrets, [LOCATION])

    def send(self, secret="webhook secret", **fields):
        wanted = {"run_id": self.released.job.run_id, "order": "ask", "answer": "approve", "commit_hash": HEAD}
        body = json.dumps({"approval": wanted | fields}).encode()
        self.last = Request(body, {HEADER.lower(): sign(secret, body, self.released.clock.now())})
        assert is_approval(self.last)
        return json.loads(self.intake.answer(self.last))


LOCATION = "ssm:/iac-ci/iac-ci/webhook-secret-acme"


def test_a_signed_request_approves_and_names_no_person():
    asked = Asked()
    said = asked.send()
    assert (said["status"], said["order_num"]) == ("succeeded", "0002")
    assert said["reason"].startswith("approved by a signed request (no person is known)")
    assert asked.released.kept.answer.by is None
    assert json.loads(asked.intake.answer(asked.last)) == said


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"order": "nothing"}, "has no order nothing"),
        ({"order": "plan"}, "plan runs commands and waits for no approval"),
        ({"commit_hash": NEXT}, f"is for commit {HEAD}"),
        ({"commit_hash": None}, f"is for commit {HEAD}"),
        ({"run_id": "20260101T000000-000000000000"}, "there is no run"),
    ],
)
def test_a_signed_request_is_refused_with_its_reason(fields, why):
    asked = Asked()
    with pytest.raises(NotAnswered, match=why):
        asked.send(**fields)
    assert asked.released.kept is None


def test_a_name_comes_before_the_number_of_another_order():
    asked = Asked()
    run = asked.released.runs.find_order(asked.released.job.run_id, "0003")
    renamed = run.model_copy(update={"order_name": "0002"})
    assert asked.released.runs.apply([Transition(run, renamed)]) == ()
    with pytest.raises(NotAnswered, match="0002 runs commands and waits for no approval"):
        asked.send(order="0002")
    assert asked.released.kept is None


def test_a_signed_request_needs_an_order_that_allows_it():
    asked = Asked(USUAL)
    with pytest.raises(NotAnswered, match="in a comment on the pull request only"):
        asked.send()
    early = Asked(waits=False)
    with pytest.raises(NotAnswered, match="does not wait for an approval yet"):
        early.send()


def test_a_second_signed_request_changes_nothing():
    asked = Asked()
    asked.send(answer="reject")
    with pytest.raises(NotAnswered, match="has an answer already: rejected by a signed request"):
        asked.send()


def test_a_request_that_is_not_signed_or_not_valid_is_refused():
    asked = Asked()
    with pytest.raises(SignatureRefused):
        asked.send("another secret")
    with pytest.raises(InputProblems) as caught:
        asked.send(answer="maybe", odd=1)
    assert {problem.where for problem in caught.value.problems} == {"approval.answer", "approval.odd"}
    assert asked.released.kept is None
