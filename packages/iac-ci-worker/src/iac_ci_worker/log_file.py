"""The file of an order's log: bounded, with its beginning and its end, and patient with a full disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from io import FileIO

MAX_LOG_BYTES: Final = 512 * 1024 * 1024
"""Most bytes of the log that are stored, without the notes about what is left out; the commands may print more."""

_HELD_BYTES: Final = 256 * 1024
_NOTE_BYTES: Final = 4096
_COPY_BYTES: Final = 1024 * 1024


class LogFile:
    """Writes to an open file and raises no ``OSError``: who watches the commands must not end them.

    Of a longer log the first half of ``MAX_LOG_BYTES`` is kept and, of the end, a quarter at least and a half at most.
    On a full disk the last 256 KiB are held in memory; room for them is kept free on the disk from the beginning.
    """

    def __init__(self, file: FileIO) -> None:
        """Write to ``file``, which is empty, is opened for appending, and stays open."""
        self._file = file
        self._written = 0
        self._ends: list[Any] = []
        self._dropped = 0
        self._held = bytearray()
        self._refused = 0
        self._reserve = _reserved()

    @property
    def disk_was_full(self) -> bool:
        """Return whether a part of the log found no room."""
        return self._refused > 0

    @property
    def offset(self) -> int | None:
        """Return the byte at which what is written next begins; None if a part of the log is left out before it."""
        return None if self._ends or self.disk_was_full else self._written

    def write(self, data: bytes) -> None:
        """Append to the log."""
        if self.disk_was_full:
            self._hold(data)
            return
        room = MAX_LOG_BYTES // 2 - self._written if not self._ends else 0
        try:
            self._written += _write(self._file, data[:room])
            if len(data) > room:
                self._write_end(data[room:])
        except OSError:
            # A part of the data may be written: what is held says it again, between two notes.
            self._hold(data)

    def finish(self) -> None:
        """Put the end behind the beginning, with a note about what is missing between them."""
        # The files of the end are older than what is held.
        newest, self._held = self._held, bytearray()
        if self._dropped:
            lost = f"\n[iac-ci] the log has more than {MAX_LOG_BYTES} bytes; {self._dropped} bytes are left out here\n"
            self._append(lost.encode())
        for end in self._ends:
            end.seek(0)
            while chunk := end.read(_COPY_BYTES):
                self._append(chunk)
            end.close()
        self._held += newest
        del self._held[:-_HELD_BYTES]
        if self._reserve is not None:
            self._reserve.close()
        if self.disk_was_full:
            lost = f"\n[iac-ci] the disk was full: about {self._refused - len(self._held)} bytes are left out here\n"
            self._squeeze_in(lost.encode())

    def _append(self, data: bytes) -> None:
        if self._held:
            self._hold(data)
            return
        try:
            self._written += _write(self._file, data)
        except OSError:
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        self._refused += len(data)
        self._held += data
        del self._held[:-_HELD_BYTES]

    def _write_end(self, data: bytes) -> None:
        """Write into the newer of two files; when that has a quarter of the limit, it becomes the older one."""
        quarter = MAX_LOG_BYTES // 4
        while data:
            if not self._ends or self._ends[-1].tell() >= quarter:
                if len(self._ends) == 2:
                    oldest = self._ends.pop(0)
                    self._dropped += oldest.tell()
                    oldest.close()
                # It has no name, so that the commands, which may run as the same user, cannot open it.
                self._ends.append(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - used until the end
            count = _write(self._ends[-1], data[: quarter - self._ends[-1].tell()])
            data = data[count:]

    def _squeeze_in(self, note: bytes) -> None:
        """Write the note and what is held in the room that was kept free, or in that of what was written last."""
        with contextlib.suppress(OSError):
            _write(self._file, note + self._held)
            return
        with contextlib.suppress(OSError):
            # What was written is part of the room: the end counts more than what stands before it.
            size = os.fstat(self._file.fileno()).st_size
            kept = max(0, size - len(note) - 2 * len(self._held))
            os.ftruncate(self._file.fileno(), kept)
            room = max(0, size - kept - len(note))
            _write(self._file, note + self._held[max(0, len(self._held) - room) :])


def _reserved() -> Any:
    """Return a file that keeps room for the end of the log; None if the disk is full already."""
    with contextlib.ExitStack() as kept, contextlib.suppress(OSError):
        # It has no name, so that it ends with this process.
        file = kept.enter_context(tempfile.TemporaryFile(buffering=0))
        os.posix_fallocate(file.fileno(), 0, _HELD_BYTES + _NOTE_BYTES)
        kept.pop_all()
        return file
    return None


def _write(file: Any, data: bytes) -> int:
    """Write all data; an unbuffered file may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]
    return len(data)


__all__ = ["MAX_LOG_BYTES", "LogFile"]
