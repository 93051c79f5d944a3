from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common import ids, keys
from iac_ci_common.environment import check_environment_name
from iac_ci_common.locations import Location, SecretStore, parse_location

RUN = "20260101T000000-0123456789ab"
HOSTILE = ["", ".", "..", "a/b", "a\\b", "a\n", "\x00", "a b", "ü", "-a", "a" * 129, "$(touch x)", "a;b"]


def test_run_ids_are_sortable_by_time_and_never_the_same():
    early = ids.new_run_id(datetime(2026, 1, 1, tzinfo=UTC))
    late = ids.new_run_id(datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC))
    assert ids.check_run_id(early) < ids.check_run_id(late)
    assert ids.new_run_id(datetime(2026, 1, 1, tzinfo=UTC)) != early
    assert early < ids.last_in_second(early) < late


@pytest.mark.parametrize("value", [*HOSTILE, RUN + "\n", RUN.upper(), RUN[:-1], RUN + "/../x"])
def test_hostile_run_ids_are_refused(value):
    with pytest.raises(ValueError, match="run id"):
        ids.check_run_id(value)


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_names_are_refused(value):
    with pytest.raises(ValueError, match="name"):
        ids.check_name(value)


@given(st.text())
def test_a_name_that_is_accepted_is_safe_in_a_key(value):
    try:
        ids.check_name(value)
    except ValueError:
        return
    assert 1 <= len(value) <= 128
    assert all(character.isascii() and (character.isalnum() or character in "_-") for character in value)


def test_a_ledger_of_any_branch_has_a_key_that_fits_and_none_is_anothers():
    short = keys.branch_ledger("github.com/acme/infra", "main")
    assert short == "branch:github.com/acme/infra#main"
    # A pattern of a policy begins with the text before the branch.
    long = [keys.branch_ledger("github.com/acme/infra", character * 1024) for character in ("\U0001f600", "\U0001f601")]
    assert all(key.startswith("branch:github.com/acme/infra#") and len(key.encode()) <= 2048 for key in long)
    assert long[0] != long[1]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("/" + "a" * 1010, None),
        ("/" + "a" * 1011, "1011 characters"),
        ("/a" * 15, None),
        ("/a" * 16, "15 levels"),
    ],
)
def test_a_parameter_that_cannot_exist_is_refused(name, problem):
    if problem is None:
        assert parse_location(f"ssm:{name}").name == name
    else:
        with pytest.raises(ValueError, match=problem):
            parse_location(f"ssm:{name}")


def test_flow_ids_are_built_of_checked_parts():
    assert ids.flow_id("me", "0" * 16, "plan") == "me:0000000000000000-plan"
    with pytest.raises(ValueError, match="username"):
        ids.flow_id("me:you", "0" * 16, "plan")


def test_order_numbers_count_from_one_and_end_at_a_thousand():
    assert ids.order_num(0) == "0001"
    assert ids.order_num(999) == "1000"
    with pytest.raises(ValueError, match="not between"):
        ids.order_num(1000)
    with pytest.raises(ValueError, match="above"):
        ids.check_order_num("1001")


def test_keys_are_those_of_the_contract():
    assert keys.job(RUN) == f"tmp/jobs/{RUN}/job.json"
    assert keys.code("a" * 64) == f"tmp/code/{'a' * 64}.zip"
    assert keys.package(RUN, "0001") == f"tmp/exec/{RUN}/0001/exec.zip"
    assert keys.claim(RUN, "0001") == f"tmp/callbacks/runs/{RUN}/0001/claim.json"
    assert keys.result(RUN, "0001") == f"tmp/callbacks/runs/{RUN}/0001/result.json"
    assert keys.trigger(RUN) == f"tmp/callbacks/runs/{RUN}/0000/result.json"
    assert keys.log(RUN, "0001") == f"tmp/logs/{RUN}/0001.log"
    assert keys.done(RUN) == f"{RUN}/done"
    assert keys.run_lock(RUN) == f"lock:{RUN}"
    assert len(keys.execution_name(RUN, "0001")) <= 80


def test_a_result_key_is_read_back_also_url_encoded():
    key = keys.result(RUN, "0042")
    assert keys.parse_result(key) == keys.ResultKey(RUN, "0042")
    assert keys.parse_result(key.replace("-", "%2D").replace("/", "%2F"), url_encoded=True) == keys.ResultKey(
        RUN, "0042"
    )


@given(st.text() | st.text().map(lambda text: f"{keys.CALLBACK_PREFIX}{text}/result.json"))
def test_any_other_key_is_no_result(key):
    parsed = keys.parse_result(key)
    assert parsed is None or keys.result(*parsed) == key


def test_a_claim_is_no_result():
    assert keys.parse_result(keys.claim(RUN, "0001")) is None


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("ssm:/a/b", Location(SecretStore.SSM, "/a/b")),
        ("aws:::ssm:/a/b", Location(SecretStore.SSM, "/a/b")),
        ("secretsmanager:a/b#key", Location(SecretStore.SECRETS_MANAGER, "a/b", "key")),
        ("aws:::secretd:a/b", Location(SecretStore.SECRETS_MANAGER, "a/b")),
    ],
)
def test_locations_are_read(text, location):
    assert parse_location(text) == location
    assert parse_location(str(location)) == location


@pytest.mark.parametrize(
    "text", ["", "/a", "vault:/a", "ssm:", "ssm:/a//b", "ssm:/a/../b", "secretsmanager:a#", "ssm:/a\n"]
)
def test_locations_in_no_known_form_are_refused(text):
    with pytest.raises(ValueError, match=r"scheme|name|key"):
        parse_location(text)


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "BASH_ENV",
        "IAC_CI_WORK",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "1A",
        "A-B",
        "A B",
        "A\n",
        "",
    ],
)
def test_variables_of_the_engine_the_loader_and_no_names_are_refused(name):
    with pytest.raises(ValueError, match=r"name|belongs"):
        check_environment_name(name)


@pytest.mark.parametrize("name", ["PATH", "AWS_PROFILE", "TF_VAR_region", "_x"])
def test_other_variables_may_be_set(name):
    assert check_environment_name(name) == name


def test_the_first_attempt_has_the_keys_of_ever_and_each_other_one_its_own():
    functions = (keys.claim, keys.result, keys.log, keys.outputs, keys.files, keys.kept, keys.live_parts)
    assert all(key(RUN, "0001", 1) == key(RUN, "0001") for key in functions)
    assert keys.claim(RUN, "0001", 2) == f"tmp/callbacks/runs/{RUN}/0001/2/claim.json"
    assert keys.log(RUN, "0001", 2) == f"tmp/logs/{RUN}/0001/2.log"
    every = [key(RUN, num, attempt) for key in functions for num in ("0001", "0002") for attempt in range(1, 11)]
    assert len(every) == len(set(every))
    with pytest.raises(ValueError, match="the first is 1"):
        keys.claim(RUN, "0001", 0)


@pytest.mark.parametrize("attempt", [1, 2, 9, 10])
def test_keys_of_results_and_logs_name_their_attempt(attempt):
    assert keys.parse_result(keys.result(RUN, "0001", attempt)) == (RUN, "0001", attempt)
    assert keys.parse_log(RUN, keys.log(RUN, "0001", attempt)) == ("0001", attempt)


@pytest.mark.parametrize("place", ["0001/1", "0001/0", "0001/02", "0001/x", "0001/2/3", "0001/", "01/2"])
def test_no_other_key_is_that_of_an_attempt(place):
    assert keys.parse_result(f"tmp/callbacks/runs/{RUN}/{place}/result.json") is None
    assert keys.parse_log(RUN, f"tmp/logs/{RUN}/{place}.log") is None
