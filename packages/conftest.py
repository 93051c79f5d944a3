"""Settings of every package's tests: how long an example takes says nothing about the code."""

import copy
import functools
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import botocore.session
import pytest
from hypothesis import HealthCheck, settings
from moto.dynamodb import models

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Each session reads the models of its services, and moto makes a session for each test.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)


class CopiesOfTables(threading.local):
    """In place of the module `copy` in moto's DynamoDB, which copies a table for each of a transaction's 100 items.

    No copy differs from the first one: the items are written when all copies are made.
    """

    def __init__(self) -> None:
        self.made: dict[int, object] | None = None

    def deepcopy(self, value: object) -> object:
        """Return a copy; of a table, the same one for a whole transaction."""
        if self.made is None or not isinstance(value, models.Table):
            return copy.deepcopy(value)
        if id(value) not in self.made:
            self.made[id(value)] = copy.deepcopy(value)
        return self.made[id(value)]

    def once(self, transact_write_items: Callable[..., None]) -> Callable[..., None]:
        """Return moto's method so that it copies each table once."""

        @functools.wraps(transact_write_items)
        def with_one_copy(*arguments: object) -> None:
            self.made = {}
            try:
                transact_write_items(*arguments)
            finally:
                self.made = None

        return with_one_copy


models.copy = CopiesOfTables()
models.DynamoDBBackend.transact_write_items = models.copy.once(models.DynamoDBBackend.transact_write_items)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every program that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = Path(__file__).parent
NOT_ALONE = ("local_cloud", "slow", "source_tree")
"""Marks of the tests that `.ci/alone` leaves out."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Do not even read a file of which `.ci/alone` has run every test: none of the marks is named in it."""
    if os.environ.get("IAC_CI_ALONE") != "passed" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text("utf-8")
    return None if any(mark in text for mark in NOT_ALONE) else True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `.ci/alone` has just run, where `.ci/run` says so by ``IAC_CI_ALONE=passed``."""
    if os.environ.get("IAC_CI_ALONE") != "passed":
        return
    ran = [
        item
        for item in items
        if item.path.is_relative_to(HERE) and not any(item.get_closest_marker(mark) for mark in NOT_ALONE)
    ]
    config.hook.pytest_deselected(items=ran)
    left_out = set(map(id, ran))
    items[:] = [item for item in items if id(item) not in left_out]
