from __future__ import annotations

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.result import Result
from iac_ci_common.testing import FakeClock, MemoryLogger, MemoryObjects
from iac_ci_common.testing.samples import RUN_ID, START, queued
from iac_ci_orchestrator.live_logs import remove_parts


def result(num, live_parts):
    return Result(
        run_id=RUN_ID, order_num=num, reported_by="worker", status="succeeded", exit_code=0, started_at=START,
        ended_at=START, log_stored=True, live_parts=live_parts,
    )  # fmt: skip


@pytest.fixture
def objects():
    held = MemoryObjects(FakeClock(START))
    for num in ("0001", "0002", "0003"):
        for number in range(3):
            held.put(keys.live_part(RUN_ID, num, number), b"part")
    return held


RESULTS = {"0001": result("0001", 2), "0003": result("0003", 3)}


def test_the_parts_of_each_order_that_has_ended_are_removed(objects):
    remove_parts(objects, MemoryLogger(), queued([{}, {}, {}]).orders, RESULTS)
    left = [keys.live_part(RUN_ID, "0001", 2), *(keys.live_part(RUN_ID, "0002", number) for number in range(3))]
    assert objects.list("tmp/live/") == left


def test_parts_that_cannot_be_removed_are_logged_and_the_next_order_s_are_tried(objects, monkeypatch):
    tried = []

    def delete(parts):
        tried.append(list(parts))
        raise PortFailed("S3 does not answer", retry_is_safe=True)

    monkeypatch.setattr(objects, "delete", delete)
    logger = MemoryLogger()
    remove_parts(objects, logger, queued([{}, {}, {}]).orders, RESULTS)
    assert [len(parts) for parts in tried] == [2, 3]
    assert [(level, fields["run_id"]) for level, _, fields in logger.lines] == [("warning", RUN_ID)] * 2
