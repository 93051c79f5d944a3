"""The largest legal value of every variable of ``terraform/deploy``, and what a stack of them has."""

from __future__ import annotations

import json
import random
import string
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from terraform.stage import copy_of

from aws.limits import Measure, measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from terraform.stage import Stage

STACK: Final = "s" * 22
REGION: Final = "xx-gov-southeast-1"
ACCOUNT: Final = "123456789012"
_HOST: Final = "git.example.com"
_KEY: Final = f"arn:aws-us-gov:kms:{REGION}:{ACCOUNT}:key/mrk-{'0' * 32}"
_PREFIX: Final = "/" + "/".join(["p" * 19] * 9) + "/" + "p" * 18 + "/"


def _names(count: int) -> list[str]:
    """Return names that compress as badly as words do."""
    letters = random.Random(1)
    return ["infrastructure-" + "".join(letters.choices(string.ascii_lowercase, k=8)) for _ in range(count)]


_ROLES: Final = [f"arn:aws-us-gov:iam::{ACCOUNT}:role/iac-ci/{number:03d}" + "r" * 61 for number in range(200)]
_SOURCES: Final = [f"{_HOST}/acme-platform/{name}" for name in _names(500)]

VARIABLES: Final[Mapping[str, Any]] = {
    "stack": STACK,
    "region": REGION,
    "tags": {f"{number:02d}" + "t" * 125: "v" * 255 for number in range(49)},
    "image_uri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/".ljust(400 - 72, "r") + "@sha256:" + "a" * 64,
    "architecture": "x86_64",
    "log_level": "WARNING",
    "log_retention_days": 3653,
    "log_days": 14,
    "plan_days": 14,
    "max_parallel": 1000,
    "dashboard": True,
    "worker_concurrency": 1_000_000,
    "build_concurrency": 1_000_000,
    "page_concurrency": 1_000_000,
    "worker_memory_mb": 10240,
    "worker_storage_mb": 10240,
    "build_compute_type": "BUILD_GENERAL1_2XLARGE",
    "build_image_uri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/".ljust(400 - 72, "b") + "@sha256:" + "b" * 64,
    "order_sizes": {f"{letter}".ljust(32, "s"): "BUILD_GENERAL1_2XLARGE" for letter in "abcdefghij"},
    "provider_mirror": "https://" + "m" * 512 + "/",
    "tool_sources": {
        tool: {"address": "https://" + "m" * 72, "fingerprint": "F" * 40}
        for tool in ("terraform", "opentofu", "terragrunt")
    },
    "webhook_secret": "w" * 4096,
    "webhook_secret_version": 1_000_000,
    "page_key": "k" * 4096,
    "page_key_version": 1_000_000,
    "more_webhook_secrets": [f"-{number:040d}" for number in range(10)],
    "secrets_prefix": _PREFIX,
    "notifications": {
        f"n{number:02d}".ljust(32, "n"): {
            "kind": "https",
            "address": "https://" + "a" * 1016,
            "header": "H" * 64,
            "statuses": ["succeeded", "failed", "timed_out", "cancelled"],
        }
        for number in range(20)
    },
    "notification_secrets": {f"n{number:02d}".ljust(32, "n"): "s" * 512 for number in range(20)},
    # As many as fit into the environment of a function beside the others.
    "code_hosts": {f"{number:02d}." + "h" * 60: {"kind": "gitlab", "api_url": None} for number in range(7)},
    "code_buckets": [f"{number:02d}" + "b" * 61 for number in range(100)],
    "target_role_arns": _ROLES,
    "secrets_key_arns": [f"arn:aws-us-gov:kms:{REGION}:{ACCOUNT}:key/mrk-{number:032d}" for number in range(20)],
    "kms_key_arn": _KEY,
    "permissions_boundary_arn": f"arn:aws-us-gov:iam::{ACCOUNT}:policy/" + "p" * 512 + "/" + "n" * 128,
    "worker_network": {
        "vpc_id": "vpc-" + "0" * 17,
        "subnet_ids": [f"subnet-{number:017d}" for number in range(16)],
        "security_group_ids": [f"sg-{number:017d}" for number in range(5)],
    },
    "web_acl_arn": f"arn:aws-us-gov:wafv2:{REGION}:{ACCOUNT}:regional/webacl/" + "w" * 128 + "/" + "0" * 36,
    "manage_api_gateway_account": True,
    "alarm_emails": [f"{number:03d}" + "e" * 61 + "@" + "d" * 251 + ".com" for number in range(100)],
    "destroy_contents": True,
    "tagged_role_arns": _ROLES,
    "secret_allow_list": {source: [f"{source.rpartition('/')[2]}/**"] for source in _SOURCES},
    "role_allow_list": {source: [_ROLES[number % len(_ROLES)]] for number, source in enumerate(_SOURCES)},
    "connections": [
        {
            "repositories": [f"https://{_HOST}/acme-platform/{name}" for name in _names(500)],
            "webhook_secrets": [f"ssm:/iac-ci/{STACK}/webhook-secret-github"],
            "token_location": f"ssm:{_PREFIX}tokens/github",
        }
    ],
}
"""The largest legal value of each variable."""

TOO_LARGE: Final[Mapping[str, tuple[Any, str]]] = {
    "stack": ("s" * 23, "3 to 22"),
    "region": ("xx-gov-southeastx-1", "at most 18"),
    "tags": ({f"{number:02d}": "" for number in range(50)}, "at most 49"),
    "image_uri": ("e.com/" + "r" * 400 + "@sha256:" + "a" * 64, "at most 400"),
    "max_parallel": (1001, "1 to 1,000"),
    "more_webhook_secrets": ([f"-{number}" for number in range(11)], "at most 10"),
    "secrets_prefix": ("/" + "p" * 199 + "/", "200 characters"),
    "code_hosts": ({f"{number:02d}." + "h" * 60: {"kind": "gitlab"} for number in range(12)}, "1,024 bytes"),
    "notifications": ({f"n{number}": {"kind": "https", "address": "https://a"} for number in range(21)}, "at most 20"),
    "notification_secrets": ({f"n{number:02d}".ljust(32, "n"): "s" * 513 for number in range(20)}, "1 to 512"),
    "tool_sources": ({"terraform": {"address": "https://" + "m" * 512}}, "at most 512 bytes"),
    "worker_network": (
        {"vpc_id": "vpc-1", "subnet_ids": [f"subnet-{n}" for n in range(17)], "security_group_ids": ["sg-1"]},
        "one to 16",
    ),
    "kms_key_arn": (f"arn:aws:kms:{REGION}:{ACCOUNT}:key/" + "0" * 65, "ARN of a key"),
}
"""A value beyond the largest of each variable that has one, and what the refusal names."""

_NOT_PLANNED: Final = {
    "IAC_CI_PAGE_ADDRESS": f"https://0123456789.execute-api.{REGION}.amazonaws.com/live/runs",
    "IAC_CI_PERMISSIONS_CHANGED_AT": "2000-01-01T00:00:00Z",
}
"""Variables of functions that a plan does not know before the first apply."""

_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "aws_iam_role": ("iam_role_name", "name"),
    "aws_iam_role_policy": ("iam_policy_name", "name"),
    "aws_iam_policy": ("iam_policy_name", "name"),
    "aws_lambda_function": ("lambda_function_name", "function_name"),
    "aws_codebuild_project": ("codebuild_project_name", "name"),
    "aws_s3_bucket": ("s3_bucket_name", "bucket"),
    "aws_dynamodb_table": ("dynamodb_table_name", "name"),
    "aws_sfn_state_machine": ("states_name", "name"),
    "aws_sqs_queue": ("sqs_queue_name", "name"),
    "aws_cloudwatch_metric_alarm": ("alarm_name", "alarm_name"),
    "aws_cloudwatch_log_group": ("log_group_name", "name"),
    "aws_ssm_parameter": ("ssm_name", "name"),
    "aws_cloudwatch_event_rule": ("event_name", "name"),
    "aws_cloudwatch_event_connection": ("event_name", "name"),
    "aws_cloudwatch_event_api_destination": ("event_name", "name"),
}


def stage_of(folder: Path, configuration: str) -> Stage:
    """Copy ``terraform/deploy`` for the largest variables, with the stand-in for the provider.

    The stand-in knows one partition; the longest ARNs are of another.
    """
    stage = copy_of("deploy", folder, configuration)
    (stage.folder / "partition_override.tf").write_text('locals {\n  partition = "aws-us-gov"\n}\n', "utf-8")
    return stage


def plan(stage: Stage) -> list[dict[str, Any]]:
    """Plan the largest variables; return every resource.

    With the key given, a plan knows every policy; only what AWS makes up is missing.
    """
    (stage.folder / "test.auto.tfvars.json").write_text(json.dumps(VARIABLES), "utf-8")
    stage.keep_state_here()
    resources: list[dict[str, Any]] = stage.plan()["planned_values"]["root_module"]["resources"]
    return [resource for resource in resources if resource["mode"] == "managed" and "values" in resource]


def measures(resources: Iterable[Mapping[str, Any]]) -> Iterator[Measure]:
    """Measure every resource of a stack."""
    by_type: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for resource in resources:
        by_type[resource["type"]].append(resource["values"])
    for kind, (limit, field) in _NAMES.items():
        # Of one log group, API Gateway makes up a part of the name.
        if names := [values[field] for values in by_type[kind] if field in values]:
            yield measure(limit, f"names: {kind}", *names)
    yield from _rights(by_type)
    yield measure(
        "lambda_environment",
        "variables of a function",
        *(_compact(_NOT_PLANNED | one["environment"][0]["variables"]) for one in by_type["aws_lambda_function"]),
    )
    yield measure("lambda_seconds", "time-out of a function", *(f["timeout"] for f in by_type["aws_lambda_function"]))
    yield measure("lambda_megabytes", "memory and /tmp of a function", *_megabytes(by_type["aws_lambda_function"]))
    yield from _values(by_type)


def _rights(by_type: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Measure]:
    inline: dict[str, str] = defaultdict(str)
    for policy in by_type["aws_iam_role_policy"]:
        inline[policy["role"]] += _compact(json.loads(policy["policy"]))
    role, policies = max(inline.items(), key=lambda entry: len(entry[1]))
    yield measure("iam_inline_policies", f"role {role.removeprefix(STACK + '-')}", policies)
    if by_type["aws_iam_policy"]:
        documents = [_compact(json.loads(policy["policy"])) for policy in by_type["aws_iam_policy"]]
        yield measure("iam_managed_policy", "lists of roles, buckets and keys", *documents)
    attached: dict[str, int] = defaultdict(int)
    for attachment in by_type["aws_iam_role_policy_attachment"]:
        attached[attachment["role"]] += 1
    yield measure("iam_managed_policies", "attached to one role", *attached.values())
    trusts = [_compact(json.loads(role["assume_role_policy"])) for role in by_type["aws_iam_role"]]
    yield measure("iam_trust_policy", "trust policy of a role", *trusts)
    policies_of_buckets = [policy["policy"] for policy in by_type["aws_s3_bucket_policy"]]
    yield measure("s3_bucket_policy", "policy of a bucket", *policies_of_buckets)


def _megabytes(functions: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    for function in functions:
        yield function["memory_size"]
        yield function["ephemeral_storage"][0]["size"]


def _values(by_type: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Measure]:
    values: dict[str, list[str]] = defaultdict(list)
    for parameter in by_type["aws_ssm_parameter"]:
        # A plan does not know the outputs, of which AWS makes up parts; applied, they have 1,292 bytes.
        if parameter.get("value"):
            values[parameter["name"].removeprefix(f"/iac-ci/{STACK}/").partition("/")[0]].append(parameter["value"])
    for name in ("connections", "sources"):
        yield measure("ssm_advanced", f"parameter {name}", *values[name])
    yield measure("ssm_standard", "parameter webhook-secret", VARIABLES["webhook_secret"])
    levels = max(parameter["name"].count("/") for parameter in by_type["aws_ssm_parameter"])
    yield measure("ssm_levels", "levels of a parameter", levels, VARIABLES["secrets_prefix"].count("/") + 1)
    yield measure("states_definition", "the watchdog", *(m["definition"] for m in by_type["aws_sfn_state_machine"]))
    filters = [entry["pattern"] for entry in by_type["aws_cloudwatch_log_metric_filter"]]
    yield measure("logs_filter", "the watchdogs' repairs", *filters)
    tags = [values["tags_all"] for kind in by_type for values in by_type[kind] if values.get("tags_all")]
    yield measure("tags", "tags of a resource", *(len(entry) for entry in tags), len(VARIABLES["tags"]) + 1)
    yield measure("tag_name", "name of a tag", *VARIABLES["tags"])
    yield measure("tag_value", "value of a tag", *VARIABLES["tags"].values())
    methods = [method["timeout_milliseconds"] for method in by_type["aws_api_gateway_integration"]]
    yield measure("api_gateway_milliseconds", "time of the webhook's integration", *methods)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
