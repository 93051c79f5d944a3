"""Orders are stopped on both stand-ins by people, in every form, and leave no lock.

A file beside `test_stopping.py`, so that two processes of `.ci/full` share what takes half an hour each.
"""

from __future__ import annotations

from collections import Counter

import pytest

from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.testing import runs, wait_until
from standins import test_stopping
from standins.test_stopping import ALL, BOTH, ENDED_BY_OTHERS, FEW_AND_ALL, IN_EACH_RUN, Stopped, in_parts, show

pytestmark = [pytest.mark.local_cloud, pytest.mark.timeout(3000)]

cloud = test_stopping.cloud


@pytest.mark.full
@BOTH
def test_when_they_are_cancelled(cloud: LocalCloud, target: str) -> None:
    def play(stopped: Stopped) -> Counter[str]:
        stopped.start(timeout=420)
        stopped.wait_for_locks()
        stopped.cancel()
        return stopped.check(OrderState.CANCELLED, "it ended by itself")

    show(target, "cancel", map(play, in_parts(cloud, target, "cancel", ALL)))


@FEW_AND_ALL
def test_when_stop_build_signals_every_process(cloud: LocalCloud, forms: tuple[str, ...]) -> None:
    def play(stopped: Stopped) -> Counter[str]:
        stopped.start(timeout=1200)
        stopped.wait_for_locks()
        stopped.stop_builds()
        return stopped.check(OrderState.CANCELLED, "because the worker was stopped", excepted=ENDED_BY_OTHERS)

    show("codebuild", "StopBuild", map(play, in_parts(cloud, "codebuild", "StopBuild", forms)))


def test_when_stop_build_ends_every_process_at_once(unkind: LocalCloud) -> None:
    """Nobody can release a lock then; the outcome is true, and what was printed before the last period is there."""
    stopped = Stopped(unkind, "codebuild", "StopBuild without a signal", IN_EACH_RUN)
    stopped.start(timeout=1200)
    stopped.wait_for_locks()
    wait_until(lambda: all("locked\n" in stopped.log(row) for row in runs(unkind).read(stopped.run).orders))
    stopped.stop_builds()
    counted = stopped.check(OrderState.FAILED, "the build ended without a result", excepted=set(IN_EACH_RUN))
    show("codebuild", "StopBuild without a signal", [counted])
