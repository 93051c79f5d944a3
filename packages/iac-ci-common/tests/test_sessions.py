"""What a session carries, within the limits of AWS."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.sessions import LONGEST, Session, session
from iac_ci_common.testing.samples import RUN_ID

BUDGET = 350
"""Characters of keys and values: AWS packs about 450 into a session (aws-actions/configure-aws-credentials#1898)."""


def of(text: str, **fields: object) -> Session:
    values = {"source": text, "order_name": text, "job": text, "actor": text, "tagged": True} | fields
    return session(run_id=RUN_ID, order_num="0001", **values)  # type: ignore[arg-type]


@given(st.text(min_size=1, max_size=300))
def test_tags_and_identity_are_what_aws_accepts(text: str) -> None:
    carried = of(text)
    assert all(re.fullmatch(r"[A-Za-z0-9_.:/+@-]{1,256}", value) for value in carried.tags.values())
    assert sum(len(key) + len(value) for key, value in carried.tags.items()) <= BUDGET
    assert re.fullmatch(r"[A-Za-z0-9_.-]{2,64}", carried.source_identity or "")
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", carried.name)


def test_the_longest_values_fit_the_budget() -> None:
    assert sum(len(key) + longest for key, longest in LONGEST.items()) <= BUDGET


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_two_sources_and_two_jobs_never_carry_the_same(one: str, other: str) -> None:
    if one != other:
        first, second = of(one), of(other)
        assert first.source_identity != second.source_identity
        assert all(first.tags[key] != second.tags[key] for key in ("source", "job", "actor", "order"))


def test_a_role_without_tags_gets_none() -> None:
    assert of("github.com/acme/infra", tagged=False) == Session(f"{RUN_ID}-0001")
