"""Steps about policies: what they allow, to whom, and what they refuse."""

import fnmatch
import json

from radish import then
from terraform_compliance.common.error_handling import Error


def policy_of(resource):
    policy = resource["values"].get("policy", resource["values"].get("assume_role_policy"))
    return json.loads(policy) if isinstance(policy, str) else policy


def as_list(value):
    return value if isinstance(value, list) else [value]


def statements(step):
    """Return every statement of what was found, with the address of its resource; a resource without any fails."""
    for resource in step.context.stash:
        found = as_list((policy_of(resource) or {}).get("Statement", []))
        if not found:
            Error(step, f"{resource['address']} has no policy that the plan knows")
        for statement in found:
            yield resource["address"], statement


@then("no statement may allow whole services")
def no_statement_may_allow_whole_services(step):
    for address, statement in statements(step):
        if "NotAction" in statement or "NotResource" in statement:
            Error(step, f"{address} allows by exception: {statement}")
        for action in as_list(statement.get("Action", "*")):
            if statement["Effect"] == "Allow" and "*" in action:
                Error(step, f"{address} allows {action}")


@then("only these statements may allow every resource")
def only_these_statements_may_allow_every_resource(step):
    allowed = {(row["role"], row["statement"]) for row in step.table}
    found = set()
    for address, statement in statements(step):
        if statement["Effect"] == "Allow" and "*" in as_list(statement["Resource"]):
            found.add((address.partition('["')[2].removesuffix('"]'), statement.get("Sid", "?")))
    for extra in sorted(found - allowed):
        Error(step, f"{extra[0]} allows every resource in its statement {extra[1]}")
    for missing in sorted(allowed - found):
        Error(step, f"{missing[0]} does not need to be allowed every resource in {missing[1]} any more")


@then("no resource may be a whole service")
def no_resource_may_be_a_whole_service(step):
    """``arn:aws:s3:::*`` is no narrower than ``*``."""
    for address, statement in statements(step):
        for resource in as_list(statement["Resource"]):
            if (
                statement["Effect"] == "Allow"
                and resource != "*"
                and set(resource.split(":", 5)[-1]) <= {"*", "/", ":"}
            ):
                Error(step, f"{address} allows {resource}")


@then("only services may be trusted")
def only_services_may_be_trusted(step):
    for address, statement in statements(step):
        principal = statement["Principal"]
        services = as_list(principal.get("Service", [])) if isinstance(principal, dict) else []
        if not services or set(principal) != {"Service"} or fnmatch.filter(services, "*.amazonaws.com") != services:
            Error(step, f"{address} trusts {principal}")


@then("only refusals may name everybody")
def only_refusals_may_name_everybody(step):
    for address, statement in statements(step):
        principal = statement["Principal"]
        named = (
            as_list(principal) if isinstance(principal, str) else [v for p in principal.values() for v in as_list(p)]
        )
        if statement["Effect"] == "Allow" and "*" in named:
            Error(step, f"{address} allows everybody {statement['Action']}")


def plain_http(condition):
    """Whether all requests over plain HTTP meet a condition; terraform-compliance may have read "false" already."""
    asked = (condition or {}).get("Bool", {}).get("aws:SecureTransport")
    return condition == {"Bool": {"aws:SecureTransport": asked}} and str(asked).lower() == "false"


@then("its policy must refuse plain HTTP")
def its_policy_must_refuse_plain_http(step):
    everybody = ("*", {"AWS": "*"})
    refusing = {
        address
        for address, statement in statements(step)
        if statement["Effect"] == "Deny"
        and statement["Principal"] in everybody
        and plain_http(statement.get("Condition"))
        and any(action.endswith((":*", ":Publish")) for action in as_list(statement["Action"]))
    }
    for resource in step.context.stash:
        if resource["address"] not in refusing:
            Error(step, f"{resource['address']} answers plain HTTP")


@then("it must open keys for runs and pull requests only")
def it_must_open_keys_for_runs_and_pull_requests_only(step):
    """Encrypt and decrypt under the stack's key only where the request names a run or a scope."""
    bound = {"kms:EncryptionContext:iac-ci-run", "kms:EncryptionContext:iac-ci-scope"}
    found = False
    for address, statement in statements(step):
        actions = {action for action in as_list(statement["Action"]) if action.startswith("kms:")}
        if actions:
            found = True
            if not bound & statement.get("Condition", {}).get("StringLike", {}).keys():
                Error(step, f"{address} allows {sorted(actions)} without naming a run or scope")
    if not found:
        Error(step, "no policy speaks of keys")
