"""A stack of the largest legal variables, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aws import largest_stack

if TYPE_CHECKING:
    from terraform.stage import Stage


@pytest.fixture(scope="session")
def largest_stage(stand_in_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a copy of ``terraform/deploy``."""
    return largest_stack.stage_of(tmp_path_factory.mktemp("largest") / "deploy", stand_in_provider)


@pytest.fixture(scope="session")
def largest_resources(largest_stage: Stage) -> list[dict[str, Any]]:
    """Return every resource of the largest stack."""
    return largest_stack.plan(largest_stage)
