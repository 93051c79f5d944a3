"""Compares the requests of each function with its policy, both ways."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from iac_ci_local.names import StackNames, placeholder_values
from iac_ci_local.templates import StackFiles, stack_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Use = tuple[str, str, str]
    """A role, the id of a statement, and an action."""

_BY_AWS: Final = "made by AWS's service with the role, not by the function"
_OF_BEFORE: Final = "made for runs that the version before accepted; tests-e2e/upgrade plays those without AWS"

NOT_RECORDED: Final[Mapping[tuple[str, str], str]] = {
    ("*", "WriteOwnLog"): _BY_AWS,
    ("*", "KeepFailedEvents"): _BY_AWS,
    ("worker", "ReportFailedInvocation"): _BY_AWS,
    ("worker-build", "PullImage"): _BY_AWS,
    ("worker-build", "LogInToRegistry"): _BY_AWS,
    ("watchdog-state-machine", "*"): _BY_AWS,
    ("webhook-api", "*"): _BY_AWS,
    ("broker", "UnsealPackagesOfTheVersionBefore"): _OF_BEFORE,
}
"""Statements whose requests nothing here can see, by role and id, each with its reason."""


RARE: Final[Mapping[tuple[str, str, str], str]] = {
    ("init-job", "RemoveLatePackages", "s3:DeleteObject"): "a preparation ends after its run",
    ("init-job", "ReadJobSecrets", "secretsmanager:GetSecretValue"): "a job names secrets of Secrets Manager",
    ("init-job", "OpenSecretsOfOwnKey", "kms:Decrypt"): "the operator encrypts secrets with keys of their own",
    ("orchestrator", "HoldLocks", "dynamodb:GetItem"): "DynamoDB's refusal does not contain the lock",
    ("orchestrator", "StartAndStopBuilds", "codebuild:StopBuild"): "a run is stopped while it builds",
    ("orchestrator", "PlanAgain", "lambda:InvokeFunction"): "an apply makes a plan stale that is to be made again",
    ("orchestrator", "ReadReportTokensKeptAsSecrets", "secretsmanager:GetSecretValue"): "tokens are in Secrets Manager",
    ("watchdog-check", "RemoveLatePackages", "s3:DeleteObject"): "a run is closed that was never prepared",
    ("watchdog-check", "ReadOrdersAndCloseGivenUpRuns", "dynamodb:PutItem"): "a run is closed that was never prepared",
    ("watchdog-check", "ReadOrdersAndCloseGivenUpRuns", "dynamodb:UpdateItem"): "a worker hands its order back",
    ("watchdog-check", "WriteEvents", "dynamodb:PutItem"): "a worker hands its order back",
    ("watchdog-check", "StartPreparationAgain", "lambda:InvokeFunction"): "a preparation ended before its time",
    ("watchdog-check", "LookAtAndStopBuilds", "codebuild:StopBuild"): "an order is past its deadline while it builds",
    ("broker", "WriteEvents", "dynamodb:PutItem"): "a ticket is traded twice",
    ("broker", "ReadSources", "ssm:GetParameter"): "an order assumes a target role",
    ("broker", "ReadConnectionsAndTheirTokens", "ssm:GetParameter"): "commands read a private module",
    ("broker", "ReadTokensKeptAsSecrets", "secretsmanager:GetSecretValue"): "commands read a private module",
    ("broker", "AssumeTargetRoles", "sts:AssumeRole"): "an order assumes a target role",
    ("broker", "AssumeTargetRoles", "sts:SetSourceIdentity"): "an order assumes a tagged target role",
    ("broker", "AssumeTargetRoles", "sts:TagSession"): "an order assumes a tagged target role",
}
"""Actions that whole runs need only sometimes, each with the case; their adapters have tests of their own."""

_OPTIONAL: Final = {
    "broker-target-roles": "broker",
    "init-job-code-bucket": "init-job",
    "init-job-secrets-key": "init-job",
}
"""Policies that a stack has for the roles, buckets and keys of its operator, by the role that gets them."""


@dataclass(slots=True)
class Comparison:
    """What the requests used of the policies, and what they needed and had not."""

    used: Counter[Use] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)

    def unused(self, policies: Mapping[str, Any]) -> list[str]:
        """Return each action of each statement that no request used, but for those in ``NOT_RECORDED`` and ``RARE``."""
        return [
            f"{role}: {sid}: {action}"
            for role, sid, action in granted(policies)
            if not self.used[role, sid, action] and not _reason(role, sid) and (role, sid, action) not in RARE
        ]

    def wrongly_excused(self) -> list[str]:
        """Return the statements of ``NOT_RECORDED`` whose requests were seen after all."""
        return sorted({f"{role}: {sid}" for role, sid, _ in self.used if _reason(role, sid)})


def _reason(role: str, sid: str) -> str | None:
    return next(
        (why for (of_role, of_sid), why in NOT_RECORDED.items() if of_role in {role, "*"} and of_sid in {sid, "*"}),
        None,
    )


def load() -> dict[str, Any]:
    """Return the policy of each role, for a stack of any name in any account."""
    values = placeholder_values(StackNames("*", "*", "*"), kms_key_arn="*", log_level="INFO", max_parallel=1)
    optional = dict.fromkeys(("code_bucket", "target_role_arn", "secrets_key_arn"), "*")
    files = StackFiles(stack_folder(), {**values, **optional})
    loaded = {name: files.read(role["policy"]) for name, role in files.read("roles.json")["roles"].items()}
    for name, role in _OPTIONAL.items():
        loaded[role]["Statement"] += files.read(f"policies/{name}.json")["Statement"]
    return loaded


def granted(policies: Mapping[str, Any]) -> Iterator[Use]:
    """Yield each action that a policy allows."""
    for role, policy in policies.items():
        for statement in policy["Statement"]:
            if statement["Effect"] == "Allow":
                for action in statement["Action"]:
                    yield role, statement["Sid"], action


def compare(records: Iterable[Mapping[str, Any]], policies: Mapping[str, Any]) -> Comparison:
    """Compare the records of functions and builds with the policies of their roles."""
    found = Comparison()
    for entry in records:
        role = _role(entry, policies)
        if role is None:
            continue
        for action, resource, key in entry["needs"]:
            sids = [
                statement["Sid"]
                for statement in policies[role]["Statement"]
                if _allows(statement, action, resource, key)
            ]
            for sid in sids:
                found.used[role, sid, action] += 1
            if not sids:
                found.missing[f"{role}: {action} on {resource} {key or ''}".rstrip()] += 1
    return found


def _role(entry: Mapping[str, Any], policies: Mapping[str, Any]) -> str | None:
    if entry["kind"] == "build":
        return "worker-build"
    if entry["kind"] == "function":
        return next((role for role in policies if entry["caller"].endswith(f"-{role}")), None)
    return None


def _allows(statement: Mapping[str, Any], action: str, resource: str, key: str | None) -> bool:
    if statement["Effect"] != "Allow" or action not in statement["Action"]:
        return False
    resources = [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
    if not any(fnmatchcase(resource, _tail(pattern)) or fnmatchcase(resource, pattern) for pattern in resources):
        return False
    condition = json.dumps(statement.get("Condition", {}))
    if "dynamodb:LeadingKeys" not in condition:
        return True
    keys = statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    return key is not None and any(fnmatchcase(key, pattern) for pattern in keys)


def _tail(arn: str) -> str:
    """Return an ARN without its partition, service, region and account."""
    return arn.split(":", 5)[-1] if arn.startswith("arn:") else arn
