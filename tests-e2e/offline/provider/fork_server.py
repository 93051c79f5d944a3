"""Forks a provider for each start, with all imported; it ends when its standard input does, so with who started it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offline.provider.prepared import read
from offline.provider.schema import load
from offline.provider.serve import serve
from offline.provider.servicer import Servicer
from offline.provider.start import SERVER


@contextmanager
def running() -> Iterator[None]:
    """Have a fork server that every provider uses which this process and its children start."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "s")
        command = [sys.executable, "-m", __name__, path]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            os.environ[SERVER] = path
            try:
                yield
            finally:
                del os.environ[SERVER]
                process.stdin.close()


def main(path: str) -> None:
    """Listen on ``path`` and say so by a line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Ctrl-C in a terminal reaches every process: this one ends with who started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(128)
        print("listening", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _become(connection)
            connection.close()


def _become(connection: socket.socket) -> None:
    """Be the provider that the other end of ``connection`` was started as, until that end closes."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        length, files, _, _ = socket.recv_fds(connection, 4, 3)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        with connection.makefile("rb") as sent:
            request = json.loads(sent.read(int.from_bytes(length, "big")))
        os.environ.clear()
        os.environ.update(request["environment"])
        prepared = read(Path(request["prepared"]))
        servicer = Servicer(load, prepared.schema)
        serve(servicer, prepared.key, prepared.certificate, lambda: not select.select([connection], [], [], 0)[0])
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
