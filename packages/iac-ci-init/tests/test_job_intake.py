from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iac_ci_common import keys
from iac_ci_common.accepted_jobs import MOST, AcceptedJobs
from iac_ci_common.errors import Throttled
from iac_ci_common.grants import Grants, part_of
from iac_ci_common.locations import parse_location
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.signature import sign

sys.path.insert(0, str(Path(__file__).parent))
from job_requests import JOB, Asked

DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def order(**fields):
    return {**JOB, "orders": [{"cmds": ["true"], "timeout": 60, **fields}]}


def orders(*several, **fields):
    return {**JOB, "orders": [{"cmds": ["true"], "timeout": 60, **one} for one in several], **fields}


def job(**fields):
    return {**JOB, **fields}


GIT = {"git_repo": "https://example.com/a/b", "commit_hash": "a" * 40}

BAD = {
    "not JSON": (b"{", "body"),
    "not UTF-8": (b"\xff\xfe", "body"),
    "no object": (b"[]", "body"),
    "nested too deeply": (DEEP, "body"),
    "not a number": (b'{"job_timeout": NaN}', "body"),
    "a field twice": (b'{"username": "a", "username": "b"}', "body"),
    "unknown field": (job(comment="x"), "comment"),
    "unknown field of an order": (order(comand="x"), "orders[0].comand"),
    "wrong type": (job(job_timeout="60"), "job_timeout"),
    "commands as one text": (order(cmds="terraform apply"), "orders[0].cmds"),
    "no orders": (job(orders=[]), "orders"),
    "orders missing": ({"username": "tests"}, "orders"),
    "too many orders": (orders(*[{}] * 1001), "orders"),
    "no commands": (order(cmds=[]), "orders[0].cmds"),
    "an empty command": (order(cmds=[""]), "orders[0].cmds[0]"),
    "a blank command": (order(cmds=[" "]), "orders[0].cmds[0]"),
    "a command too long": (order(cmds=["x" * 20_000]), "orders[0].cmds[0]"),
    "no time-out": ({**JOB, "orders": [{"cmds": ["true"]}]}, "orders[0].timeout"),
    "time-out zero": (order(timeout=0), "orders[0].timeout"),
    "time-out negative": (order(timeout=-1), "orders[0].timeout"),
    "time-out beyond Lambda": (order(timeout=541, use_lambda=True), "orders[0].timeout"),
    "time-out beyond CodeBuild": (orders({"timeout": 28_801}, job_timeout=40_000), "orders[0].timeout"),
    "two names alike": (orders({"order_name": "a"}, {"order_name": "a"}), "orders[0].order_name"),
    "two queue ids alike": (orders({"queue_id": "a"}, {"queue_id": "a"}), "orders[0].queue_id"),
    "a queue id that is another's name": (orders({"order_name": "a"}, {"queue_id": "a"}), "orders[1].queue_id"),
    "unknown dependency": (order(dependencies=["nobody"]), "orders[0].dependencies[0]"),
    "dependency on itself": (order(order_name="a", dependencies=["a"]), "orders[0].dependencies[0]"),
    "a short URL life": (job(presign_expiry=59), "presign_expiry"),
    "a commit without a repository": (order(commit_hash="a" * 40), "orders[0].commit_hash"),
    "a repository without a commit": (order(git_repo="https://example.com/a/b"), "orders[0].commit_hash"),
    "a short commit": (order(git_repo="https://example.com/a/b", commit_hash="abc"), "orders[0].commit_hash"),
    "a folder of nothing": (order(git_folder="a"), "orders[0].git_folder"),
    "a folder outside": (order(**GIT, git_folder="../a"), "orders[0].git_folder"),
    "two sources": (order(**GIT, s3_location="s3://bucket/key"), "orders[0].s3_location"),
    "half an S3 location": (order(s3_location="s3://bucket"), "orders[0].s3_location"),
    "a hostile repository": (order(git_repo="ext::sh", commit_hash="a" * 40), "orders[0].git_repo"),
    "a local repository": (order(git_repo="file:///etc", commit_hash="a" * 40), "orders[0].git_repo"),
    "no variable name": (order(env_vars={"A-B": "x"}), "orders[0].env_vars.A-B"),
    "the loader's variable": (order(env_vars={"LD_PRELOAD": "x"}), "orders[0].env_vars.LD_PRELOAD"),
    "the engine's variable": (order(env_vars={"IAC_CI_WORK": "x"}), "orders[0].env_vars.IAC_CI_WORK"),
    "a variable set twice": (
        order(env_vars={"A": "x"}, secrets={"A": "ssm:/iac-ci/jobs/a"}),
        "orders[0].secrets.A",
    ),
    "an id with a slash": (order(order_name="a/b"), "orders[0].order_name"),
    "an id with dots": (order(queue_id=".."), "orders[0].queue_id"),
    "an id with a control character": (job(username="a\nb"), "username"),
    "an id too long": (job(flow_label="a" * 129), "flow_label"),
    "an unknown scheme": (order(secrets={"A": "vault:/a"}), "orders[0].secrets.A"),
    "a secret outside the prefix": (order(secrets={"A": "ssm:/prod/a"}), "orders[0].secrets.A"),
    "a token that the last comment could not use": (
        job(**GIT, git_token_location="ssm:/iac-ci/jobs/token", pr_number=1),
        "git_token_location",
    ),
    "the target named twice": (order(use_lambda=True, execution_target="lambda"), "orders[0]"),
    "a run shorter than its order": (job(job_timeout=59), "job_timeout"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "where"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named_and_leaves_nothing(body, where):
    asked = Asked()
    status, said = asked.post(body, encoded=isinstance(body, bytes))
    assert status == 400
    assert where in [problem["where"] for problem in said["problems"]], said
    assert asked.untouched


def test_a_cycle_is_shown():
    asked = Asked()
    body = orders(
        {"order_name": "a", "dependencies": ["c"]},
        {"order_name": "b", "dependencies": ["a"]},
        {"order_name": "c", "dependencies": ["b"]},
    )
    _, said = asked.post(body)
    assert "a → c → b → a" in said["problems"][0]["what"]


def test_a_cycle_of_a_thousand_needs_no_recursion():
    body = orders(*({"dependencies": [f"order-{(number + 1) % 1000 + 1:04d}"]} for number in range(1000)))
    status, said = Asked().post(body)
    assert status == 400
    assert "dependency cycle" in said["problems"][-1]["what"]


def test_every_problem_is_told_at_once():
    body = orders(
        {"order_name": "a", "timeout": 541, "use_lambda": True},
        {"order_name": "a", "dependencies": ["x"]},
        presign_expiry=1,
    )
    _, said = Asked().post(body)
    found = {problem["where"] for problem in said["problems"]}
    assert found >= {"orders[0].timeout", "orders[0].order_name", "orders[1].dependencies[0]", "presign_expiry"}


def test_a_value_in_a_wrong_place_is_not_repeated():
    _, said = Asked().post(order(timeout="planted-secret"))
    assert "planted" not in json.dumps(said)


def test_too_large_a_body_is_refused():
    asked = Asked()
    status, _ = asked.post(b" " * 3_000_001)
    assert status == 413
    assert asked.untouched


@pytest.mark.parametrize("signature", ["", "nonsense", "t=1,v1=" + "0" * 64, "sha1=abc"])
def test_a_wrong_signature_gets_401_before_anything_is_read(signature):
    asked = Asked()
    assert asked.post(b"not even JSON", signature=signature)[0] == 401
    assert asked.untouched


def test_a_stale_signature_gets_401():
    asked = Asked()
    body = json.dumps(JOB).encode()
    stale = sign("secret", body, asked.clock.now() - timedelta(seconds=301))
    assert asked.post(body, signature=stale)[0] == 401
    assert asked.untouched


@pytest.mark.parametrize("secret", [None, ""])
def test_an_unset_secret_refuses_everything(secret):
    assert Asked(secret=secret).post(JOB)[0] == 401


def test_an_accepted_job_is_stored_watched_and_prepared_in_this_order():
    asked = Asked()
    status, said = asked.post(JOB)
    assert status == 202
    stored = StoredJob.model_validate_json(asked.objects.get(keys.job(said["run_id"])))
    assert (stored.trace_id, stored.flow_id) == (said["trace_id"], said["flow_id"])
    assert said["done_endpt"] == f"s3://done/{said['run_id']}/done"
    assert said["flow_id"] == f"tests:{said['trace_id']}-flow"
    assert asked.watchdogs.started == [(said["run_id"], 1)]
    assert asked.invoker.started == [said["run_id"]]
    started = [call for call in asked.calls if call.endswith((".start", ".prepare"))]
    assert started == ["watchdogs.start", "invoker.prepare"]


@pytest.mark.parametrize("header", ["x-iac-ci-signature", "X-IAC-CI-SIGNATURE"])
def test_bodies_in_base64_and_headers_in_any_case_are_read(header):
    assert Asked().post(JOB, encoded=True, header=header)[0] == 202


def test_equal_jobs_signed_in_one_second_without_a_key_are_one_run_and_none_is_refused():
    """Also a recorded request that is sent again starts nothing: it gets the first answer."""
    asked = Asked()
    first = asked.post(JOB)
    assert first[0] == 202
    asked.begin_preparation(first[1]["run_id"])
    assert asked.post(JOB) == first
    assert len(asked.objects.list("tmp/jobs/")) == 1
    asked.clock.advance(1)
    assert asked.post(JOB)[1]["run_id"] != first[1]["run_id"]
    assert len(asked.invoker.started) == 2


def test_a_request_without_a_key_that_died_goes_on_under_the_same_run():
    failing = [Throttled("slow down")]

    def before(call):
        if call == "watchdogs.start" and failing:
            raise failing.pop()

    asked = Asked(before=before)
    assert asked.post(JOB)[0] == 503
    assert asked.post(JOB)[0] == 202
    assert len(asked.objects.list("tmp/jobs/")) == len(asked.invoker.started) == 1


def test_a_recorded_request_does_not_start_again_without_its_key():
    asked = Asked()
    first = asked.post(JOB, key="one")
    assert asked.post(JOB) == first
    assert len(asked.objects.list("tmp/jobs/")) == 1


def test_a_stolen_request_does_not_start_under_a_new_key():
    asked = Asked()
    assert asked.post(JOB, key="one")[0] == 202
    assert asked.post(JOB, key="two")[0] == 401


def test_the_same_key_gets_the_first_answer_again():
    asked = Asked()
    first = asked.post(JOB, key="one")
    asked.begin_preparation(first[1]["run_id"])
    asked.clock.advance(60)
    assert asked.post(JOB, key="one") == first
    assert len(asked.invoker.started) == 1
    assert asked.post(job(flow_label="other"), key="one")[0] == 409


def test_a_repeated_request_invokes_a_preparation_that_has_not_begun():
    asked = Asked()
    first = asked.post(JOB, key="one")
    assert asked.post(JOB, key="one") == first
    assert asked.invoker.started == 2 * [first[1]["run_id"]]
    assert len(asked.objects.list("tmp/jobs/")) == 1


def test_a_request_that_died_before_its_answer_goes_on_under_the_same_run():
    failing = [Throttled("slow down")]

    def before(call):
        if call == "watchdogs.start" and failing:
            raise failing.pop()

    asked = Asked(before=before)
    assert asked.post(JOB, key="one")[0] == 503
    (stored,) = asked.objects.list("tmp/jobs/")
    asked.clock.advance(10)
    status, said = asked.post(JOB, key="one")
    assert status == 202
    assert keys.job(said["run_id"]) == stored
    assert asked.invoker.started == [said["run_id"]]


def test_a_malformed_key_is_a_problem():
    assert Asked().post(JOB, key="a\nb")[0] == 400


def test_the_allow_list_confines_a_source():
    asked = Asked(secret_allow_list={"api": ["team-a/*"]})
    assert asked.post(order(secrets={"A": "ssm:/iac-ci/jobs/team-a/x"}))[0] == 202
    assert asked.post(order(secrets={"A": "ssm:/iac-ci/jobs/team-b/x"}))[0] == 400


ROLE = "arn:aws:iam::210987654321:role/deploy"
SOURCES = "ssm:/iac-ci/iac-ci/sources"


def with_sources(*sources, secrets=None, roles=None):
    """Return an intake on a stack with these lists, which were divided for these sources."""
    asked = Asked(sources=SOURCES)
    part = Grants(secrets=secrets or {}, roles=roles or {}).model_dump_json()
    for source in ("api", *sources):
        asked.secrets.values[parse_location(f"{SOURCES}/{part_of(source)}")] = part
    return asked


def test_nothing_is_granted_by_default_but_the_secrets_of_the_sources_own_folder():
    asked = with_sources()
    assert asked.post(order(secrets={"A": "ssm:/iac-ci/jobs/sources/api/x"}))[0] == 202
    status, said = asked.post(order(secrets={"A": "ssm:/iac-ci/jobs/x"}, assume_role=ROLE))
    assert (status, sorted(whole(said))) == (400, ["orders[0].assume_role", "orders[0].secrets.A"])
    assert "/iac-ci/jobs/sources/api/" in whole(said)["orders[0].secrets.A"]


def test_another_sources_secret_is_refused():
    asked = with_sources(secrets={"github.com/acme/infra": ["infra/*"], "*": ["*"]})
    for name in ("github.com_2Facme_2Finfra/x", "apis/x", "x"):
        assert asked.post(order(secrets={"A": f"ssm:/iac-ci/jobs/sources/{name}"}))[0] == 400
    assert asked.post(order(secrets={"A": "ssm:/iac-ci/jobs/infra/x"}))[0] == 202


def test_another_sources_role_is_refused():
    asked = with_sources(roles={"github.com/acme/infra": [ROLE]})
    status, said = asked.post(order(assume_role=ROLE))
    assert status == 400
    assert whole(said) == {"orders[0].assume_role": "is not on this stack's list of roles that jobs from api may use"}
    assert with_sources(roles={"api": [ROLE]}).post(order(assume_role=ROLE))[0] == 202
    assert with_sources(roles={"*": ["arn:aws:iam::210987654321:role/*"]}).post(order(assume_role=ROLE))[0] == 202


def test_a_sources_own_entry_replaces_the_one_for_all():
    asked = with_sources(secrets={"*": ["shared/*"], "api": ["team-a/*"]}, roles={"*": [ROLE], "api": []})
    assert asked.post(order(secrets={"A": "ssm:/iac-ci/jobs/team-a/x"}))[0] == 202
    assert asked.post(order(secrets={"A": "ssm:/iac-ci/jobs/shared/x"}))[0] == 400
    assert asked.post(order(assume_role=ROLE))[0] == 400


def test_a_wide_pattern_of_secrets_or_roles_does_not_cross_a_slash():
    asked = with_sources(secrets={"api": ["team-a/*"]}, roles={"api": ["arn:aws:iam::210987654321:role/*"]})
    for allowed, secret, role in (
        (202, "team-a/x", ROLE),
        (400, "team-a/admin/x", ROLE.replace("role/", "role/admin/")),
    ):
        assert asked.post(order(secrets={"A": f"ssm:/iac-ci/jobs/{secret}"}))[0] == allowed
        assert asked.post(order(assume_role=role))[0] == allowed


def test_without_the_lists_no_job_is_accepted():
    asked = Asked(sources=SOURCES)
    assert asked.post(JOB)[0] >= 500
    assert asked.untouched


def test_older_names_still_work():
    body = orders(
        {"use_lambda": True, "queue_id": "q1", "ssm_paths": ["/iac-ci/jobs/a", "aws:::ssm:/iac-ci/jobs/b"]},
        {
            "use_lambda": False,
            "dependencies": ["q1"],
            "secret_manager_paths": ["iac-ci/jobs/c", "aws:::secretd:iac-ci/jobs/d"],
        },
        **GIT,
        pr_number=3,
        issue_number=4,
        pr_comment_search_tag="tag",
        presign_expiry=3600,
    )
    assert Asked().post(body)[0] == 202


def whole(said):
    return {problem["where"]: problem["what"] for problem in said["problems"]}


def test_problems_of_fields_hide_none_of_the_whole():
    body = orders(
        {"order_name": "a", "cmds": "text", "dependencies": ["b", 5], "comand": 1},
        {"order_name": "b", "timeout": "60", "dependencies": ["a"], "commit_hash": "a" * 40},
        {"order_name": "b", "env_vars": {"LD_PRELOAD": "x"}, "use_lambda": True, "execution_target": "lambda"},
        {"git_repo": 1, "secrets": {"A": "vault:/a", "B": "ssm:/prod/b"}},
        username="a/b",
        job_timeout=-1,
        presign_expiry=1,
    )
    body["orders"].append(7)
    _, said = Asked().post(body, key="a b")
    assert set(whole(said)) == {
        "Idempotency-Key", "username", "job_timeout", "presign_expiry", "orders", "orders[4]",
        "orders[0].cmds", "orders[0].dependencies[1]", "orders[0].comand",
        "orders[1].timeout", "orders[1].commit_hash", "orders[1].order_name", "orders[2].order_name",
        "orders[2].env_vars.LD_PRELOAD", "orders[2]",
        "orders[3].git_repo", "orders[3].commit_hash", "orders[3].secrets.A", "orders[3].secrets.B",
    }  # fmt: skip
    assert "a → b → a" in whole(said)["orders"]


@pytest.mark.parametrize(
    ("wrong", "only"),
    [
        ({"git_repo": 1, "commit_hash": "a" * 40}, "orders[0].git_repo"),
        ({**GIT, "commit_hash": "short"}, "orders[0].commit_hash"),
        ({"s3_location": "nowhere", "git_folder": "a"}, "orders[0].s3_location"),
        ({"git_folder": 1}, "orders[0].git_folder"),
        ({"timeout": 1e9}, "orders[0].timeout"),
        ({"ssm_paths": ["?"]}, "orders[0].ssm_paths[0]"),
        ({"secret_manager_paths": ["?"]}, "orders[0].secret_manager_paths[0]"),
        ({"secrets": {"A B": "ssm:/prod/a"}}, "orders[0].secrets.A B"),
        ({"dependencies": "order-0002"}, "orders[0].dependencies"),
        ({"sops_key": "age1"}, "orders[0].sops_key"),
        ({"must_succeed": "no"}, "orders[0].must_succeed"),
    ],
)
def test_a_stand_in_makes_no_problems_of_its_own(wrong, only):
    _, said = Asked().post(order(**wrong))
    assert set(whole(said)) == {only}


@pytest.mark.parametrize("named", [{"order_name": "a b"}, {"queue_id": 5}, {"ordername": "a"}])
def test_who_depends_on_a_misnamed_order_is_not_blamed(named):
    _, said = Asked().post(orders(named, {"dependencies": ["a"]}))
    assert not [where for where in whole(said) if "dependencies" in where]


def test_each_circle_is_shown():
    depends = [1, 0, 3, 2]
    _, said = Asked().post(orders(*({"dependencies": [f"order-{number + 1:04d}"]} for number in depends)))
    assert [problem["what"].count("→") for problem in said["problems"]] == [2, 2]


def test_more_than_a_thousand_orders_are_checked_as_far_as_they_count():
    _, said = Asked().post(orders(*[{"order_name": "a", "timeout": 60}] * 2, *[{}] * 999))
    assert {"orders", "orders[0].order_name", "orders[1].order_name"} == set(whole(said))


HUGE = {
    "unknown fields": b'{"username":"a",' + b",".join(b'"%d":1' % number for number in range(250_000)) + b"}",
    "wrong orders": b'{"username":"a","orders":[' + b"1," * 1_400_000 + b"1]}",
    "a number too long": b'{"username":"a","job_timeout":' + b"1" * 5000 + b"}",
}


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE.keys())
def test_a_body_full_of_problems_gets_a_short_answer(body):
    asked = Asked()
    status, said = asked.post(body, encoded=True)
    assert status == 400
    assert len(json.dumps(said)) < 50_000
    assert asked.untouched


def test_a_secret_in_the_place_of_its_location_is_not_repeated():
    _, said = Asked().post(order(secrets={"A": "planted-secret"}, ssm_paths=["planted?"], sops_key="planted"))
    assert len(said["problems"]) == 3
    assert "planted" not in json.dumps(said)


def test_once_the_watchdog_runs_the_job_is_accepted_although_its_preparation_cannot_be_invoked():
    def before(call):
        if call == "invoker.prepare" and asked.failing:
            asked.failing.pop()
            raise Throttled("slow down")

    asked = Asked(before=before)
    asked.failing = [True]
    status, said = asked.post(JOB, key="one")
    assert (status, asked.watchdogs.started) == (202, [(said["run_id"], 1)])
    asked.clock.advance(1)
    assert asked.post(JOB, key="one") == (202, said)


@pytest.mark.parametrize("failing", ["deliveries.remember", "objects.create", "watchdogs.start"])
def test_before_the_watchdog_runs_nothing_is_accepted(failing):
    def before(call):
        if call == failing:
            raise Throttled("slow down")

    status, said = Asked(before=before).post(JOB)
    assert status == 503
    assert said["retry"] is True


def test_a_first_leg_that_died_anywhere_is_taken_up_under_the_same_key():
    class Crash(BaseException):
        pass

    unharmed = Asked()
    unharmed.post(JOB, key="one")
    for number in range(len(unharmed.calls)):
        left = [number]

        def before(call, left=left):
            left[0] -= 1
            if left[0] == -1:
                raise Crash(call)

        asked = Asked(before=before)
        with pytest.raises(Crash):
            asked.post(JOB, key="one")
        asked.clock.advance(1)
        status, said = asked.post(JOB, key="one")
        assert status == 202
        assert asked.objects.list("tmp/jobs/") == [keys.job(said["run_id"])]
        assert asked.watchdogs.started == [(said["run_id"], 1)]
        assert set(asked.invoker.started) == {said["run_id"]}


def test_the_first_secret_that_is_set_counts_within_a_minute():
    asked = Asked(secret=None)
    assert asked.post(JOB)[0] == 401
    asked.secrets.values[parse_location("ssm:/webhook")] = "secret"
    asked.clock.advance(61)
    assert asked.post(JOB)[0] == 202


def test_several_secrets_are_accepted_while_one_replaces_another():
    asked = Asked(webhook_secrets=["ssm:/missing", "ssm:/webhook"])
    assert asked.post(JOB)[0] == 202


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)
NAMES = st.sampled_from([*JOB, "job_timeout", "git_repo", "commit_hash", "presign_expiry", "pr_number"])
ORDER_NAMES = st.sampled_from(
    ["cmds", "timeout", "env_vars", "secrets", "dependencies", "git_folder", "use_lambda", "ssm_paths"]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=4), st.dictionaries(ORDER_NAMES, JSON, max_size=4))
def test_no_json_gets_anything_but_an_answer(fields, order_fields):
    body = {**JOB, **fields}
    if "orders" not in fields:
        body["orders"] = [{**JOB["orders"][0], **order_fields}]
    status, _ = Asked().post(body)
    assert status in {202, 400}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_get_anything_but_an_answer(body):
    assert Asked().post(body, encoded=True)[0] == 400


def test_a_job_is_remembered_as_it_is_stored_and_taken_once():
    asked = Asked()
    run_id = asked.post(JOB)[1]["run_id"]
    assert asked.accepted.take(run_id) == asked.objects.get(keys.job(run_id))
    assert asked.accepted.take(run_id) is None


def test_a_job_that_was_stored_before_is_not_remembered():
    """Its first request may have come to another process, and the stored job has other identifiers than this one."""
    asked = Asked()
    run_id = asked.post(JOB)[1]["run_id"]
    asked.accepted.take(run_id)
    assert asked.post(JOB)[0] == 202
    assert asked.accepted.take(run_id) is None


def test_the_oldest_jobs_are_forgotten():
    accepted = AcceptedJobs()
    for number in range(MOST + 1):
        accepted.keep(f"run {number}", b"job")
    assert accepted.take("run 0") is None
    assert accepted.take(f"run {MOST}") == b"job"
