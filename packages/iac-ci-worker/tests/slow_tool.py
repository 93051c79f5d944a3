"""A tool that behaves as Terraform does: it needs three seconds to release its lock, and breaks off at a second signal.

It takes the lock ``$LOCK``. Its first SIGINT or SIGTERM makes it print for three seconds, or ``$RELEASE_SECONDS``, and
release the lock; a second signal, or a pipe that nobody reads, ends it at once with the lock left.
"""

import os
import signal
import sys
import time
from pathlib import Path

LOCK = Path(os.environ["LOCK"])
asked = []


def ask(number, frame):
    asked.append(number)
    if len(asked) > 1:
        os._exit(1)


signal.signal(signal.SIGINT, ask)
signal.signal(signal.SIGTERM, ask)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
LOCK.touch()
while not asked:
    os.write(1, b"working\n")
    time.sleep(0.05)
until = time.monotonic() + float(os.environ.get("RELEASE_SECONDS", "3"))
while time.monotonic() < until:
    os.write(1, b"stopping\n")
    time.sleep(0.05)
LOCK.unlink()
sys.exit(1)
