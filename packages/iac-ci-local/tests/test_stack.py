"""The stack in a local cloud: made from the shared files, under the deployed policies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from iac_ci_common import keys
from iac_ci_common.aws.watchdogs import StepFunctionWatchdogs
from iac_ci_common.keys import watchdog_name
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.testing import wait_until, zipped

pytestmark = pytest.mark.local_cloud

CHECK = """
import os
from pathlib import Path
counted = Path(os.environ["TMPDIR"]) / "polls"  # a failed call ends its process, so memory would forget
def handler(event, context):
    polls = len(counted.read_bytes()) if counted.exists() else 0
    counted.write_bytes(b"." * (polls + 1))
    if polls < 3:
        raise RuntimeError("the first poll fails for good, retries included")
    given = event["state"].get("answer", {}).get("known")
    return {"ended": polls > 4, "keys": sorted(event), "known": polls, "given": given}
"""
OPEN = "def handler(event, context): return {'ended': False}"
RUN = "20260102T030405-0123456789ab"


def session(cloud: LocalCloud, role: str) -> Callable[[str], Any]:
    """Make clients that carry a role's rights."""
    names = cloud.stack.names
    assumed = cloud.aws.client("sts").assume_role(RoleArn=names.role_arn(role), RoleSessionName="test")
    credentials = assumed["Credentials"]

    def client(service: str) -> Any:
        return boto3.client(
            service,
            region_name=names.region,
            endpoint_url=cloud.aws.endpoint,
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            config=Config(s3={"addressing_style": "path"}),
        )

    return client


def denied(call: Callable[[], object]) -> bool:
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}
    return False


@pytest.mark.parametrize("role", ["worker", "worker-build"])
def test_a_worker_reads_and_writes_nothing_in_storage(cloud: LocalCloud, role: str) -> None:
    client, names = session(cloud, role), cloud.stack.names
    bucket = names.bucket("internal")
    key = f"tmp/exec/{RUN}/0001/exec.zip"
    cloud.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"package")
    assert denied(lambda: client("s3").get_object(Bucket=bucket, Key=key))
    assert denied(lambda: client("s3").put_object(Bucket=bucket, Key=key, Body=b"other"))
    assert denied(lambda: client("s3").list_objects_v2(Bucket=bucket))
    assert denied(lambda: client("dynamodb").scan(TableName=names.resource("orders")))
    assert denied(lambda: client("ssm").get_parameter(Name=names.webhook_secret))


def test_the_broker_trades_and_moves_no_order(cloud: LocalCloud) -> None:
    client, names = session(cloud, "broker"), cloud.stack.names
    bucket, trigger = names.bucket("internal"), f"tmp/callbacks/runs/{RUN}/0000/trigger.json"
    key = {"run_id": {"S": RUN}, "order_num": {"S": "0001"}}
    orders, table = names.resource("orders"), client("dynamodb")
    assert "Item" not in table.get_item(TableName=orders, Key=key)
    assert denied(lambda: table.put_item(TableName=orders, Item=key))
    assert denied(lambda: table.delete_item(TableName=orders, Key=key))
    assert denied(lambda: table.scan(TableName=names.resource("locks")))
    assert denied(lambda: client("s3").put_object(Bucket=bucket, Key=trigger, Body=b""))
    assert denied(lambda: client("s3").put_object(Bucket=bucket, Key=f"tmp/exec/{RUN}/0001/exec.zip", Body=b""))
    assert denied(lambda: client("ssm").get_parameter(Name=names.webhook_secret))


@pytest.mark.parametrize("role", ["worker", "worker-build"])
def test_a_worker_invokes_the_broker(cloud: LocalCloud, role: str) -> None:
    invoke = session(cloud, role)("lambda").invoke
    trade = {
        "run_id": RUN,
        "order_num": "0001",
        "dispatch": "1",
        "ticket": "a" * 64,
        "next_sha256": "b" * 64,
        "execution": "",
    }
    answer = invoke(FunctionName=cloud.stack.names.resource("broker"), Payload=json.dumps(trade).encode())
    assert json.loads(answer["Payload"].read())["refusal"] == "unknown"
    for name in ("init-job", "orchestrator"):
        assert denied(lambda name=name: invoke(FunctionName=cloud.stack.names.resource(name), Payload=b"{}"))


def test_the_broker_opens_what_is_sealed_and_a_worker_does_not_use_the_key(cloud: LocalCloud) -> None:
    client, worker = session(cloud, "broker")("kms"), session(cloud, "worker")("kms")
    root = cloud.aws.client("kms")
    key = root.list_keys()["Keys"][0]["KeyId"]
    arn = root.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    context = {"iac-ci-stack": cloud.stack.names.stack, "iac-ci-source": "api", "iac-ci-run": RUN}
    sealed = root.encrypt(KeyId=arn, Plaintext=b"value", EncryptionContext=context)["CiphertextBlob"]
    opened = client.decrypt(KeyId=arn, CiphertextBlob=sealed, EncryptionContext=context)
    assert opened["Plaintext"] == b"value"
    with pytest.raises(ClientError):
        client.decrypt(KeyId=arn, CiphertextBlob=sealed, EncryptionContext=context | {"iac-ci-source": "another"})
    assert denied(lambda: worker.decrypt(KeyId=arn, CiphertextBlob=sealed, EncryptionContext=context))
    assert denied(lambda: worker.encrypt(KeyId=arn, Plaintext=b"value", EncryptionContext=context))


def test_the_orchestrator_reads_no_secret(cloud: LocalCloud) -> None:
    client, names = session(cloud, "orchestrator"), cloud.stack.names
    cloud.aws.client("ssm").put_parameter(Name="/iac-ci/jobs/secret", Value="x", Type="SecureString", Overwrite=True)
    cloud.aws.client("secretsmanager").create_secret(Name="iac-ci/jobs/secret", SecretString="x")
    assert denied(lambda: client("ssm").get_parameter(Name="/iac-ci/jobs/secret", WithDecryption=True))
    assert denied(lambda: client("ssm").get_parameter(Name=names.webhook_secret, WithDecryption=True))
    assert denied(lambda: client("secretsmanager").get_secret_value(SecretId="iac-ci/jobs/secret"))


def test_the_orchestrator_stores_no_event_and_no_job(cloud: LocalCloud) -> None:
    """It may ask init to plan again, and init decides; what it cannot store it cannot forge."""
    client, names = session(cloud, "orchestrator"), cloud.stack.names
    for key in (keys.trigger_event(RUN), keys.job(RUN)):
        assert denied(lambda key=key: client("s3").put_object(Bucket=names.bucket("internal"), Key=key, Body=b"{}"))
    assert denied(lambda: client("lambda").invoke(FunctionName=names.resource("broker"), Payload=b"{}"))


def test_init_forges_no_result_and_reads_only_the_jobs_secrets(cloud: LocalCloud) -> None:
    client, names = session(cloud, "init-job"), cloud.stack.names
    bucket = names.bucket("internal")
    cloud.aws.client("ssm").put_parameter(Name="/elsewhere", Value="x", Type="SecureString")
    assert denied(lambda: client("ssm").get_parameter(Name="/elsewhere", WithDecryption=True))
    assert client("ssm").get_parameter(Name=names.webhook_secret, WithDecryption=True)
    assert client("ssm").get_parameter(Name=names.connections, WithDecryption=True)
    result = f"tmp/callbacks/runs/{RUN}/0001/result.json"
    assert denied(lambda: client("s3").put_object(Bucket=bucket, Key=result, Body=b"{}"))


def test_no_repository_may_start_jobs_until_it_is_connected(cloud: LocalCloud) -> None:
    def connected() -> tuple[str, str]:
        found = cloud.aws.client("ssm").get_parameter(Name=f"/iac-ci/{cloud.stack_name}/connections")["Parameter"]
        return found["Type"], found["Value"]

    assert connected() == ("String", "[]")
    cloud.connect('[{"repositories": []}]')
    assert connected() == ("String", '[{"repositories": []}]')
    cloud.connect("[]")
    assert connected() == ("String", "[]")


def test_the_functions_have_the_settings_of_the_shared_files(cloud: LocalCloud) -> None:
    functions = cloud.aws.client("lambda")
    name = cloud.stack.names.resource("worker")
    configuration = functions.get_function_configuration(FunctionName=name)
    assert (configuration["Timeout"], configuration["MemorySize"]) == (600, 1024)
    environment = configuration["Environment"]["Variables"]
    assert {key for key in environment if key.startswith("IAC_CI_")} == {
        "IAC_CI_STACK",
        "IAC_CI_LOG_LEVEL",
        "IAC_CI_BROKER_FUNCTION",
        "IAC_CI_CLEAN_BELOW",
        "IAC_CI_ORDER_FOLDER",
        "IAC_CI_PROVIDER_MIRROR",
        "IAC_CI_COMMAND_PATH",
        "IAC_CI_COMMAND_ENVIRONMENT",
    }
    asynchronous = functions.get_function_event_invoke_config(FunctionName=name)
    assert asynchronous["MaximumRetryAttempts"] == 0
    destination = asynchronous["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == cloud.stack.names.function_arn("watchdog-check")
    assert functions.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"


def test_tables_and_buckets_forget(cloud: LocalCloud) -> None:
    names = cloud.stack.names
    for table in ("orders", "order-events", "locks"):
        answer = cloud.aws.client("dynamodb").describe_time_to_live(TableName=names.resource(table))
        assert answer["TimeToLiveDescription"]["AttributeName"] == "expires_at"
    for bucket, days in (("internal", {1, 14, 35}), ("done", {1})):
        rules = cloud.aws.client("s3").get_bucket_lifecycle_configuration(Bucket=names.bucket(bucket))["Rules"]
        assert {rule["Expiration"]["Days"] for rule in rules} == days


def replace_watchdog_check(cloud: LocalCloud, code: str) -> None:
    """Let the watchdog's polls call other code."""
    functions = cloud.aws.client("lambda")
    name = cloud.stack.names.resource("watchdog-check")
    functions.update_function_code(FunctionName=name, ZipFile=zipped(code))
    functions.update_function_configuration(FunctionName=name, Handler="stub.handler")


def test_the_state_machine_polls_through_failures_until_the_end(cloud: LocalCloud) -> None:
    replace_watchdog_check(cloud, CHECK)
    machines = cloud.aws.client("stepfunctions")
    execution = machines.start_execution(
        stateMachineArn=cloud.stack.names.watchdog_arn,
        name=f"{RUN}-0001",
        input=json.dumps({"schema_version": 1, "run_id": RUN, "order_num": "0001"}),
    )["executionArn"]
    wait_until(lambda: machines.describe_execution(executionArn=execution)["status"] != "RUNNING", subject="the end")
    ended = machines.describe_execution(executionArn=execution)
    assert ended["status"] == "SUCCEEDED"
    answer = json.loads(ended["output"])["answer"]
    assert answer == {"ended": True, "keys": ["order_num", "run_id", "state"], "known": 5, "given": 4}


def test_the_orchestrator_may_start_watchdogs_and_ask_whether_they_run(cloud: LocalCloud) -> None:
    # A watchdog of a run that nothing knows of ends after its first poll, which a slow machine may see first.
    replace_watchdog_check(cloud, OPEN)
    steps = session(cloud, "orchestrator")("stepfunctions")
    watchdogs = StepFunctionWatchdogs(steps, cloud.stack.names.watchdog_arn)
    machines = cloud.aws.client("stepfunctions")
    assert watchdogs.start(RUN, 1)
    assert watchdogs.start(RUN, 1)
    assert watchdogs.is_running(RUN, 1)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        machines.start_execution(
            stateMachineArn=cloud.stack.names.watchdog_arn, name=watchdog_name(RUN, 1), input='{"run_id": "another"}'
        )
    execution = f"{cloud.stack.names.watchdog_arn.replace(':stateMachine:', ':execution:')}:{watchdog_name(RUN, 1)}"
    machines.stop_execution(executionArn=execution)
    wait_until(lambda: not watchdogs.is_running(RUN, 1), subject="the end of the watchdog")
    assert not watchdogs.start(RUN, 1)
    assert watchdogs.start(RUN, 2)
    assert not watchdogs.is_running(RUN, 3)
    running = machines.list_executions(stateMachineArn=cloud.stack.names.watchdog_arn, statusFilter="RUNNING")
    assert [entry["name"] for entry in running["executions"] if RUN in entry["name"]] == [watchdog_name(RUN, 2)]
    assert denied(lambda: steps.stop_execution(executionArn=execution))


def test_few_brokers_run_at_once(cloud):
    limit = cloud.aws.client("lambda").get_function_concurrency(FunctionName=cloud.stack.names.resource("broker"))
    assert limit["ReservedConcurrentExecutions"] == 8
