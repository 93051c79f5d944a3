"""A log is found wherever it lies: in the result, in an object of its own, in parts, or only its end."""

from __future__ import annotations

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import NotFound
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.order_logs import OrderLog, logged_attempts, read_log, read_parts
from iac_ci_common.states import OrderState
from iac_ci_common.testing import FakeClock, MemoryObjects
from iac_ci_common.testing.samples import RUN_ID, START

PLACE = (RUN_ID, "0001", 1)
TIMES = ((0, 1000), (4, 2000))


def result(tail="", **fields):
    """Return a stored result; its log has as many bytes as the text, unless a field says something else."""
    written = {"status": OrderState.FAILED, "reported_by": Reporter.WORKER, "ended_at": START, "log_times": TIMES}
    fields = {"log_bytes": len(tail.encode()), "log_tail": tail} | fields
    return Result(run_id=RUN_ID, order_num="0001", **(written | fields)).model_dump_json().encode()


def bucket(*, result=None, log=None, parts=(), attempt=1):
    objects = MemoryObjects(FakeClock(START))
    if result is not None:
        objects.put(keys.result(RUN_ID, "0001", attempt), result)
    if log is not None:
        objects.put(keys.log(RUN_ID, "0001", attempt), log)
    for number, part in enumerate(parts):
        objects.put(keys.live_part(RUN_ID, "0001", number, attempt), part)
    return objects


CASES = {
    "nothing is stored": ({}, None),
    "a worker's result with the whole log": ({"result": result("zwölf\n")}, ("zwölf\n".encode(), True, TIMES)),
    "an object, as versions before always wrote": (
        {"result": result("end\n", log_stored=True), "log": b"end\n"}, (b"end\n", True, TIMES),
    ),
    "an object of a longer log": (
        {"result": result("end\n", log_truncated=True, log_bytes=900, log_stored=True), "log": b"all\nend\n"},
        (b"all\nend\n", True, TIMES),
    ),
    "an object whose bytes are no text": (
        {"result": result("\ufffd\n", log_stored=True), "log": b"\xf0\x9f\x98\n"}, (b"\xf0\x9f\x98\n", True, TIMES),
    ),
    "an object without a result": ({"log": b"all\n"}, (b"all\n", True, ())),
    "a watchdog's result was first, the worker's log came after it": (
        {"result": result(reported_by=Reporter.WATCHDOG, log_times=()), "log": b"all\n"}, (b"all\n", True, ()),
    ),
    "a dead worker's parts": (
        {"result": result(reported_by=Reporter.WATCHDOG), "parts": (b"on", b"e\n")}, (b"one\n", False, ()),
    ),
    "a running order's parts": ({"parts": (b"on", b"e\n")}, (b"one\n", False, ())),
    "the end of a log whose object could not be stored": (
        {"result": result("end\n", log_truncated=True, log_bytes=900)}, (b"end\n", False, ()),
    ),
    "a log that is no text and could not be stored": (
        {"result": result("\ufffd\n", log_bytes=2)}, ("\ufffd\n".encode(), False, ()),
    ),
    "a result without output": ({"result": result()}, (b"", False, ())),
    "a result of a newer version, and an object": ({"result": b'{"status": 7}', "log": b"all\n"}, (b"all\n", True, ())),
    "a result of a newer version alone": ({"result": b'{"status": 7}'}, None),
}  # fmt: skip


@pytest.mark.parametrize("attempt", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_the_log_is_found_wherever_it_lies(case, attempt):
    stored, expected = CASES[case]
    objects = bucket(**stored, attempt=attempt)
    assert read_log(objects, RUN_ID, "0001", attempt) == (None if expected is None else OrderLog(*expected))
    assert read_log(objects, RUN_ID, "0001", 3) is None


def test_a_log_in_a_result_costs_one_read():
    objects, read = bucket(result=result("one\n"), log=b"another"), []
    get = objects.get
    objects.get = lambda key, **how: read.append(key) or get(key, **how)
    assert read_log(objects, RUN_ID, "0001") == OrderLog(b"one\n", is_whole=True, times=TIMES)
    assert read == [keys.result(RUN_ID, "0001")]


@pytest.mark.parametrize("stored", [{"log": b"x" * 9}, {"parts": (b"x" * 4,) * 3}])
def test_of_a_long_log_little_more_is_read_than_is_wanted(stored):
    log = read_log(bucket(**stored), RUN_ID, "0001", max_bytes=5)
    assert log is not None
    assert 5 < len(log.data) < 9


class EndsMeanwhile(MemoryObjects):
    """An order that ends while its parts are listed, or while they are read: they are removed then."""

    def __init__(self, step, result):
        super().__init__(FakeClock(START))
        for number in range(2):
            self.put(keys.live_part(*PLACE[:2], number), b"part\n")
        self.step, self.ends_with = step, result

    def list(self, prefix, *, after=None):
        found = super().list(prefix, after=after)
        self.end("list")
        return found

    def get(self, key, *, max_bytes=None):
        body = super().get(key, max_bytes=max_bytes)
        self.end("get")
        return body

    def end(self, step):
        if step == self.step:
            self.step = None
            self.put(keys.log(*PLACE), b"part\npart\nend\n")
            self.put(keys.result(*PLACE), self.ends_with)
            self.delete([keys.live_part(*PLACE[:2], number) for number in range(2)])


@pytest.mark.parametrize("step", ["list", "get"])
def test_an_order_that_ends_while_its_parts_are_read_is_read_to_its_end(step):
    objects = EndsMeanwhile(step, result("end\n", log_truncated=True, log_bytes=14, log_stored=True))
    log = read_log(objects, RUN_ID, "0001")
    assert log is not None
    assert (log.text, log.is_whole) == ("part\npart\nend\n", True)


def test_who_follows_parts_learns_that_they_are_gone():
    parts = read_parts(EndsMeanwhile("get", result()), PLACE)
    assert next(parts) == b"part\n"
    with pytest.raises(NotFound):
        next(parts)


def test_the_parts_of_further_attempts_are_none_of_the_first_one():
    objects = bucket(parts=(b"one",))
    objects.put(keys.live_part(RUN_ID, "0001", 0, 2), b"two")
    assert list(read_parts(objects, PLACE)) == [b"one"]
    assert list(read_parts(objects, PLACE, 1)) == []


def test_attempts_with_logs_are_found_by_their_results_and_their_objects():
    objects = MemoryObjects(FakeClock(START))
    for key in (
        keys.trigger(RUN_ID), keys.claim(RUN_ID, "0004"), keys.answer(RUN_ID, "0005"),
        keys.result(RUN_ID, "0001", 10), keys.result(RUN_ID, "0001"), keys.result(RUN_ID, "0001", 2),
        keys.log(RUN_ID, "0001", 2), keys.log(RUN_ID, "0003"),
    ):  # fmt: skip
        objects.put(key, b"{}")
    assert logged_attempts(objects, RUN_ID) == {"0001": [1, 2, 10], "0003": [1]}
