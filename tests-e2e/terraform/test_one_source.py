"""What Terraform makes is what the local cloud makes: both read ``terraform/deploy/stack`` and add nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from iac_ci_cli.connection import Names
from iac_ci_common import keys
from iac_ci_common.aws.new_permissions import CHANGED_AT
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.models.watch import Watch
from iac_ci_common.states import OrderState
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryLocks,
    MemoryObjects,
    MemoryRuns,
    MemoryWorkers,
    Sequential,
)
from iac_ci_common.testing.samples import RUN_ID, START, order_row, queued, stored_job
from iac_ci_local.names import SIZES
from iac_ci_local.stack import without_encryption_context
from iac_ci_local.templates import stack_folder
from iac_ci_triggers.connections import read_connections
from iac_ci_watchdog.act import Watchdog
from iac_ci_watchdog.decide import Action
from iac_ci_watchdog.ports import WatchdogPorts
from terraform.conftest import secrets
from terraform.log_patterns import matches
from terraform.recording import KEY_ARN, Recording, record
from terraform.stage import DIGEST, REGION, REPOSITORY, STACK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from terraform.stage import Stage

ACCOUNT = "123456789012"
FUNCTIONS = {"broker", "init-job", "orchestrator", "page", "watchdog-check", "worker"}
WITHOUT_TICK = {"page"}
# The variables that only the local cloud sets, so that calls reach it instead of AWS.
BUILD_SERVICE = {"AWS_ENDPOINT_URL_CODEBUILD"}
LOCAL_ONLY = {*BUILD_SERVICE, "AWS_EC2_METADATA_DISABLED"}


@pytest.fixture(scope="module")
def local() -> Recording:
    recording, _ = record(STACK, ACCOUNT, REGION, log_level="INFO", max_parallel=100)
    return recording


@pytest.fixture(scope="module")
def key(deployed: Mapping[str, Any]) -> str:
    arn: str = deployed["aws_kms_key.runs[0]"]["arn"]
    return arn


def of_type(deployed: Mapping[str, dict[str, Any]], address: str) -> dict[str, dict[str, Any]]:
    """Return the instances of one resource by their short names."""
    return {
        found.removeprefix(f'{address}["').removesuffix('"]'): values
        for found, values in deployed.items()
        if found.startswith(f"{address}[")
    }


def with_key(rendered: Any, key: str) -> Any:
    """Put the deployed stack's key where the local cloud's stands."""
    return json.loads(json.dumps(rendered).replace(KEY_ARN, key))


def test_functions_have_the_same_environment(deployed: Mapping[str, Any], local: Recording, key: str) -> None:
    theirs = local.of("create_function", "FunctionName")
    ours = of_type(deployed, "aws_lambda_function.function")
    assert ours.keys() == FUNCTIONS
    assert {function["function_name"] for function in ours.values()} == theirs.keys()
    for name, function in ours.items():
        environment = dict(theirs[f"{STACK}-{name}"]["Environment"]["Variables"])
        # The build service's address has its token, which functions that start and stop no builds must not know.
        without_builds = name in {"worker", "broker", "page"}
        assert environment.keys() >= LOCAL_ONLY - (BUILD_SERVICE if without_builds else set())
        assert not without_builds or not environment.keys() & BUILD_SERVICE
        expected = {key: value for key, value in environment.items() if key not in LOCAL_ONLY}
        # Repositories on the machine itself are for the local cloud only.
        if "IAC_CI_ALLOW_FILE_REPOSITORIES" in expected:
            assert expected["IAC_CI_ALLOW_FILE_REPOSITORIES"] == "true"
            expected["IAC_CI_ALLOW_FILE_REPOSITORIES"] = "false"
        # A hint names the local cloud where it is shown for one.
        if "IAC_CI_COMMAND_OPTIONS" in expected:
            assert expected["IAC_CI_COMMAND_OPTIONS"] == f"--local --stack {STACK}"
            expected["IAC_CI_COMMAND_OPTIONS"] = f"--stack {STACK}"
        # No operator maps sizes on the local cloud.
        if "IAC_CI_ORDER_SIZES" in expected:
            assert json.loads(expected["IAC_CI_ORDER_SIZES"]) == SIZES
            expected["IAC_CI_ORDER_SIZES"] = "{}"
        # Terraform's stand-in invents the id of the API.
        if "IAC_CI_PAGE_ADDRESS" in expected:
            deployed_at = function["environment"][0]["variables"]["IAC_CI_PAGE_ADDRESS"]
            api = deployed["aws_api_gateway_rest_api.webhook"]["id"]
            assert deployed_at == f"https://{api}.execute-api.{REGION}.amazonaws.com/live/runs"
            assert expected["IAC_CI_PAGE_ADDRESS"].endswith("/live/runs")
            expected["IAC_CI_PAGE_ADDRESS"] = deployed_at
        if CHANGED_AT in expected:
            # No permission of the local cloud is on its way.
            changed_at = datetime.fromisoformat(function["environment"][0]["variables"][CHANGED_AT])
            assert datetime.now(UTC) - changed_at < timedelta(days=1)
            expected[CHANGED_AT] = function["environment"][0]["variables"][CHANGED_AT]
        assert decoded(function["environment"][0]["variables"]) == decoded(with_key(expected, key))


def decoded(environment: Mapping[str, str]) -> dict[str, Any]:
    """Decode the values that are JSON, which Terraform writes without spaces and Python with."""
    return {name: json.loads(value) if value.startswith(("{", "[")) else value for name, value in environment.items()}


def test_functions_have_the_same_sizes_and_roles(deployed: Mapping[str, Any], local: Recording) -> None:
    stated = json.loads((stack_folder() / "functions.json").read_text("utf-8"))["functions"]
    theirs = local.of("create_function", "FunctionName")
    roles = {values["arn"]: f"arn:aws:iam::{ACCOUNT}:role/{values['name']}" for values in all_roles(deployed)}
    for name, function in of_type(deployed, "aws_lambda_function.function").items():
        local_one = theirs[function["function_name"]]
        assert function["timeout"] == local_one["Timeout"]
        assert function["memory_size"] == local_one["MemorySize"]
        assert function["ephemeral_storage"][0]["size"] == local_one["EphemeralStorage"]["Size"]
        assert function["description"] == local_one["Description"]
        assert roles[function["role"]] == local_one["Role"]
        # The image's command names the handler that the local cloud calls by a door of its own.
        assert function["image_config"][0]["command"] == [stated[name]["handler"]]
        assert function["image_uri"] == f"{REPOSITORY}@{DIGEST}"


def test_asynchronous_calls_end_in_the_same_places(deployed: Mapping[str, Any], local: Recording) -> None:
    theirs = local.of("put_function_event_invoke_config", "FunctionName")
    ours = of_type(deployed, "aws_lambda_function_event_invoke_config.function")
    assert {config["function_name"] for config in ours.values()} == theirs.keys()
    for config in ours.values():
        local_one = theirs[config["function_name"]]
        assert config["maximum_retry_attempts"] == local_one["MaximumRetryAttempts"]
        assert config["maximum_event_age_in_seconds"] == local_one["MaximumEventAgeInSeconds"]
        destination = config["destination_config"][0]["on_failure"][0]["destination"]
        assert destination == local_one["DestinationConfig"]["OnFailure"]["Destination"]
    queue = local.requests["create_queue"][0]["QueueName"]
    assert deployed["aws_sqs_queue.dead_letters"]["name"] == queue


def test_recursive_loops_are_allowed_by_both(deployed: Mapping[str, Any], local: Recording) -> None:
    theirs = local.of("put_function_recursion_config", "FunctionName")
    ours = of_type(deployed, "aws_lambda_function_recursion_config.function")
    assert {config["function_name"]: config["recursive_loop"] for config in ours.values()} == {
        name: request["RecursiveLoop"] for name, request in theirs.items()
    }


def test_tables_are_the_same(deployed: Mapping[str, Any], local: Recording) -> None:
    theirs, expiry = local.of("create_table", "TableName"), local.of("update_time_to_live", "TableName")
    ours = {table["name"]: table for table in of_type(deployed, "aws_dynamodb_table.table").values()}
    assert ours.keys() == theirs.keys()
    for name, table in ours.items():
        request = theirs[name]
        assert table["billing_mode"] == request["BillingMode"]
        assert key_schema(table) == request["KeySchema"]
        assert {attribute["name"]: attribute["type"] for attribute in table["attribute"]} == {
            attribute["AttributeName"]: attribute["AttributeType"] for attribute in request["AttributeDefinitions"]
        }
        # Terraform has a set of them, DynamoDB's request a list.
        assert {
            index["name"]: {"KeySchema": key_schema(index), "Projection": {"ProjectionType": index["projection_type"]}}
            for index in table["global_secondary_index"]
        } == {
            index["IndexName"]: {name: value for name, value in index.items() if name != "IndexName"}
            for index in request.get("GlobalSecondaryIndexes", [])
        }
        assert expiry[name]["TimeToLiveSpecification"] == {
            "Enabled": table["ttl"][0]["enabled"],
            "AttributeName": table["ttl"][0]["attribute_name"],
        }


def key_schema(keys: Mapping[str, Any]) -> list[dict[str, str]]:
    named = ((keys["hash_key"], "HASH"), (keys["range_key"], "RANGE"))
    return [{"AttributeName": name, "KeyType": kind} for name, kind in named if name]


def test_buckets_are_the_same(deployed: Mapping[str, Any], local: Recording) -> None:
    ours = {bucket["bucket"] for bucket in of_type(deployed, "aws_s3_bucket.bucket").values()}
    state = f"{STACK}-state-{ACCOUNT}-{REGION}"
    assert ours | {state} == local.of("create_bucket", "Bucket").keys()
    # Only the state has versions, and terraform/bootstrap makes that bucket.
    assert local.of("put_bucket_versioning", "Bucket").keys() == {state}
    assert of_type(deployed, "aws_s3_bucket_versioning.bucket") == {}


def test_buckets_forget_after_the_same_days(deployed: Mapping[str, Any], local: Recording) -> None:
    theirs = local.of("put_bucket_lifecycle_configuration", "Bucket")
    ours = of_type(deployed, "aws_s3_bucket_lifecycle_configuration.bucket")
    buckets = of_type(deployed, "aws_s3_bucket.bucket")
    assert {buckets[name]["bucket"] for name in ours} == theirs.keys()
    for name, lifecycle in ours.items():
        several = theirs[buckets[name]["bucket"]]["LifecycleConfiguration"]["Rules"]
        for rule, wanted in zip(lifecycle["rule"], several, strict=True):
            assert (rule["id"], rule["status"]) == (wanted["ID"], wanted["Status"])
            assert (rule["filter"][0]["prefix"] or "") == wanted["Filter"]["Prefix"]
            assert rule["expiration"][0]["days"] == wanted["Expiration"]["Days"]
            abort = rule["abort_incomplete_multipart_upload"][0]["days_after_initiation"]
            assert abort == wanted["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]


def test_results_wake_the_same_function(deployed: Mapping[str, Any], local: Recording) -> None:
    theirs = local.of("put_bucket_notification_configuration", "Bucket")
    functions = {function["arn"]: function["function_name"] for function in all_functions(deployed)}
    ours = of_type(deployed, "aws_s3_bucket_notification.bucket")
    assert ours.keys() == {"internal"}
    (wanted,) = theirs[deployed['aws_s3_bucket.bucket["internal"]']["bucket"]]["NotificationConfiguration"][
        "LambdaFunctionConfigurations"
    ]
    (notification,) = ours["internal"]["lambda_function"]
    assert functions[notification["lambda_function_arn"]] == wanted["LambdaFunctionArn"].rpartition(":")[2]
    assert notification["events"] == wanted["Events"]
    assert wanted["Filter"]["Key"]["FilterRules"] == [
        {"Name": "prefix", "Value": notification["filter_prefix"]},
        {"Name": "suffix", "Value": notification["filter_suffix"]},
    ]


def test_roles_have_the_same_policies(deployed: Mapping[str, Any], local: Recording, key: str) -> None:
    theirs = local.of("put_role_policy", "RoleName")
    ours = of_type(deployed, "aws_iam_role_policy.role")
    assert {f"{STACK}-{name}" for name in ours} == theirs.keys()
    for name, policy in ours.items():
        request = theirs[f"{STACK}-{name}"]
        assert policy["name"] == request["PolicyName"]
        planned = json.loads(policy["policy"])
        assert without_encryption_context(planned) == with_key(json.loads(request["PolicyDocument"]), key)
        # The one thing that the local cloud leaves out, and only there.
        sealed = [statement for statement in planned["Statement"] if statement["Action"][0].startswith("kms:")]
        bound = {"kms:EncryptionContext:iac-ci-run", "kms:EncryptionContext:iac-ci-scope"}
        assert all(bound & set(s["Condition"]["StringLike"]) for s in sealed)
        assert bool(sealed) == (name in {"init-job", "broker"})


def test_roles_are_trusted_to_the_same_services(deployed: Mapping[str, Any], local: Recording) -> None:
    theirs = local.of("create_role", "RoleName")
    for role in of_type(deployed, "aws_iam_role.role").values():
        (ours,) = json.loads(role["assume_role_policy"])["Statement"]
        (wanted,) = json.loads(theirs[role["name"]]["AssumeRolePolicyDocument"])["Statement"]
        assert {name: value for name, value in ours.items() if name != "Condition"} == wanted


def test_the_watchdog_is_the_same(deployed: Mapping[str, Any], local: Recording) -> None:
    (request,) = local.requests["create_state_machine"]
    machine = deployed["aws_sfn_state_machine.watchdog"]
    assert machine["name"] == request["name"]
    assert json.loads(machine["definition"]) == json.loads(request["definition"])


def test_the_tick_reaches_every_function_from_one_rule(deployed: Mapping[str, Any], local: Recording) -> None:
    rule = deployed["aws_cloudwatch_event_rule.tick"]
    (theirs,) = local.requests["put_rule"]
    assert (theirs["Name"], theirs["ScheduleExpression"]) == (rule["name"], rule["schedule_expression"])
    assert rule["schedule_expression"] == "rate(15 minutes)"
    targets = of_type(deployed, "aws_cloudwatch_event_target.tick")
    # A rule has at most five targets (Amazon EventBridge User Guide, "Quotas").
    assert targets.keys() == FUNCTIONS - WITHOUT_TICK
    assert len(targets) <= 5
    (request,) = local.requests["put_targets"]
    assert {target["Id"] for target in request["Targets"]} == targets.keys()
    # The stand-in for the provider invents the rule's own ARN.
    arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule['name']}"
    permissions = of_type(deployed, "aws_lambda_permission.tick")
    assert {name: permission["source_arn"] for name, permission in permissions.items()} == dict.fromkeys(
        FUNCTIONS - WITHOUT_TICK, arn
    )
    environment = deployed['aws_lambda_function.function["init-job"]']["environment"][0]["variables"]
    assert environment["IAC_CI_TICK_RULE_ARN"] == arn


def test_the_project_is_the_same(deployed: Mapping[str, Any], local: Recording) -> None:
    (request,) = local.requests["define_project"]
    project = deployed['aws_codebuild_project.project["worker"]']
    assert project["name"] == request["name"]
    assert project["build_timeout"] == request["timeout_minutes"]
    (environment,) = project["environment"]
    assert {entry["name"]: entry["value"] for entry in environment["environment_variable"]} == request["environment"]
    assert environment["image"] == f"{REPOSITORY}@{DIGEST}"
    assert environment["compute_type"] == request["compute_type"]
    assert json.loads(project["source"][0]["buildspec"]) == request["buildspec"]
    roles = {values["arn"]: f"arn:aws:iam::{ACCOUNT}:role/{values['name']}" for values in all_roles(deployed)}
    assert roles[project["service_role"]] == request["role_arn"]


def test_the_door_is_the_same(deployed: Mapping[str, Any], local: Recording) -> None:
    (api,), (deployment,) = local.requests["create_rest_api"], local.requests["create_deployment"]
    assert deployed["aws_api_gateway_rest_api.webhook"]["name"] == api["name"]
    assert deployed["aws_api_gateway_stage.webhook"]["stage_name"] == deployment["stageName"]
    names = ("webhook", "runs", "run", "run_part")
    paths = [deployed[f"aws_api_gateway_resource.{name}"]["path_part"] for name in names]
    assert paths == [request["pathPart"] for request in local.requests["create_resource"]]
    ours = ["webhook", 'page["run"]', 'page["part"]']
    for name, method, integration in zip(
        ours, local.requests["put_method"], local.requests["put_integration"], strict=True
    ):
        door = deployed[f"aws_api_gateway_method.{name}"]
        assert (door["http_method"], door["authorization"]) == (method["httpMethod"], method["authorizationType"])
        behind = deployed[f"aws_api_gateway_integration.{name}"]
        assert behind["uri"] == integration["uri"]
        assert (behind["type"], behind["integration_http_method"]) == (
            integration["type"],
            integration["integrationHttpMethod"],
        )
        assert behind["timeout_milliseconds"] == integration["timeoutInMillis"]


def test_pages_have_a_throttle_of_their_own(deployed: Mapping[str, Any]) -> None:
    """API Gateway counts the requests of each method by itself."""
    stated = json.loads((stack_folder() / "api.json").read_text("utf-8"))["page"]
    for settings in of_type(deployed, "aws_api_gateway_method_settings.page").values():
        (limits,) = settings["settings"]
        assert limits["throttling_rate_limit"] == stated["throttling_rate_per_second"]
        assert limits["throttling_burst_limit"] == stated["throttling_burst"]
        assert settings["method_path"].endswith("/GET")
        assert limits["data_trace_enabled"] is False


def test_no_log_of_the_api_has_a_query_or_a_header(deployed: Mapping[str, Any]) -> None:
    """A link to a page has its capability in the query, and a browser sends its session in a header."""
    (settings,) = deployed["aws_api_gateway_stage.webhook"]["access_log_settings"]
    logged = set(json.loads(settings["format"]).values())
    assert logged == {
        f"$context.{name}"
        for name in (
            "requestTime", "requestId", "identity.sourceIp", "httpMethod", "path", "status", "responseLength",
            "responseLatency", "integrationErrorMessage",
        )
    }  # fmt: skip


def test_the_door_is_as_wide_as_the_stack_says(deployed: Mapping[str, Any]) -> None:
    stated = json.loads((stack_folder() / "api.json").read_text("utf-8"))
    (settings,) = deployed["aws_api_gateway_method_settings.webhook"]["settings"]
    assert settings["throttling_rate_limit"] == stated["throttling_rate_per_second"]
    assert settings["throttling_burst_limit"] == stated["throttling_burst"]


def test_the_command_line_finds_either(deployed: Mapping[str, Any], local: Recording) -> None:
    parameters = local.of("put_parameter", "Name")
    ours, theirs = deployed["aws_ssm_parameter.outputs"], parameters[f"/iac-ci/{STACK}/outputs"]
    assert (ours["name"], ours["type"]) == (theirs["Name"], theirs["Type"])
    deployed_outputs, local_outputs = json.loads(ours["value"]), json.loads(theirs["Value"])
    assert deployed_outputs.keys() >= set(Names.__dataclass_fields__)
    assert local_outputs.keys() >= set(Names.__dataclass_fields__)
    for name in Names.__dataclass_fields__:
        if name not in {"webhook_url", "page_address"}:
            assert deployed_outputs[name] == local_outputs[name]
    secret = deployed["aws_ssm_parameter.webhook_secret"]
    assert (secret["name"], secret["type"]) == (f"/iac-ci/{STACK}/webhook-secret", "SecureString")
    assert parameters[secret["name"]]["Type"] == "SecureString"


def test_nobody_is_connected_to_begin_with(deployed: Mapping[str, Any], local: Recording) -> None:
    ours = deployed["aws_ssm_parameter.connections"]
    theirs = local.of("put_parameter", "Name")[ours["name"]]
    assert (ours["type"], ours["value"]) == (theirs["Type"], theirs["Value"]) == ("String", "[]")


def test_the_connections_that_terraform_takes_are_those_that_init_reads(
    stages: Mapping[str, Stage], tmp_path: Path
) -> None:
    repository, token = "https://git.example.com:8443/acme/sub/network.git", "ssm:/iac-ci/jobs/tokens/acme"
    webhook_secret = f"ssm:/iac-ci/{STACK}/webhook-secret-acme"
    connection = {"repositories": [repository], "webhook_secrets": [webhook_secret], "token_location": token}
    plan = (
        stages["deploy"]
        .copy(tmp_path / "deploy")
        .plan(
            "-refresh=false",
            connections=json.dumps([connection]),
            code_hosts=json.dumps({"git.example.com:8443": {"kind": "gitlab"}}),
            **secrets("deploy"),
        )
    )
    planned = {change["address"]: change["change"]["after"] for change in plan["resource_changes"]}
    found = read_connections(planned["aws_ssm_parameter.connections"]["value"]).find(repository)
    assert found is not None
    assert (found.webhook_secrets, found.token_location, found.source) == ((webhook_secret,), token, None)
    (environment,) = planned['aws_lambda_function.function["orchestrator"]']["environment"]
    assert json.loads(environment["variables"]["IAC_CI_CODE_HOSTS"]) == {
        "git.example.com:8443": {"kind": "gitlab", "api_url": None}
    }


def test_the_alarm_for_stuck_runs_counts_what_the_watchdog_writes(
    deployed: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FakeClock(START)
    objects, runs = MemoryObjects(clock), MemoryRuns()
    runs.insert(*queued([{}]))
    runs.order_rows[RUN_ID]["0001"] = order_row(1, status=OrderState.RUNNING, dispatched_at=START, order_deadline=START)
    objects.put(keys.result(RUN_ID, "0001"), b"{}")
    logger = PowertoolsLogger("watchdog-check")
    ports = WatchdogPorts(
        clock, runs, MemoryLocks(), objects, MemoryWorkers(), MemoryAsyncInvoker(), Sequential(), logger
    )
    watchdog = Watchdog(ports)
    lines: dict[str, str] = {}

    def look(watch: Watch) -> None:
        watchdog.check(watch)
        written = capsys.readouterr().out
        lines[json.loads(written)["action"]] = written

    look(Watch(run_id=RUN_ID, order_num="0001"))
    objects.delete([keys.result(RUN_ID, "0001")])
    clock.advance(3600)
    look(Watch(run_id=RUN_ID, order_num="0001"))
    unprepared = stored_job([{}], job_timeout=86400).model_copy(update={"run_id": "20260101T000000-ffffffffffff"})
    objects.put(keys.job(unprepared.run_id), unprepared.model_dump_json().encode())
    clock.advance(400 - 3600)
    look(Watch(run_id=unprepared.run_id))
    assert all("seen" in json.loads(line) for line in lines.values())
    assert set(lines) == {Action.NUDGE, Action.REPORT_TIMED_OUT, Action.PREPARE_AGAIN}

    metric = deployed["aws_cloudwatch_log_metric_filter.repairs"]
    counted = {action for action, line in lines.items() if matches(metric["pattern"], line)}
    assert counted == {Action.NUDGE, Action.PREPARE_AGAIN}
    assert metric["log_group_name"] == f"/aws/lambda/{STACK}-watchdog-check"
    (transformation,) = metric["metric_transformation"]
    alarm = deployed['aws_cloudwatch_metric_alarm.alarm["stuck-runs"]']
    assert (alarm["namespace"], alarm["metric_name"]) == (transformation["namespace"], transformation["name"])


def all_roles(deployed: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(of_type(deployed, "aws_iam_role.role").values())


def all_functions(deployed: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(of_type(deployed, "aws_lambda_function.function").values())
