"""A tool that behaves as Terraform does with a lock in a bucket: it needs three seconds to release it.

It takes the lock by ``PUT $LOCK_URL``, prints ``locked`` to its standard error, and releases it by
``DELETE $UNLOCK_URL``. Its first SIGINT or SIGTERM makes it print for three seconds, or ``$RELEASE_SECONDS``, and
release the lock; a second signal, or a pipe that nobody reads, ends it with the lock left.
"""

import os
import signal
import sys
import time
import urllib.request

asked = []


def ask(number, frame):
    asked.append(number)
    if len(asked) > 1:
        os._exit(1)


def request(method, url):
    urllib.request.urlopen(urllib.request.Request(url, method=method, data=b"" if method == "PUT" else None)).close()


signal.signal(signal.SIGINT, ask)
signal.signal(signal.SIGTERM, ask)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
request("PUT", os.environ["LOCK_URL"])
os.write(2, b"locked\n")
while not asked:
    os.write(1, b"working\n")
    time.sleep(0.2)
until = time.monotonic() + float(os.environ.get("RELEASE_SECONDS", "3"))
while time.monotonic() < until:
    os.write(1, b"stopping\n")
    time.sleep(0.2)
request("DELETE", os.environ["UNLOCK_URL"])
sys.exit(1)
