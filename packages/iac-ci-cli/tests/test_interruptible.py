"""Reading what may never end: whole content, limits, and a signal that comes at the worst moment."""

from __future__ import annotations

import io
import os
import select
import signal
import threading

import pytest

from iac_ci_cli.interruptible import read_at_most


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as read, os.fdopen(writer, "wb", buffering=0) as write:
        yield read, write


@pytest.mark.parametrize("most", [1, 5, 6, 100])
def test_content_is_read_whole_up_to_the_limit(tmp_path, most):
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with path.open("rb") as file:
        assert read_at_most(file, most) == b"abcdef"[:most]
    assert read_at_most(io.BytesIO(b"abcdef"), most) == b"abcdef"[:most]


def test_parts_that_come_one_by_one_are_one_content(pipe):
    read, write = pipe

    def send():
        for part in (b"a" * 70_000, b"b", b"c" * 70_000):
            write.write(part)
        write.close()

    thread = threading.Thread(target=send)
    thread.start()
    content = read_at_most(read, 1_000_000)
    thread.join()
    assert content == b"a" * 70_000 + b"b" + b"c" * 70_000


def test_a_signal_before_the_system_call_is_heard(pipe, monkeypatch):
    """The signal has come, Python's own call blocks only now: the state in which ``read`` would block for ever."""
    system_call = select.select
    ready = []

    def late(*descriptors):
        if ready:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)
        ready.extend(system_call(*descriptors, 60)[0])
        return ready, [], []

    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    monkeypatch.setattr(select, "select", late)
    try:
        with pytest.raises(KeyboardInterrupt):
            read_at_most(pipe[0], 10)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(ready) == 1
    assert ready != [pipe[0].fileno()]


def test_what_woke_python_before_does_so_again(tmp_path):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        path = tmp_path / "file"
        path.write_bytes(b"abc")
        with path.open("rb") as file:
            read_at_most(file, 10)
        assert signal.set_wakeup_fd(-1) == writer
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
