"""Which stack the system tests look at: a deployed one that ``--stack`` names, or a local cloud of their own."""

from __future__ import annotations

import pytest
from slowest import Slowest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stack",
        default=None,
        metavar="NAME",
        help="look at this deployed stack, with the AWS credentials and region of the environment; "
        "without it, at a local cloud of the tests' own",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Watch every test of the run, not only those beside this file."""
    config.pluginmanager.register(Slowest())


@pytest.fixture(scope="session")
def deployed_stack(request: pytest.FixtureRequest) -> str | None:
    """Name of the deployed stack, or None for the local cloud."""
    name: str | None = request.config.getoption("--stack")
    return name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep only what looks at a deployed stack, where one is named."""
    if config.getoption("--stack") is None:
        return
    kept = [item for item in items if "deployed_stack" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
