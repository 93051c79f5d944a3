"""Writes the commands' output to the log, masked. The commands never wait for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import tempfile
import termios
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.redaction import REACH
from iac_ci_plans import PlanReader, Reading
from iac_ci_worker.log_file import LogFile
from iac_ci_worker.log_times import LogTimes

if TYPE_CHECKING:
    from iac_ci_common.redaction import Redactor

MAX_WAITING_BYTES: Final = 512 * 1024 * 1024
"""Most bytes that wait in a file to be masked. More is left out, and the log says so: the speed of masking must not
decide how an order ends."""

_MEMORY_BYTES: Final = 16 * 1024 * 1024
_KEPT_BYTES: Final = 1024 * 1024
_PIPE_BYTES: Final = 1024 * 1024
_SETTLE_SECONDS: Final = 1.0
"""How long a command waits until the output of the one before it is read, so that its heading begins a line."""

_LAST_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.5
"""How long output may be held back for masking while commands run."""


class LogWriter(threading.Thread):
    """Reads a pipe as fast as it is filled, and masks the output whenever the pipe is empty.

    The plans that the commands print are read from their output before it is masked, because a mask may hide a
    number.
    """

    def __init__(self, reading: int, log: Path, redactor: Redactor) -> None:
        """Read the descriptor ``reading`` to its end; this writer closes it."""
        super().__init__(name="log", daemon=True)
        with contextlib.suppress(OSError):
            # A system may allow less; the writer then reads more often.
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._reading = reading
        self._ended, self._end = os.pipe()
        self._log = log
        self._redactor = redactor
        self._plans: PlanReader | None = PlanReader()
        self._waiting = WaitingOutput(Path(tempfile.gettempdir()))
        self.disk_was_full = False
        self.times = LogTimes()
        self._reads = threading.Lock()
        self._at_line_end = True
        self._until: float | None = None
        self._flushed = time.monotonic()
        self._skip = 0
        """Bytes at the beginning of the next chunk to leave out."""

    def finish(self, seconds: float) -> Reading:
        """Write the rest of the output and return what was read of plans.

        Call this when no command runs any more: only what the pipe still holds is read. Output that is not masked after
        ``seconds`` is left out, except its last mebibyte.
        """
        self._until = time.monotonic() + seconds
        os.close(self._end)
        self.join(seconds + _LAST_SECONDS)
        if self._plans is not None:
            with contextlib.suppress(Exception):  # as for a part of the output
                return self._plans.result()
        return Reading(None, ran=True)

    def is_at_line_end(self) -> bool:
        """Return whether all output until now ends with a line; False too where output comes all the time."""
        until = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < until:
            with self._reads, contextlib.suppress(OSError):
                unread = bytearray(4)
                fcntl.ioctl(self._reading, termios.FIONREAD, unread)
                if not any(unread):
                    return self._at_line_end
            time.sleep(_SETTLE_SECONDS / 100)
        return False

    def run(self) -> None:
        """Read until the pipe is closed or ``finish`` is called, and write everything."""
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as opened:
            file = LogFile(opened)
            try:
                self._read_all(file)
            finally:
                os.close(self._reading)
                os.close(self._ended)
            gave_up = False
            while taken := self._waiting.take():
                self._write(file, *taken)
                if not gave_up and self._until is not None and time.monotonic() > self._until:
                    gave_up = True
                    self._waiting.give_up()
            try:
                self._put(file, self._redactor.finish())
            except Exception as error:  # noqa: BLE001 - as for any other part of the output
                self._leave_out(file, 0, f"masking failed ({type(error).__name__})")
            file.finish()
            self.disk_was_full = file.disk_was_full

    def _read_all(self, file: LogFile) -> None:
        left: int | None = None
        while left is None or left > 0:
            # With nothing to mask, wait for the commands, and show what they have printed before a pause.
            pause = _PAUSE_SECONDS if self._redactor.pending else None
            ready, _, _ = select.select([self._reading, self._ended], [], [], 0 if self._waiting else pause)
            if self._redactor.pending and time.monotonic() > self._flushed + _PAUSE_SECONDS:
                self._flush(file)
            if left is None and self._ended in ready:
                # A process that could not be ended may keep the pipe open, and may print without end.
                left = _PIPE_BYTES
            if self._reading in ready:
                with self._reads:
                    chunk = os.read(self._reading, _PIPE_BYTES)
                    self._at_line_end = chunk.endswith(b"\n")
                if not chunk:
                    return
                self._waiting.put(chunk)
                left = None if left is None else left - len(chunk)
            elif left is not None:
                return
            elif taken := self._waiting.take():
                self._write(file, *taken)

    def _flush(self, file: LogFile) -> None:
        self._flushed = time.monotonic()
        try:
            self._put(file, self._redactor.flush())
        except Exception as error:  # noqa: BLE001 - as for any other part of the output
            self._leave_out(file, 0, f"masking failed ({type(error).__name__})")

    def _write(self, file: LogFile, chunk: bytes, lost: int) -> None:
        self._read_plans(chunk)
        if self._skip:
            # The rest of a secret of which the beginning is lost cannot be found.
            self._skip, chunk = self._skip - len(chunk[: self._skip]), chunk[self._skip :]
        try:
            self._put(file, self._redactor.feed(chunk))
        except Exception as error:  # noqa: BLE001 - a fault in masking shows nothing and ends no command
            self._leave_out(file, len(chunk), f"masking failed ({type(error).__name__})")
        if lost:
            self._leave_out(file, lost, "the output came faster than it could be masked")

    def _read_plans(self, chunk: bytes) -> None:
        """Read what a chunk says of plans; after a fault in reading the changes are unknown, and no command ends."""
        if self._plans is not None:
            try:
                self._plans.feed(chunk)
            except Exception:  # noqa: BLE001 - commands may print anything
                self._plans = None

    def _leave_out(self, file: LogFile, lost: int, reason: str) -> None:
        """Note that output is missing, and leave out what stands beside it: it may be a part of a secret."""
        lost += self._redactor.discard() + REACH
        note = f"\n[iac-ci] {reason}; about {lost} bytes are left out\n"
        self._put(file, note.encode())
        self._skip = REACH

    def _put(self, file: LogFile, data: bytes) -> None:
        """Write to the log, and note when; ``data`` is masked."""
        offset = file.offset
        if data and offset is not None:
            self.times.note(offset)
        file.write(data)
        if offset is not None and file.offset is None:
            self.times.end(offset)


class WaitingOutput:
    """Output that waits to be masked: in memory, and beyond 16 MiB in a file."""

    def __init__(self, folder: Path) -> None:
        """Create the file in ``folder`` when it is needed."""
        self._folder = folder
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._file: Any = None
        self._file_read = self._file_end = 0
        self._lost = 0

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._chunks or self._in_file or self._lost)

    def put(self, chunk: bytes) -> None:
        """Add a chunk, or count its bytes as lost if too many wait."""
        if self._lost:
            self._lost += len(chunk)
        elif not self._in_file and self._bytes < _MEMORY_BYTES:
            self._chunks.append((chunk, 0))
            self._bytes += len(chunk)
        else:
            self._lost += len(chunk) - self._put_into_file(chunk)

    def _put_into_file(self, chunk: bytes) -> int:
        """Return how many bytes found room: a disk that becomes full may take the beginning of a chunk."""
        if self._in_file + len(chunk) > MAX_WAITING_BYTES:
            return 0
        try:
            if self._file is None:
                # It has no name, so that the commands, which may run as the same user, cannot open it.
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - used until the end
            written = os.pwrite(self._file.fileno(), chunk, self._file_end)
        except OSError:
            return 0
        self._file_end += written
        return written

    def take(self) -> tuple[bytes, int] | None:
        """Return the next chunk and the number of bytes that are lost after it; None if nothing waits."""
        if not self:
            return None
        chunk, lost = b"", 0
        if self._chunks:
            chunk, lost = self._chunks.popleft()
            self._bytes -= len(chunk)
        elif self._in_file:
            chunk = os.pread(self._file.fileno(), min(_PIPE_BYTES, self._in_file), self._file_read)
            self._file_read += len(chunk)
            if not self._in_file:
                self._file_read = self._file_end = 0
                os.ftruncate(self._file.fileno(), 0)
        if not self._chunks and not self._in_file:
            lost, self._lost = lost + self._lost, 0
        return chunk, lost

    @property
    def _in_file(self) -> int:
        return self._file_end - self._file_read

    def give_up(self) -> None:
        """Leave out the output that waits, except its end, which contains the error if there is one."""
        held = b"".join(chunk for chunk, _ in self._chunks)
        waiting = len(held) + self._in_file
        if self._in_file:
            start = max(self._file_read, self._file_end - _KEPT_BYTES)
            held += os.pread(self._file.fileno(), self._file_end - start, start)
            self._file_read = self._file_end = 0
        kept = held[-_KEPT_BYTES:]
        self._chunks = deque([(b"", waiting - len(kept)), (kept, 0)] if waiting > len(kept) else [(kept, 0)])
        self._bytes = len(kept)
