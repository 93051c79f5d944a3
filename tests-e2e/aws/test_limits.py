"""The largest legal input of every variable and every field of a job fits into AWS; what is larger is refused."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from terraform.recording import record
from terraform.stage import SOURCE, Stage, TerraformFailed

from aws import largest_job, largest_stack, lifecycle, table
from aws.limits import LIMITS
from iac_ci_common import keys
from iac_ci_common.errors import InputProblems
from iac_ci_common.grants import Grant
from iac_ci_common.job_validation.check import check_job
from iac_ci_common.job_validation.rules import Rules
from iac_ci_common.models.job import Job, Order
from iac_ci_common.testing.samples import RUN_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL = {"cmds": ["true"], "timeout": 60}
EXCLUSIVE = {"use_lambda", "s3_location", "approval"}
"""Fields of an order that exclude others of its fields; the largest of each is in ``TOO_LARGE`` less one."""


def too_large(measures: Any) -> dict[str, str]:
    return {f"{found.limit}: {found.what}": f"{found.size} of {found.number}" for found in measures if not found.fits}


def test_every_number_has_a_source_and_a_date() -> None:
    assert len(LIMITS) > 40
    assert [
        name for name, limit in LIMITS.items() if not (limit.source and limit.thing and limit.read.year >= 2026)
    ] == []


def test_what_the_engine_makes_of_the_largest_job_fits() -> None:
    assert too_large(largest_job.measures()) == {}


def test_the_largest_stack_fits(largest_resources: list[dict[str, Any]]) -> None:
    found = [*largest_stack.measures(largest_resources)]
    assert too_large(found) == {}
    assert list(table.lines(found))[-1] == f"{len(found)} measured, 0 too large"


@pytest.mark.full
def test_what_does_not_fit_into_the_environment_of_a_function_is_refused(largest_stage: Stage, tmp_path: Any) -> None:
    """Each variable is within its own limit."""
    stage = largest_stage.copy(tmp_path / "deploy")
    stage.keep_state_here()
    shorter = {"secret_allow_list": {"api": ["s" * 900]}, "role_allow_list": {}}
    (stage.folder / "test.auto.tfvars.json").write_text(json.dumps(largest_stack.VARIABLES | shorter), "utf-8")
    resources = stage.plan()["planned_values"]["root_module"]["resources"]
    (init,) = [entry for entry in resources if entry["address"] == 'aws_lambda_function.function["init-job"]']
    assert "IAC_CI_SECRET_ALLOW_LIST" not in init["values"]["environment"][0]["variables"]
    # Each quotation mark takes two bytes there.
    longer = {"code_hosts": {f"{number}.a": {"kind": "gitlab"} for number in range(22)}}
    (stage.folder / "test.auto.tfvars.json").write_text(json.dumps(largest_stack.VARIABLES | longer), "utf-8")
    with pytest.raises(TerraformFailed, match="shorten code_hosts"):
        stage.run("plan")


def test_every_variable_has_a_largest_value() -> None:
    declared = re.findall(r'^variable "(\w+)"', (SOURCE / "deploy/variables.tf").read_text("utf-8"), re.MULTILINE)
    assert set(declared) == set(largest_stack.VARIABLES)


@pytest.mark.full
def test_variables_beyond_the_largest_are_refused_with_the_number(largest_stage: Stage, tmp_path: Any) -> None:
    stage = largest_stage.copy(tmp_path / "deploy")
    stage.keep_state_here()
    missing = {}
    # Where a variable is refused, Terraform leaves out the validations of others that use it.
    apart = ({"stack"}, {"region"}, {"notification_secrets"})
    for names in (*apart, largest_stack.TOO_LARGE.keys() - set().union(*apart)):
        values = {**largest_stack.VARIABLES, **{name: largest_stack.TOO_LARGE[name][0] for name in names}}
        # A stack is removed without the secrets of its notifications.
        values["destroy_contents"] = False
        (stage.folder / "test.auto.tfvars.json").write_text(json.dumps(values), "utf-8")
        with pytest.raises(TerraformFailed) as failed:
            stage.run("plan")
        refusals = re.sub(r"[\s│]+", " ", str(failed.value))
        missing |= {name: named for name in names if (named := largest_stack.TOO_LARGE[name][1]) not in refusals}
    assert missing == {}


def test_every_field_has_a_largest_value() -> None:
    assert set(largest_job.ORDER) | EXCLUSIVE == set(Order.model_fields)
    assert set(largest_job.JOB) == set(Job.model_fields)


def accepted(job: Mapping[str, Any]) -> list[str]:
    """Return the problems of a job, none if it is accepted."""
    try:
        check_job(json.dumps(job).encode(), Rules(grant=Grant(("*",), ("*",))))
    except InputProblems as error:
        return [f"{problem.where}: {problem.what}" for problem in error.problems]
    return []


def test_the_largest_values_are_accepted() -> None:
    # One order at a time: together the largest values are larger than a body.
    assert accepted({**largest_job.JOB, "orders": [dict(largest_job.ORDER)]}) == []
    many = [{**SMALL, "order_name": f"o{number}", "dependencies": []} for number in range(1, 1000)]
    last = {**SMALL, "dependencies": [order["order_name"] for order in many]}
    assert accepted({"username": "tests", "orders": [*many, last]}) == []


@pytest.mark.parametrize("place", list(largest_job.TOO_LARGE))
def test_a_value_beyond_the_largest_is_refused_with_the_number(place: str) -> None:
    value, named = largest_job.TOO_LARGE[place]
    job = copy.deepcopy({**largest_job.JOB, "orders": [dict(largest_job.ORDER)]})
    target: Any = job
    *parents, last = re.findall(r"\w+", place)
    for part in parents:
        target = target[int(part)] if part.isdigit() else target[part]
    target[int(last) if last.isdigit() else last] = value
    found = accepted(job)
    assert [problem for problem in found if problem.startswith(place) and named in problem], found


LIVES = {
    keys.job(RUN_ID): 1,
    keys.past_job(RUN_ID): 14,
    keys.trigger_event(RUN_ID): 1,
    keys.code("c" * 64): 1,
    keys.package(RUN_ID, "0001"): 1,
    # A result lives as long as a log, because it may have one.
    keys.trigger(RUN_ID): 14,
    keys.claim(RUN_ID, "0001"): 14,
    keys.result(RUN_ID, "0001"): 14,
    keys.result(RUN_ID, "0001", 2): 14,
    keys.answer(RUN_ID, "0001"): 14,
    keys.outputs(RUN_ID, "0001"): 1,
    keys.files(RUN_ID, "0001"): 14,
    keys.kept(RUN_ID, "0001"): 14,
    keys.live_part(RUN_ID, "0001", 0): 1,
    keys.log(RUN_ID, "0001"): 14,
}
"""After how many days S3 removes what the engine stores in the internal bucket."""


def test_every_object_lives_as_long_as_it_should(largest_resources: list[dict[str, Any]]) -> None:
    recording, _ = record("acme", "123456789012", "eu-central-1")
    requested = recording.of("put_bucket_lifecycle_configuration", "Bucket")
    for name, expected in (("internal", LIVES), ("done", {keys.done(RUN_ID): 1})):
        (planned,) = [
            resource["values"]
            for resource in largest_resources
            if resource["address"] == f'aws_s3_bucket_lifecycle_configuration.bucket["{name}"]'
        ]
        (local,) = [request for bucket, request in requested.items() if bucket.startswith(f"acme-{name}-")]
        rules = lifecycle.of_terraform(planned)
        assert sorted(lifecycle.of_request(local["LifecycleConfiguration"]), key=str) == sorted(rules, key=str)
        assert {key: lifecycle.life_days(rules, key) for key in expected} == expected
        assert lifecycle.overlapping(rules) == []


def test_the_shorter_of_two_matching_rules_counts() -> None:
    rules = [lifecycle.Rule("", 1), lifecycle.Rule("tmp/logs/", 14)]
    assert lifecycle.life_days(rules, "tmp/logs/x.log") == 1
    assert lifecycle.life_days(rules[1:], "tmp/exec/x") is None
    assert lifecycle.overlapping(rules) == [(rules[0], rules[1])]
