"""Reads what an account, a region and a caller allow before a deployment, and derives variables from it.

It changes nothing. What AWS does not answer stays unknown and stops nothing: `pipelines/deploy --check` names it.
"""

from __future__ import annotations

import json
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

KEPT_UNRESERVED: Final = 100
"""Concurrent executions that Lambda leaves unreserved in every account (AWS Lambda Developer Guide, "Configuring
reserved concurrency")."""

WITHOUT_RECURSION_SETTING: Final = ("us-gov-east-1", "us-gov-west-1", "mx-central-1", "ap-southeast-6")
"""Regions in which Lambda does not detect recursive loops, so that there is nothing to allow. terraform/deploy/stack.tf
has the same list."""

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
    concurrent_builds: int | None = None
    builds_quota_code: str | None = None
    api_role: str | None = None
    api_role_known: bool = False
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


def _judge_functions(facts: Facts, variables: dict[str, Any], report: Report) -> None:
    limit = facts.concurrent_executions
    if limit is None:
        return
    # Half of the limit: the endpoint, the orchestrator, the watchdog and the broker need the rest.
    fits = max(1, min(DEFAULT_PARALLEL, limit // 2))
    chosen = variables.get("max_parallel")
    if chosen is None:
        report.derived["max_parallel"] = fits
        report.fine.append(f"Lambda runs {limit} functions at once: max_parallel is {fits}")
    elif chosen > fits:
        report.remarks.append(
            f"Lambda runs {limit} functions at once, and max_parallel is {chosen}: a run can keep the endpoint waiting;"
            f" {fits} or fewer leave room"
        )
    else:
        report.fine.append(f"Lambda runs {limit} functions at once, enough for max_parallel {chosen}")
    reserved = variables.get("worker_concurrency")
    if reserved is not None and limit - reserved < KEPT_UNRESERVED:
        report.problems.append(
            f"worker_concurrency {reserved} cannot be reserved: Lambda runs {limit} functions at once and keeps"
            f" {KEPT_UNRESERVED} unreserved. Remove the variable, or have the quota raised"
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
    chosen = variables.get("build_concurrency")
    if chosen is not None and chosen > limit:
        report.problems.append(
            f"build_concurrency {chosen} is more than the {limit} builds that CodeBuild runs at once in this account,"
            f" which it refuses. Lower the variable, or have the quota raised ({raise_it})"
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
    if variables.get("manage_api_gateway_account"):
        report.problems.append(
            f"API Gateway of this account and region has the role {facts.api_role}, which other APIs use for their"
            " logs, and manage_api_gateway_account would replace it. Remove the variable"
        )
        return
    report.derived["manage_api_gateway_account"] = False
    report.fine.append(f"API Gateway has the role {facts.api_role} already, which stays")


def _judge_region(facts: Facts, variables: dict[str, Any], report: Report) -> None:
    region = variables["region"]
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

    ask("how many functions Lambda runs at once", lambda: _functions(region))
    ask("how many builds CodeBuild runs at once", lambda: _builds(region, variables))
    ask("the role of API Gateway", lambda: _api_role(region))
    if rights:
        ask("what the caller may do", lambda: {"missing_rights": missing_rights(variables["stack"], region)})
    return Facts(**found, missing_services=_missing_services(region), unknown=tuple(unknown))


def _client(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region, config=Config(connect_timeout=5, read_timeout=20))


def _functions(region: str) -> dict[str, Any]:
    limits = _client("lambda", region).get_account_settings()["AccountLimit"]
    return {"concurrent_executions": int(limits["ConcurrentExecutions"])}


def _builds(region: str, variables: dict[str, Any]) -> dict[str, Any]:
    machine = (variables.get("build_compute_type") or "BUILD_GENERAL1_SMALL").removeprefix("BUILD_GENERAL1_")
    size = machine if machine.startswith("2") else machine.capitalize()
    kind = f"{'ARM' if variables.get('architecture') == 'arm64' else 'Linux'}/{size}"
    wanted = f"concurrently running builds for {kind} environment".lower()
    pages = _client("service-quotas", region).get_paginator("list_service_quotas").paginate(ServiceCode="codebuild")
    for quota in (quota for page in pages for quota in page["Quotas"]):
        if quota["QuotaName"].lower() == wanted:
            return {"concurrent_builds": int(quota["Value"]), "builds_quota_code": quota["QuotaCode"]}
    raise KeyError(wanted)


def _api_role(region: str) -> dict[str, Any]:
    account = _client("apigateway", region).get_account()
    return {"api_role": account.get("cloudwatchRoleArn"), "api_role_known": True}


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
    report = judge(read_facts(variables, rights=whole), variables)
    if whole:
        sys.stderr.writelines(f"  fine     {line}\n" for line in report.fine)
    if whole or report.problems:
        sys.stderr.writelines(f"  remark   {line}\n" for line in report.remarks)
    sys.stderr.writelines(f"  problem  {line}\n" for line in report.problems)
    if report.problems:
        sys.exit(WRONG)
    sys.stdout.write(json.dumps(report.derived | variables, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
