"""A stack of the largest legal variables, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from terraform.stage import Stage, copy_of

from aws import largest_stack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def largest_stage(stand_in_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a copy of ``terraform/deploy`` with the stand-in for the provider."""
    return copy_of("deploy", tmp_path_factory.mktemp("largest") / "deploy", stand_in_provider)


@pytest.fixture(scope="session")
def largest_resources(largest_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return every resource of the largest stack."""
    folder: Path = tmp_path_factory.mktemp("variables")
    return largest_stack.plan(largest_stage, folder)
