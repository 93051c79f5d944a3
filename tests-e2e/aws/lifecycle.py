"""Evaluates lifecycle rules as S3 does: of all rules that match an object, the shortest life counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that removes objects after some days."""

    prefix: str
    days: int


def life_days(rules: Iterable[Rule], key: str) -> int | None:
    """Return after how many days S3 removes an object; None if no rule matches it.

    S3 chooses the shorter life where several rules match (Amazon S3 User Guide, "Lifecycle configuration elements",
    "Examples of overlapping filters and conflicting lifecycle actions").
    """
    return min((rule.days for rule in rules if key.startswith(rule.prefix)), default=None)


def overlapping(rules: Iterable[Rule]) -> list[tuple[Rule, Rule]]:
    """Return the pairs of rules that match the same objects with different lives."""
    ordered = sorted(rules, key=lambda rule: (rule.prefix, rule.days))
    return [
        (first, second)
        for index, first in enumerate(ordered)
        for second in ordered[index + 1 :]
        if second.prefix.startswith(first.prefix) and first.days != second.days
    ]


def of_terraform(configuration: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of an ``aws_s3_bucket_lifecycle_configuration``."""
    rules = []
    for rule in configuration["rule"]:
        chosen = rule.get("filter") or [{}]
        if rule["status"] == "Enabled" and rule.get("expiration"):
            rules.append(Rule((chosen[0] or {}).get("prefix") or "", rule["expiration"][0]["days"]))
    return rules


def of_request(configuration: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of a ``PutBucketLifecycleConfiguration`` request."""
    return [
        Rule(rule.get("Filter", {}).get("Prefix", ""), rule["Expiration"]["Days"])
        for rule in configuration["Rules"]
        if rule["Status"] == "Enabled" and "Expiration" in rule
    ]
