"""Which stack the system tests look at: a deployed one that ``--stack`` names, or a local cloud of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aws import emulators
from aws.held import HOOK, HeldRequests
from offline import program, surroundings
from offline.provider import fork_server
from selection import FULL
from sequence import longest_first
from slowest import Slowest

from iac_ci_local import forked_supervisor, service_models

ROOT = Path(__file__).resolve().parent.parent

# Each session reads the models of its services, and moto makes a session for each test.
service_models.share()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every program that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stack",
        default=None,
        metavar="NAME",
        help="look at this deployed stack, with the AWS credentials and region of the environment; "
        "without it, at a local cloud of the tests' own",
    )
    parser.addoption(
        "--emulator",
        default=None,
        choices=sorted(emulators.EMULATORS),
        help="run the tests' local clouds on this emulator of AWS",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Have a ``terraform`` on PATH, hold AWS requests to the models, fork local clouds, and report what was slow."""
    program.put_on_path()
    for name, value in program.SHORT_LIVED.items():
        os.environ.setdefault(name, value)
    config.pluginmanager.register(Slowest())
    config.pluginmanager.register(surroundings.Plugin())
    if config.getoption("--stack") is None:
        config.pluginmanager.register(HeldRequests())
        _fork_clouds(config)
    if (name := config.getoption("--emulator")) is not None:
        emulators.use(name)


def _fork_clouds(config: pytest.Config) -> None:
    """Fork this run's local clouds from one process, whose forks hold AWS requests too."""
    if sys.platform != "linux":
        return
    forked_supervisor.fork_clouds()
    if not hasattr(config, "workerinput"):
        server = ExitStack()
        server.enter_context(forked_supervisor.server({"PYTHONPATH": str(HOOK)}))
        config.add_cleanup(server.close)


@pytest.fixture(scope="session")
def terraform(request: pytest.FixtureRequest) -> None:
    """Return which Terraform runs."""
    surroundings.note(request.config, f"Terraform: {program.describe()}")


@pytest.fixture(scope="session")
def forked_providers() -> Iterator[None]:
    """Let the stand-in's processes be forked, which takes a tenth of the time of new ones."""
    with fork_server.running():
        yield


@pytest.fixture(scope="session")
def provider(request: pytest.FixtureRequest, terraform: None, forked_providers: None) -> str:
    """CLI configuration for the real provider where its registry answers, and for the stand-in otherwise.

    Empty where Terraform needs none.
    """
    return _cli_configuration(request)


@pytest.fixture(scope="session")
def stand_in_provider(request: pytest.FixtureRequest, terraform: None, forked_providers: None) -> str:
    """CLI configuration for the stand-in, which makes no call to a cloud."""
    return _cli_configuration(request, "--stand-in")


def _cli_configuration(request: pytest.FixtureRequest, *arguments: str) -> str:
    done = subprocess.run([ROOT / ".ci/terraform", *arguments], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    surroundings.note(request.config, done.stderr.strip())
    return done.stdout.strip()


@pytest.fixture(scope="session")
def deployed_stack(request: pytest.FixtureRequest) -> str | None:
    """Name of the deployed stack, or None for the local cloud."""
    name: str | None = request.config.getoption("--stack")
    return name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `.ci/full` runs, and keep only what looks at a deployed stack, where one is named.

    What is left runs with the longest files first.
    """
    kept = [item for item in items if FULL or item.get_closest_marker("full") is None]
    if len(kept) < len(items):
        surroundings.note(config, "Selection: without the tests that only .ci/full runs")
    if config.getoption("--stack") is not None:
        kept = [item for item in kept if "deployed_stack" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = longest_first(kept)
