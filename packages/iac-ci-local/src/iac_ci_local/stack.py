"""Creates the stack in a local cloud from the files that Terraform uses too."""

from __future__ import annotations

import io
import json
import os
import secrets
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.grants import ANY_SOURCE, PARTS, Grants
from iac_ci_common.models.tools import ToolSettings
from iac_ci_local.loopback import open_loopback
from iac_ci_local.names import StackNames, placeholder_values
from iac_ci_local.templates import StackFiles, stack_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from iac_ci_common.models.tools import Tool, ToolSource
    from iac_ci_local.ministack import LocalAws
    from iac_ci_vcs.provider import HostSettings

_THREADS: Final = 4
_SERVICES: Final = (
    "kms", "iam", "dynamodb", "s3", "ssm", "sqs", "lambda", "stepfunctions", "apigateway", "events",
)  # fmt: skip
_SHIM: Final = "from {module} import {name} as handler\n"
_SANDBOX: Final = (
    "from iac_ci_local.functions import sandbox\nhandler = sandbox.handler({handler!r}, storage_mb={storage_mb})\n"
)
_MOST_BROKERS: Final = 8
"""Most brokers at once. Each is a process that starts on this machine: where fifty builds ask at once, as many starts
take longer than a worker waits, and the workers' next calls would start as many again. What is over it is refused at
once, and a worker asks again."""
_RUNTIME: Final = "python3.12"
"""A label only: MiniStack runs every Python function with its own Python."""


def default_parallel() -> int:
    """Return the limit of open orders per run: twice the cores, at least 4, so that workers are reused."""
    return max(4, 2 * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class LocalStack:
    """The names and addresses of a created stack."""

    names: StackNames
    webhook_url: str
    webhook_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FunctionDefinition:
    """One function's settings and environment; a test compares them with Terraform's plan."""

    name: str
    settings: Mapping[str, Any]
    environment: Mapping[str, str]


class StackBuilder:
    """Creates every resource of one stack in one local cloud."""

    def __init__(
        self,
        aws: LocalAws,
        *,
        stack: str = "iac-ci",
        log_level: str = "WARNING",
        max_parallel: int | None = None,
        worker_environment: Mapping[str, str] | None = None,
        extra_environment: Mapping[str, str] | None = None,
        code_hosts: Mapping[str, HostSettings] | None = None,
        tool_sources: Mapping[Tool, ToolSource] | None = None,
        files: Path | None = None,
        sandboxed: Sequence[str] = (),
    ) -> None:
        """Prepare to build ``stack`` in the cloud ``aws``; create nothing yet.

        ``worker_environment`` goes to both kinds of worker, ``extra_environment`` to every function and build.
        ``code_hosts`` has the provider of each code host whose name does not show it. ``tool_sources`` are mirrors of
        tools. ``sandboxed`` names the functions that run in a sandbox as on AWS.
        """
        self._aws = aws
        self.names = StackNames(stack, aws.account)
        self._log_level = log_level
        self._max_parallel = max_parallel or default_parallel()
        self._worker = dict(worker_environment or {})
        self._extra = dict(extra_environment or {})
        self._code_hosts = dict(code_hosts or {})
        self._tool_sources = dict(tool_sources or {})
        self._sandboxed = frozenset(sandboxed)
        self._folder = files or stack_folder()
        self._clients: dict[str, Any] = {}

    def create(self) -> LocalStack:
        """Create every resource, in parallel where possible; return the stack's names and addresses."""
        for service in (
            "kms",
            "iam",
            "dynamodb",
            "s3",
            "ssm",
            "sqs",
            "lambda",
            "stepfunctions",
            "apigateway",
            "events",
        ):
            self._client(service)  # creating clients is not thread-safe, using them is
        key = self._client("kms").create_key(Description=f"Encrypts the secrets of {self.names.stack}'s runs")
        files = StackFiles(
            self._folder,
            placeholder_values(
                self.names,
                kms_key_arn=key["KeyMetadata"]["Arn"],
                log_level=self._log_level,
                max_parallel=self._max_parallel,
                page_address=self._page_address(),
                code_hosts=self._code_hosts,
            ),
        )
        secret = secrets.token_urlsafe(32)
        buckets = files.read("buckets.json")["buckets"]
        tables = files.read("tables.json")["tables"]
        roles = files.read("roles.json")["roles"]
        self._in_parallel(
            [
                *(self._later(self._role, name, role, files) for name, role in roles.items()),
                *(self._later(self._table, name, table) for name, table in tables.items()),
                *(self._later(self._bucket, name, bucket) for name, bucket in buckets.items()),
                self._later(self._webhook_secret, secret),
                self._later(self._page_key),
                self._later(self._connections),
                self._later(self._tools),
                *(self._later(self._sources, part) for part in PARTS),
                self._later(self._dead_letter_queue),
                self._later(self._event_bus, files),
            ]
        )
        definitions = self.function_definitions(files)
        self._in_parallel([self._later(self._function, definition) for definition in definitions])
        self._in_parallel(
            [
                *(self._later(self._asynchronous, definition) for definition in definitions),
                *(self._later(self._notification, name, bucket) for name, bucket in buckets.items()),
                self._later(self._state_machine, files),
                self._later(self._projects, files),
                self._later(self._tick, files),
            ]
        )
        stack = LocalStack(self.names, self._api(files), secret)
        self._outputs(stack)
        return stack

    def function_definitions(self, files: StackFiles) -> list[FunctionDefinition]:
        """Return every function with its environment: the stack's variables and those of the local cloud."""
        local = {"AWS_EC2_METADATA_DISABLED": "true"}
        # The URL has the build service's token: functions that start and stop no builds do not get it.
        builds = {"AWS_ENDPOINT_URL_CODEBUILD": self._aws.builds_endpoint}
        path = {name: text for name, text in self._worker.items() if name == "IAC_CI_COMMAND_PATH"}
        own = {"worker": self._worker, "broker": {}, "page": {}, "init-job": builds | path}
        return [
            FunctionDefinition(
                name,
                settings,
                {
                    **settings["environment"],
                    **local,
                    **own.get(name, builds),
                    **self._extra,
                },
            )
            for name, settings in files.read("functions.json")["functions"].items()
        ]

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._aws.client(service)
        return self._clients[service]

    @staticmethod
    def _later(function: Callable[..., None], *arguments: Any) -> Callable[[], None]:
        return lambda: function(*arguments)

    @staticmethod
    def _in_parallel(steps: Sequence[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(_THREADS) as pool:
            for done in [pool.submit(step) for step in steps]:
                done.result()

    def _role(self, name: str, role: Mapping[str, Any], files: StackFiles) -> None:
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": role["trusted_service"]}, "Action": "sts:AssumeRole"}
            ],
        }
        iam = self._client("iam")
        full = self.names.resource(name)
        iam.create_role(RoleName=full, AssumeRolePolicyDocument=json.dumps(trust))
        policy = without_encryption_context(files.read(role["policy"]))
        iam.put_role_policy(RoleName=full, PolicyName=name, PolicyDocument=json.dumps(policy))

    def _table(self, name: str, table: Mapping[str, Any]) -> None:
        keys = [key for key in (table["hash_key"], table["range_key"]) if key]
        indexed = [index[part] for index in table["indexes"] for part in ("hash_key", "range_key")]
        types = {key["name"]: key["type"] for key in [*keys, *indexed]}
        request: dict[str, Any] = {
            "TableName": self.names.resource(name),
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": _key_schema(keys),
            "AttributeDefinitions": [
                {"AttributeName": key, "AttributeType": kind} for key, kind in sorted(types.items())
            ],
        }
        if table["indexes"]:
            request["GlobalSecondaryIndexes"] = [
                {
                    "IndexName": index["name"],
                    "KeySchema": _key_schema([index["hash_key"], index["range_key"]]),
                    "Projection": {"ProjectionType": index["projection"]},
                }
                for index in table["indexes"]
            ]
        dynamodb = self._client("dynamodb")
        dynamodb.create_table(**request)
        dynamodb.update_time_to_live(
            TableName=request["TableName"],
            TimeToLiveSpecification={"Enabled": True, "AttributeName": table["ttl_attribute"]},
        )

    def _bucket(self, name: str, bucket: Mapping[str, Any]) -> None:
        s3 = self._client("s3")
        full = self.names.bucket(name)
        s3.create_bucket(Bucket=full)
        if bucket["versioned"]:
            s3.put_bucket_versioning(Bucket=full, VersioningConfiguration={"Status": "Enabled"})
        rules = [
            {
                "ID": rule["id"],
                "Status": "Enabled",
                "Filter": {"Prefix": rule["prefix"]},
                "Expiration": {"Days": rule["days"]},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            }
            for rule in bucket["lifecycle"]
        ]
        if rules:
            s3.put_bucket_lifecycle_configuration(Bucket=full, LifecycleConfiguration={"Rules": rules})

    def _notification(self, name: str, bucket: Mapping[str, Any]) -> None:
        wanted = bucket["notification"]
        if wanted is None:
            return
        rules = [{"Name": "prefix", "Value": wanted["prefix"]}, {"Name": "suffix", "Value": wanted["suffix"]}]
        self._client("s3").put_bucket_notification_configuration(
            Bucket=self.names.bucket(name),
            NotificationConfiguration={
                "LambdaFunctionConfigurations": [
                    {
                        "LambdaFunctionArn": self.names.function_arn(wanted["function"]),
                        "Events": wanted["events"],
                        "Filter": {"Key": {"FilterRules": rules}},
                    }
                ]
            },
        )

    def _webhook_secret(self, secret: str) -> None:
        self._client("ssm").put_parameter(Name=self.names.webhook_secret, Value=secret, Type="SecureString")

    def _page_key(self) -> None:
        self._client("ssm").put_parameter(
            Name=self.names.page_key, Value=secrets.token_urlsafe(32), Type="SecureString"
        )

    def _connections(self) -> None:
        """Create the empty list of connections."""
        self._client("ssm").put_parameter(Name=self.names.connections, Value="[]", Type="String")

    def _tools(self) -> None:
        """Name the mirrors of tools."""
        settings = ToolSettings(sources=self._tool_sources)
        self._client("ssm").put_parameter(Name=self.names.tools, Value=settings.model_dump_json(), Type="String")

    def _sources(self, part: str) -> None:
        """Let every source use every secret and role: a local cloud has one user."""
        everything = Grants(secrets={ANY_SOURCE: ("*",)}, roles={ANY_SOURCE: ("*",)})
        self._client("ssm").put_parameter(
            Name=f"{self.names.sources}/{part}", Value=everything.model_dump_json(), Type="String"
        )

    def _outputs(self, stack: LocalStack) -> None:
        """Write the parameter through which the command line finds the stack's resources."""
        outputs = {
            "webhook_url": stack.webhook_url,
            "webhook_secret_location": f"ssm:{self.names.webhook_secret}",
            "page_address": self._page_address(),
            "internal_bucket": self.names.bucket("internal"),
            "done_bucket": self.names.bucket("done"),
            "orders_table": self.names.resource("orders"),
            "events_table": self.names.resource("order-events"),
            "locks_table": self.names.resource("locks"),
            "watchdog_arn": self.names.watchdog_arn,
        }
        self._client("ssm").put_parameter(
            Name=f"/iac-ci/{self.names.stack}/outputs", Value=json.dumps(outputs), Type="String"
        )

    def _dead_letter_queue(self) -> None:
        self._client("sqs").create_queue(QueueName=self.names.resource("dead-letters"))

    def _function(self, definition: FunctionDefinition) -> None:
        settings = definition.settings
        self._client("lambda").create_function(
            FunctionName=self.names.resource(definition.name),
            Description=settings["description"],
            Runtime=_RUNTIME,
            Handler="entry.handler",
            Role=self.names.role_arn(settings["role"]),
            Timeout=settings["timeout_seconds"],
            MemorySize=settings["memory_mb"],
            EphemeralStorage={"Size": settings["ephemeral_storage_mb"]},
            Environment={"Variables": dict(definition.environment)},
            Code={"ZipFile": _zip({"entry.py": self._shim(definition)})},
        )
        if definition.name == "broker":
            self._client("lambda").put_function_concurrency(
                FunctionName=self.names.resource(definition.name), ReservedConcurrentExecutions=_MOST_BROKERS
            )

    def _shim(self, definition: FunctionDefinition) -> str:
        handler = definition.settings["handler"]
        if definition.name in self._sandboxed:
            return _SANDBOX.format(handler=handler, storage_mb=definition.settings["ephemeral_storage_mb"])
        module, _, name = handler.rpartition(".")
        return _SHIM.format(module=module, name=name)

    def _asynchronous(self, definition: FunctionDefinition) -> None:
        settings = definition.settings["asynchronous"]
        failure = settings["on_failure"]
        if "function" in failure:
            destination = self.names.function_arn(failure["function"])
        else:
            destination = self.names.arn("sqs", self.names.resource(failure["queue"]))
        functions = self._client("lambda")
        full = self.names.resource(definition.name)
        functions.put_function_event_invoke_config(
            FunctionName=full,
            MaximumRetryAttempts=settings["maximum_retry_attempts"],
            MaximumEventAgeInSeconds=settings["maximum_event_age_seconds"],
            DestinationConfig={"OnFailure": {"Destination": destination}},
        )
        functions.put_function_recursion_config(FunctionName=full, RecursiveLoop=definition.settings["recursive_loop"])

    def _state_machine(self, files: StackFiles) -> None:
        self._client("stepfunctions").create_state_machine(
            name=self.names.resource("watchdog"),
            definition=json.dumps(files.read("watchdog.asl.json")),
            roleArn=self.names.role_arn("watchdog-state-machine"),
        )

    def _projects(self, files: StackFiles) -> None:
        for name, settings in files.read("builds.json")["projects"].items():
            project = {
                "name": self.names.resource(name),
                "arn_prefix": self.names.arn("codebuild", "build/"),
                "buildspec": settings["buildspec"],
                "timeout_minutes": settings["timeout_minutes"],
                "compute_type": settings["compute_type"],
                "role_arn": self.names.role_arn(settings["role"]),
                "environment": {**settings["environment"], **self._worker, **self._extra},
            }
            request = urllib.request.Request(  # noqa: S310 - our own loopback
                self._aws.builds_endpoint,
                data=json.dumps(project).encode(),
                headers={"X-Amz-Target": "CodeBuild_20161006.LocalDefineProject"},
            )
            with open_loopback(request, timeout=10):
                pass

    def _event_bus(self, files: StackFiles) -> None:
        bus, events = files.read("event-bus.json"), self._client("events")
        name = self.names.resource(bus["name"])
        events.create_event_bus(Name=name, Description=bus["description"])
        events.put_permission(EventBusName=name, Policy=json.dumps(bus["policy"]))

    def _tick(self, files: StackFiles) -> None:
        tick = files.read("tick.json")
        rule = self.names.resource(tick["name"])
        events = self._client("events")
        events.put_rule(Name=rule, Description=tick["description"], ScheduleExpression=tick["schedule"])
        targets = [{"Id": name, "Arn": self.names.function_arn(name)} for name in tick["functions"]]
        events.put_targets(Rule=rule, Targets=targets)

    def _api(self, files: StackFiles) -> str:
        api = files.read("api.json")
        gateway = self._client("apigateway")
        # The tag sets the API's id, so that its address is known beforehand.
        rest = gateway.create_rest_api(name=api["name"], tags={"ms-custom-id": self._api_id})["id"]
        root = gateway.get_resources(restApiId=rest)["items"][0]["id"]

        def resource(parent: str, part: str) -> str:
            made: str = gateway.create_resource(restApiId=rest, parentId=parent, pathPart=part)["id"]
            return made

        self._method(rest, resource(root, api["path_part"]), api)
        page = api["page"]
        run = resource(resource(root, page["path_part"]), "{run_id}")
        for one in (run, resource(run, "{part}")):
            self._method(rest, one, page)
        gateway.create_deployment(restApiId=rest, stageName=api["stage"])
        return self._address(api, api["path_part"])

    def _method(self, rest: str, resource: str, settings: Mapping[str, Any]) -> None:
        """Connect a method of a resource with its function."""
        gateway = self._client("apigateway")
        method = {"restApiId": rest, "resourceId": resource, "httpMethod": settings["method"]}
        gateway.put_method(**method, authorizationType="NONE")
        function = self.names.function_arn(settings["function"])
        gateway.put_integration(
            **method,
            type="AWS_PROXY",
            integrationHttpMethod="POST",
            uri=f"arn:aws:apigateway:{self.names.region}:lambda:path/2015-03-31/functions/{function}/invocations",
            credentials=self.names.role_arn(settings["role"]),
            timeoutInMillis=settings["integration_timeout_ms"],
        )

    @property
    def _api_id(self) -> str:
        return f"{self.names.stack}-webhook"

    def _address(self, api: Mapping[str, Any], path: str) -> str:
        return f"{self._aws.endpoint}/_aws/execute-api/{self._api_id}/{api['stage']}/{path}"

    def _page_address(self) -> str:
        """Return the URL of the pages, which functions have in their environment before there is an API."""
        api = json.loads((self._folder / "api.json").read_text("utf-8"))
        return self._address(api, api["page"]["path_part"])


def without_encryption_context(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the policy without its conditions on ``kms:EncryptionContext:…``.

    MiniStack 1.5 does not support this condition key and denies every request under it. KMS still decrypts only with
    the encryption context of the encryption.
    """

    def kept(conditions: Mapping[str, Any]) -> dict[str, Any]:
        known = {
            operator: {key: value for key, value in keys.items() if not key.startswith("kms:EncryptionContext:")}
            for operator, keys in conditions.items()
        }
        return {operator: keys for operator, keys in known.items() if keys}

    statements = []
    for statement in policy["Statement"]:
        plain = {key: value for key, value in statement.items() if key != "Condition"}
        conditions = kept(statement.get("Condition", {}))
        statements.append({**plain, "Condition": conditions} if conditions else plain)
    return {**policy, "Statement": statements}


def _key_schema(keys: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": key["name"], "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)]


def _zip(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()
