"""Finds out whether a signal to the worker of a build was sent to every process of the build.

AWS does not say whom StopBuild signals, if anyone. If it signals only the worker, the worker must ask the commands to
end. If it signals every process, the commands have been asked, and Terraform would leave at once on a second signal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class SignalWitness:
    """A process in a session of its own that does nothing, so that it only ends if it is signalled too."""

    ended: int
    """A pipe that ends with the witness."""

    held: int
    """A pipe whose end ends the witness: it does not outlive this process."""

    @classmethod
    def start(cls) -> Self:
        """Start a witness, no child of this process: call this before the worker becomes the parent of orphans."""
        ended, is_alive = os.pipe()
        holds, held = os.pipe()
        child = os.fork()
        if child == 0:
            # Nothing below may return or raise into the worker's own code.
            with contextlib.suppress(BaseException):
                os.setsid()
                if os.fork() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    os.close(held)
                    os.close(ended)
                    null = os.open(os.devnull, os.O_RDWR)
                    for descriptor in (0, 1, 2):
                        os.dup2(null, descriptor)
                    os.read(holds, 1)
            os._exit(0)
        os.waitpid(child, 0)
        os.close(is_alive)
        os.close(holds)
        return cls(ended, held)

    def was_signalled(self, seconds: float) -> bool:
        """Return whether the witness has ended; wait up to ``seconds``, as signals are sent one after another."""
        return bool(select.select([self.ended], [], [], seconds)[0])


__all__ = ["SignalWitness"]
