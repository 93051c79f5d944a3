"""Reads what an account, a region and a caller allow before a deployment, and derives variables from it.

It changes nothing. What AWS does not answer stays unknown and stops nothing: `pipelines/deploy --check` names it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, UnknownRegionError
from botocore.parsers import ResponseParserError
from deployer_rights import missing_rights

from iac_ci_cli.aws_messages import aws_message

if TYPE_CHECKING:
    from collections.abc import Callable

WRONG: Final = 2
"""Exit code if a problem stops the deployment."""

DEFAULT_PARALLEL: Final = 100
"""The default of the variable max_parallel."""

MOST_EXECUTIONS: Final = 1000
"""Lambda's default of concurrent executions; accounts that are new to it have fewer."""

MEMORY_OF_NEW_ACCOUNTS: Final = 3008
"""Megabytes that Lambda gives a function of an account that is new to it (AWS Lambda Developer Guide, "Lambda quotas";
the number from awslabs/genai-bedrock-agent-chatbot#4). No call of AWS tells the account's own."""

KEPT_UNRESERVED: Final = 100
"""Concurrent executions that Lambda leaves unreserved in every account (AWS Lambda Developer Guide, "Configuring
reserved concurrency")."""

WITHOUT_RECURSION_SETTING: Final = ("us-gov-east-1", "us-gov-west-1", "mx-central-1", "ap-southeast-6")
"""Regions in which Lambda does not detect recursive loops, so that there is nothing to allow. terraform/deploy/stack.tf
has the same list."""

_FROM_ENVIRONMENT: Final = (
    "architecture",
    "build_compute_type",
    "build_concurrency",
    "kms_key_arn",
    "manage_api_gateway_account",
    "max_parallel",
    "page_concurrency",
    "permissions_boundary_arn",
    "worker_concurrency",
    "worker_memory_mb",
)
"""Variables that are judged and that the operator may also set as TF_VAR_…"""

_SERVICES: Final = (
    "apigateway",
    "codebuild",
    "dynamodb",
    "ecr",
    "events",
    "kms",
    "lambda",
    "sns",
    "sqs",
    "stepfunctions",
)


@dataclass(frozen=True)
class Facts:
    """What AWS answered; None where it did not answer."""

    concurrent_executions: int | None = None
    reserved_by_others: int = 0
    concurrent_builds: int | None = None
    builds_quota_code: str | None = None
    sizes_without_builds: tuple[str, ...] = ()
    api_role: str | None = None
    api_role_known: bool = False
    region_of_roles: str | None = None
    missing_services: tuple[str, ...] = ()
    missing_rights: tuple[str, ...] | None = None
    unknown: tuple[str, ...] = ()


@dataclass
class Report:
    """What a check found, and the variables that follow from it."""

    fine: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    derived: dict[str, Any] = field(default_factory=dict)


def judge(facts: Facts, variables: dict[str, Any]) -> Report:
    """Return what the facts mean for a deployment with these variables."""
    report = Report(remarks=[f"not known: {subject}" for subject in facts.unknown])
    _judge_functions(facts, variables, report)
    _judge_builds(facts, variables, report)
    _judge_api_role(facts, variables, report)
    _judge_region(facts, variables, report)
    if facts.missing_rights:
        listed = ", ".join(facts.missing_rights)
        report.problems.append(f"the caller may not: {listed} (pipelines/deployer-policy.json has what is needed)")
    elif facts.missing_rights is not None:
        report.fine.append("the caller may create and change the stack")
    return report


def _number(variables: dict[str, Any], name: str) -> int | None:
    """Return a variable that is a number, also as text, which Terraform accepts; None for what it refuses itself."""
    try:
        return int(variables[name])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _judge_functions(facts: Facts, variables: dict[str, Any], report: Report) -> None:
    limit = facts.concurrent_executions
    if limit is None:
        return
    shared = limit - facts.reserved_by_others
    runs = f"Lambda runs {limit} functions at once"
    if facts.reserved_by_others:
        runs += f", {facts.reserved_by_others} of them reserved for functions outside of this stack"
    # Half of what is shared: the endpoint, the orchestrator, the watchdog and the broker need the rest.
    fits = max(1, min(DEFAULT_PARALLEL, shared // 2))
    chosen = _number(variables, "max_parallel")
    if chosen is None:
        report.derived["max_parallel"] = fits
        report.fine.append(f"{runs}: max_parallel is {fits}")
    elif chosen > fits:
        report.remarks.append(
            f"{runs}, and max_parallel is {chosen}: a run can keep the endpoint waiting; {fits} or fewer leave room"
        )
    else:
        report.fine.append(f"{runs}, enough for max_parallel {chosen}")
    reserved = {name: _number(variables, name) or 0 for name in ("worker_concurrency", "page_concurrency")}
    reserved = {name: number for name, number in reserved.items() if number > 0}
    if reserved and shared - sum(reserved.values()) < KEPT_UNRESERVED:
        names = " and ".join(f"{name} {number}" for name, number in reserved.items())
        report.problems.append(
            f"{names} cannot be reserved: {runs} and keeps {KEPT_UNRESERVED} unreserved. Lower or remove the"
            f" {'variable' if len(reserved) == 1 else 'variables'}, or have the quota raised"
        )
    memory = _number(variables, "worker_memory_mb") or 0
    if limit < MOST_EXECUTIONS and memory > MEMORY_OF_NEW_ACCOUNTS:
        report.remarks.append(
            f"Lambda may refuse worker_memory_mb {memory}: accounts that are new to it have {MEMORY_OF_NEW_ACCOUNTS} MB"
            " until AWS raises that, by itself or on request to its support"
        )
    if limit < KEPT_UNRESERVED:
        report.remarks.append(
            f"the account is new to Lambda: {limit} concurrent executions for all its functions. Have the quota raised"
            " before many runs share it (Service Quotas, Lambda, L-B99A9384)"
        )


def _judge_builds(facts: Facts, variables: dict[str, Any], report: Report) -> None:
    limit = facts.concurrent_builds
    if limit is None:
        return
    raise_it = f"Service Quotas, CodeBuild, {facts.builds_quota_code}"
    if limit == 0:
        report.remarks.append(
            "CodeBuild runs no build in this account: orders of more than 9 minutes and those with the target codebuild"
            f" wait until the quota is raised, and then time out ({raise_it})"
        )
    elif limit == 1:
        report.remarks.append(f"CodeBuild runs one build at once; further orders wait ({raise_it})")
    else:
        report.fine.append(f"CodeBuild runs {limit} builds at once")
    report.remarks.extend(
        f"CodeBuild runs no build of the order size {size} in this account: its orders wait until the quota is raised"
        for size in facts.sizes_without_builds
    )
    chosen = _number(variables, "build_concurrency")
    if chosen is not None and chosen > limit:
        what_to_do = "Lower or remove" if limit else "Remove"
        report.problems.append(
            f"build_concurrency {chosen} is more than this account's quota of concurrent builds, {limit}: CodeBuild"
            f" refuses it. {what_to_do} the variable, or have the quota raised ({raise_it})"
        )


def _judge_api_role(facts: Facts, variables: dict[str, Any], report: Report) -> None:
    if not facts.api_role_known:
        return
    own = f"{variables['stack']}-api-logs"
    name = (facts.api_role or "").rpartition("/")[2]
    if not name or name == own:
        report.fine.append(
            "API Gateway's account role is this stack's to set" if not name else f"{own} is API Gateway's"
        )
        return
    if variables.get("manage_api_gateway_account") in (True, "true"):
        report.problems.append(
            f"API Gateway of this account and region has the role {facts.api_role}, which other APIs use for their"
            " logs, and manage_api_gateway_account would replace it. Remove the variable"
        )
        return
    report.derived["manage_api_gateway_account"] = False
    report.fine.append(f"API Gateway has the role {facts.api_role} already, which stays")


def _judge_region(facts: Facts, variables: dict[str, Any], report: Report) -> None:
    region = variables["region"]
    if facts.region_of_roles not in {None, region}:
        report.problems.append(
            f"a stack {variables['stack']} is in {facts.region_of_roles}, and IAM has the roles of all regions: choose"
            " another name (--stack)"
        )
    if facts.missing_services:
        report.problems.append(f"{region} has no {', '.join(facts.missing_services)}")
    if region in WITHOUT_RECURSION_SETTING:
        report.fine.append(f"{region} does not detect recursive loops: nothing has to be allowed")


def read_facts(variables: dict[str, Any], *, rights: bool) -> Facts:
    """Ask AWS; ``rights`` also asks what the caller may do."""
    region = variables["region"]
    found: dict[str, Any] = {}
    unknown: list[str] = []

    def ask(subject: str, call: Callable[[], dict[str, Any]]) -> None:
        try:
            found.update(call())
        except (ClientError, BotoCoreError, ResponseParserError, KeyError, ValueError) as error:
            message = aws_message(error)
            unknown.append(f"{subject} ({message[0] if message else type(error).__name__})")

    ask("how many functions Lambda runs at once", lambda: _functions(region, variables["stack"]))
    ask("how many builds CodeBuild runs at once", lambda: _builds(region, variables))
    ask("the role of API Gateway", lambda: _api_role(region))
    ask("the region of the stack's roles", lambda: {"region_of_roles": _region_of_roles(variables["stack"], region)})
    if rights:
        ask("what the caller may do", lambda: {"missing_rights": _missing_rights(variables)})
    return Facts(**found, missing_services=_missing_services(region), unknown=tuple(unknown))


def _missing_rights(variables: dict[str, Any]) -> tuple[str, ...]:
    boundary, key = (variables.get(name) for name in ("permissions_boundary_arn", "kms_key_arn"))
    return missing_rights(
        variables["stack"],
        variables["region"],
        boundary=boundary if isinstance(boundary, str) else None,
        key=key if isinstance(key, str) else None,
    )


def _client(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region, config=Config(connect_timeout=5, read_timeout=20))


def _functions(region: str, stack: str) -> dict[str, Any]:
    functions = _client("lambda", region)
    limits = functions.get_account_settings()["AccountLimit"]
    limit = int(limits["ConcurrentExecutions"])
    shared = int(limits.get("UnreservedConcurrentExecutions", limit))
    if shared < limit:
        shared += sum(_reserved_by(functions, f"{stack}-{name}") for name in ("worker", "page"))
    return {"concurrent_executions": limit, "reserved_by_others": max(0, limit - shared)}


def _reserved_by(functions: Any, name: str) -> int:
    """Return the concurrency that a function reserves; 0 if it does not exist yet."""
    try:
        return int(functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions", 0))
    except functions.exceptions.ResourceNotFoundException:
        return 0


def _builds(region: str, variables: dict[str, Any]) -> dict[str, Any]:
    pages = _client("service-quotas", region).get_paginator("list_service_quotas").paginate(ServiceCode="codebuild")
    quotas = {quota["QuotaName"].lower(): quota for page in pages for quota in page["Quotas"]}
    kind = "ARM" if variables.get("architecture") == "arm64" else "Linux"

    def name(compute_type: str) -> str:
        machine = compute_type.removeprefix("BUILD_GENERAL1_")
        size = machine if machine.startswith("2") else machine.capitalize()
        return f"concurrently running builds for {kind}/{size} environment".lower()

    own = quotas[name(str(variables.get("build_compute_type") or "BUILD_GENERAL1_SMALL"))]
    sizes = variables.get("order_sizes")
    named = sizes.items() if isinstance(sizes, dict) else ()
    missing = tuple(size for size, machine in named if quotas.get(name(str(machine)), {}).get("Value") == 0)
    return {
        "concurrent_builds": int(own["Value"]),
        "builds_quota_code": own["QuotaCode"],
        "sizes_without_builds": missing,
    }


def _api_role(region: str) -> dict[str, Any]:
    account = _client("apigateway", region).get_account()
    return {"api_role": account.get("cloudwatchRoleArn"), "api_role_known": True}


def _region_of_roles(stack: str, region: str) -> str | None:
    """Return the region that a role of a stack of this name is for; None if there is no such role with a policy."""
    iam = _client("iam", region)
    try:
        policy = iam.get_role_policy(RoleName=f"{stack}-init-job", PolicyName="init-job")["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        return None
    found = re.search(r":dynamodb:([a-z0-9-]+):", json.dumps(policy))
    return found[1] if found else None


def _missing_services(region: str) -> tuple[str, ...]:
    """Return the services that botocore knows in other regions of the partition, and not in this one.

    A region that botocore does not know at all is newer than it, and nothing is known of its services.
    """
    session = boto3.session.Session()
    try:
        partition = session.get_partition_for_region(region)
    except UnknownRegionError:
        return ()
    missing = [
        service
        for service in _SERVICES
        if region not in session.get_available_regions(service, partition_name=partition)
        and session.get_available_regions(service, partition_name=partition)
    ]
    return () if len(missing) == len(_SERVICES) else tuple(missing)


def main() -> None:
    """Read the variables on standard input and print them with what follows; ``--check`` prints all findings."""
    whole = "--check" in sys.argv[1:]
    variables: dict[str, Any] = json.load(sys.stdin)
    # The file comes before the environment, as with Terraform.
    known = {name: os.environ[f"TF_VAR_{name}"] for name in _FROM_ENVIRONMENT if os.environ.get(f"TF_VAR_{name}")}
    known |= variables
    report = judge(read_facts(known, rights=whole), known)
    if whole:
        sys.stderr.writelines(f"  fine     {line}\n" for line in report.fine)
    if whole or report.problems:
        sys.stderr.writelines(f"  remark   {line}\n" for line in report.remarks)
    sys.stderr.writelines(f"  problem  {line}\n" for line in report.problems)
    if report.problems:
        sys.exit(WRONG)
    # A variable with a value is never derived, and null is none.
    sys.stdout.write(json.dumps(variables | report.derived, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
