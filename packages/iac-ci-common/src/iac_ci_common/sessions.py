"""What a session of a target role carries: who uses the role, and for what. Pure.

The values are codes of names (``encoded_names``). In session tags ``/``, ``:``, ``@`` and ``+`` stay as they are; a
source identity may have none of them but ``@``, which is encoded there too. AWS packs all session tags into about 450
characters (aws-actions/configure-aws-credentials#1898); keys and longest values are 347 together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iac_ci_common.encoded_names import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT: Final = "/:@+"

LONGEST: Final = {"source": 120, "run": 28, "order": 49, "job": 64, "actor": 64}
"""Longest value of each session tag."""

LONGEST_IDENTITY: Final = 64
"""Longest source identity (AWS STS API Reference, "AssumeRole")."""

SHORTEST_IDENTITY: Final = 2


@dataclass(frozen=True, slots=True)
class Session:
    """One session: its name, and tags and source identity if the operator chose them for the role."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    source_identity: str | None = None


def session(
    *, source: str, run_id: str, order_num: str, order_name: str, job: str, actor: str, tagged: bool
) -> Session:
    """Return the session of an order. Its name, which is in CloudTrail in any case, has run and order."""
    name = f"{run_id}-{order_num}"
    if not tagged:
        return Session(name)
    values = {"source": source, "run": run_id, "order": order_name, "job": job, "actor": actor}
    tags = {key: encode(value, keep=_KEPT, longest=LONGEST[key]) for key, value in values.items()}
    identity = encode(source, shortest=SHORTEST_IDENTITY, longest=LONGEST_IDENTITY)
    return Session(name, tags, identity)
