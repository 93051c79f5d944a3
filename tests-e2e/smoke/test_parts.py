"""Every part is there, as the stack's files say, and answers."""

from __future__ import annotations

import json

import pytest
import urllib3

from iac_ci_cli import jobs
from iac_ci_common.errors import InputProblems
from smoke.conftest import stack_file

pytestmark = pytest.mark.local_cloud

FUNCTIONS = stack_file("functions.json")["functions"]
KEPT_ACTIVE = stack_file("tick.json")["functions"]
"""A rule has five targets at most; the page of a run is not among them."""
LEFT_OUT = {"IAC_CI_SECRET_ALLOW_LIST"}
"""Variables that terraform/deploy/functions.tf leaves out where a function's environment has no room for them."""
TABLES = stack_file("tables.json")["tables"]
BUCKETS = {name: rules for name, rules in stack_file("buckets.json")["buckets"].items() if name != "state"}


def test_one_rule_keeps_the_functions_active(stack):
    name = stack.function(stack_file("tick.json")["name"])
    events = stack.client("events")
    rule = events.describe_rule(Name=name)
    assert (rule["State"], rule["ScheduleExpression"]) == ("ENABLED", stack_file("tick.json")["schedule"])
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    assert {target["Arn"].rpartition(":")[2] for target in targets} == {stack.function(short) for short in KEPT_ACTIVE}


@pytest.mark.parametrize("name", KEPT_ACTIVE)
def test_every_function_answers_the_tick(stack, name):
    rule = stack.client("events").describe_rule(Name=stack.function(stack_file("tick.json")["name"]))["Arn"]
    tick = {"source": "aws.events", "detail-type": "Scheduled Event", "resources": [rule], "detail": {}}
    answered = stack.invoke(name, tick)
    assert not answered["failed"], answered
    if name == "init-job":
        assert answered["answer"]["accepted"] is True


def test_the_api_refuses_who_does_not_sign(stack):
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        answer = pool.request("POST", stack.connection.names.webhook_url, body=b"{}")
    assert answer.status == 401


def test_the_api_names_every_problem_of_a_bad_job(stack):
    with pytest.raises(InputProblems) as refused:
        jobs.submit(stack.connection, b'{"username": "smoke", "orders": [{"cmds": [], "timeout": 0}], "what": 1}')
    assert {problem.where for problem in refused.value.problems} >= {"orders[0].cmds", "orders[0].timeout", "what"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_as_its_file_says(stack, name):
    told = FUNCTIONS[name]
    found = stack.client("lambda").get_function_configuration(FunctionName=stack.function(name))
    assert found["Timeout"] == told["timeout_seconds"]
    # The operator chooses that of the worker (worker_memory_mb).
    assert found["MemorySize"] == told["memory_mb"] or name == "worker"
    assert set(told["environment"]) - LEFT_OUT <= set(found["Environment"]["Variables"])


@pytest.mark.usefixtures("only_on_aws")
def test_all_functions_run_one_image_by_its_digest(stack):
    client = stack.client("lambda")
    images = {client.get_function(FunctionName=stack.function(name))["Code"]["ResolvedImageUri"] for name in FUNCTIONS}
    (image,) = images
    assert "@sha256:" in image
    repository, _, digest = image.partition("/")[2].partition("@")
    found = stack.client("ecr").describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    assert found["imageDetails"]


@pytest.mark.parametrize(
    ("name", "event", "answer"),
    [
        ("init-job", {"body": "{}", "headers": {}}, "401"),
        ("orchestrator", {"Records": []}, "runs"),
        ("watchdog-check", {"run_id": "20000101T000000-000000000000", "order_num": "0001"}, "ended"),
        ("worker", {"no": "work"}, "cannot read a stored"),
        ("broker", {"no": "trade"}, "cannot read a stored"),
    ],
)
def test_every_function_answers(stack, name, event, answer):
    assert answer in str(stack.invoke(name, event))


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_its_keys_its_index_and_forgets(stack, name):
    told, client = TABLES[name], stack.client("dynamodb")
    found = client.describe_table(TableName=f"{stack.name}-{name}")["Table"]
    keys = [told["hash_key"]["name"], *([told["range_key"]["name"]] if told["range_key"] else [])]
    assert [key["AttributeName"] for key in found["KeySchema"]] == keys
    indexes = {index["IndexName"] for index in found.get("GlobalSecondaryIndexes", [])}
    assert indexes == {index["name"] for index in told["indexes"]}
    forgets = client.describe_time_to_live(TableName=f"{stack.name}-{name}")["TimeToLiveDescription"]
    assert forgets["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}
    assert forgets["AttributeName"] == told["ttl_attribute"]


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_forgets_and_tells_whom_it_must(stack, name):
    told, client = BUCKETS[name], stack.client("s3")
    bucket = getattr(stack.connection.names, f"{name}_bucket")
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    days = {rule["Filter"].get("Prefix", ""): rule["Expiration"]["Days"] for rule in rules if "Expiration" in rule}
    fixed = {rule["prefix"]: rule["days"] for rule in told["lifecycle"] if rule["setting"] is None}
    assert fixed.items() <= days.items()
    assert set(days) == {rule["prefix"] for rule in told["lifecycle"]}
    notified = client.get_bucket_notification_configuration(Bucket=bucket).get("LambdaFunctionConfigurations", [])
    if told["notification"] is None:
        assert notified == []
        return
    (one,) = notified
    assert one["LambdaFunctionArn"].endswith(stack.function(told["notification"]["function"]))
    filters = {rule["Name"].lower(): rule["Value"] for rule in one["Filter"]["Key"]["FilterRules"]}
    assert filters == {"prefix": told["notification"]["prefix"], "suffix": told["notification"]["suffix"]}


def test_the_watchdog_is_there(stack):
    found = stack.client("stepfunctions").describe_state_machine(stateMachineArn=stack.connection.names.watchdog_arn)
    assert (found["name"], found["status"]) == (f"{stack.name}-watchdog", "ACTIVE")


@pytest.mark.usefixtures("only_on_aws")
def test_the_build_project_runs_the_same_image_or_its_own(stack):
    (project,) = stack.client("codebuild").batch_get_projects(names=[f"{stack.name}-worker"])["projects"]
    function = stack.client("lambda").get_function(FunctionName=stack.function("worker"))
    is_same = project["environment"]["image"] == function["Code"]["ImageUri"]
    # With build_image_uri it is another one.
    assert is_same != json.loads(stack.connection.parameter("tools"))["builds_have_own_image"]
