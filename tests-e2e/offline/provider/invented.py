"""The values that AWS would have made: the same ones for the same configuration, and shaped like AWS's."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from offline.provider.schema import Attribute
from offline.provider.values import Change, blank, is_open, is_unknown

ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"


def made_by_aws(type_name: str, config: dict[str, Any]) -> Change:
    """Return what finds a value for each attribute of a resource that AWS sets and the configuration leaves out."""
    digest = hashlib.sha256(json.dumps([type_name, repr(config)]).encode()).hexdigest()
    service = type_name.removeprefix("aws_").split("_")[0]
    region = config["region"] if isinstance(config.get("region"), str) else REGION
    named = (config[key] for key in ("name", "function_name", "bucket") if isinstance(config.get(key), str))
    label = next(named, digest[:12])
    function = f"arn:aws:lambda:{region}:{ACCOUNT}:function:{label}"
    known = {
        "account_id": ACCOUNT,
        "bucket_regional_domain_name": f"{label}.s3.{region}.amazonaws.com",
        "dns_suffix": "amazonaws.com",
        "id": label,
        "invoke_arn": f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function}/invocations",
        "invoke_url": f"https://{digest[:10]}.execute-api.{region}.amazonaws.com/v1",
        "name": label,
        "partition": "aws",
        "region": region,
        "registry_id": ACCOUNT,
        "repository_url": f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/{label}",
    }

    def find(name: str, attribute: Attribute, value: Any) -> Any:
        if not is_open(attribute, value):
            return value
        if attribute.type != "string":
            return blank(attribute.type)
        if name in known:
            return known[name]
        return f"arn:aws:{service}:{region}:{ACCOUNT}:{label}" if name.endswith("arn") else f"{label}-{name}"

    return find


def looked_up(type_name: str, config: dict[str, Any]) -> dict[str, str]:
    """Return the results of a data source that the project's Terraform relies on; none for others."""
    if type_name == "aws_caller_identity":
        return {"id": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:user/offline", "user_id": "AIDAOFFLINE"}
    if type_name == "aws_region":
        return dict.fromkeys(("id", "name", "region"), REGION)
    if type_name == "aws_partition":
        return dict.fromkeys(("id", "partition"), "aws")
    if type_name == "aws_iam_policy_document":
        document = policy_document(config)
        return {"json": json.dumps(document, indent=2), "minified_json": json.dumps(document, separators=(",", ":"))}
    return {}


def policy_document(config: dict[str, Any]) -> dict[str, Any]:
    """Render the statements of ``aws_iam_policy_document``: actions, resources, principals and conditions."""
    return {
        "Version": config.get("version") or "2012-10-17",
        "Statement": [_statement(one) for one in _plain(config.get("statement"))],
    }


def _statement(given: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": given.get("effect") or "Allow"}
    if given.get("sid"):
        statement["Sid"] = given["sid"]
    for key, field in (
        ("Action", "actions"),
        ("NotAction", "not_actions"),
        ("Resource", "resources"),
        ("NotResource", "not_resources"),
    ):
        if given.get(field):
            statement[key] = _plain(given[field])
    for key, field in (("Principal", "principals"), ("NotPrincipal", "not_principals")):
        if given.get(field):
            statement[key] = {one["type"]: _plain(one["identifiers"]) for one in _plain(given[field])}
    for one in _plain(given.get("condition")):
        statement.setdefault("Condition", {}).setdefault(one["test"], {})[one["variable"]] = _plain(one["values"])
    return statement


def _plain(values: Any) -> list[Any]:
    """Return a list without what is only known after an apply."""
    if values is None or is_unknown(values):
        return []
    return ["known after apply" if is_unknown(one) else one for one in values]
