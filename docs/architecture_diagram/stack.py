"""Reads ``terraform/deploy/stack``: what Terraform and the local cloud build."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "terraform/deploy/stack"

_SHORT: Final = {
    "internal_bucket": "internal",
    "done_bucket": "done",
    "orders_table": "orders",
    "events_table": "order-events",
    "locks_table": "locks",
    "watchdog_arn": "watchdog",
    "kms_key_arn": "the stack's key",
    "image_repository_arn": "the image repository",
    "secrets_prefix": "<jobs' prefix>",
    "secrets_manager_prefix": "<jobs' prefix>",
    "dead_letter_queue": "dead-letters",
}
"""Readable names of placeholders; the others are shown as ``<placeholder>``, functions and projects by their name."""


@dataclass(frozen=True, slots=True)
class Right:
    """One statement of a policy: which actions, on what, and on which condition."""

    allowed: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """The stack's files, decoded and with their placeholders left in."""

    api: dict[str, Any]
    functions: dict[str, Any]
    projects: dict[str, Any]
    tables: dict[str, Any]
    buckets: dict[str, Any]
    roles: dict[str, Any]
    watchdog: dict[str, Any]
    tick: dict[str, Any]
    policies: dict[str, list[Right]]

    @property
    def queues(self) -> list[str]:
        """Names of the queues that failed events go to, sorted."""
        targets = (function["asynchronous"]["on_failure"] for function in self.functions.values())
        return sorted({target["queue"] for target in targets if "queue" in target})

    @property
    def poll_seconds(self) -> int:
        """Seconds between two checks of a watchdog."""
        return int(self.watchdog["States"]["Wait"]["Seconds"])

    def rights(self, role: str) -> list[Right]:
        """Return what the policy of a role allows and denies."""
        return self.policies[self.roles[role]["policy"]]


def read(root: Path) -> Stack:
    """Read the files of the checkout at ``root``; raise ``OSError``, ``ValueError`` or ``KeyError`` if one is bad."""
    folder = root / FOLDER

    def load(name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((folder / name).read_text("utf-8"))
        return document

    policies = {
        f"policies/{path.name}": [_right(statement) for statement in load(f"policies/{path.name}")["Statement"]]
        for path in sorted((folder / "policies").glob("*.json"))
    }
    return Stack(
        api=load("api.json"),
        functions=load("functions.json")["functions"],
        projects=load("builds.json")["projects"],
        tables=load("tables.json")["tables"],
        buckets=load("buckets.json")["buckets"],
        roles=load("roles.json")["roles"],
        watchdog=load("watchdog.asl.json"),
        tick=load("tick.json"),
        policies=policies,
    )


def readable(text: str) -> str:
    """Return an ARN or a name with the account left out and its placeholders readable."""
    text = re.sub(r"^arn:\$\{partition\}:\w+:(\$\{region\})?:(\$\{account_id\})?:", "", text)
    text = re.sub(r"^(table|function|project|parameter|secret)[:/]?(?=[$/])", "", text)
    return re.sub(r"\$\{(\w+)\}", lambda match: _placeholder(match[1]), text)


def _placeholder(name: str) -> str:
    if name in _SHORT:
        return _SHORT[name]
    match = re.fullmatch(r"(\w+)_(?:function|project)", name)
    return (
        match[1].replace("_", "-")
        if match and match[1] != "init"
        else {"init_function": "init-job"}.get(name, f"<{name}>")
    )


def _right(statement: dict[str, Any]) -> Right:
    resources = statement["Resource"]
    return Right(
        allowed=statement["Effect"] == "Allow",
        actions=tuple(statement["Action"]),
        resources=tuple(readable(one) for one in ([resources] if isinstance(resources, str) else resources)),
        conditions=tuple(
            f"{key} {', '.join(map(readable, [wanted] if isinstance(wanted, str) else wanted))}"
            for keys in statement.get("Condition", {}).values()
            for key, wanted in keys.items()
        ),
    )
