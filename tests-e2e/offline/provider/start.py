"""What Terraform starts, with the folder of what is prepared: it has ``fork_server`` fork a provider, or is one itself.

Terraform starts a provider several times in a command, and most of such a short life is the imports of grpc. So this
file imports next to nothing: it hands its environment and its files over, and lives as long as what was forked.
"""

import json
import os
import select
import socket
import sys

SERVER = "OFFLINE_PROVIDER_SERVER"
"""Names the fork server's socket."""


def start(prepared: str) -> None:
    """Serve by a process that is forked, or in this one where no fork server answers."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.environ[SERVER])
    except (KeyError, OSError):
        os.execv(sys.executable, [sys.executable, "-m", "offline.provider", prepared])
    request = json.dumps({"prepared": prepared, "environment": dict(os.environ)}).encode()
    socket.send_fds(connection, [len(request).to_bytes(4, "big")], [0, 1, 2])
    connection.sendall(request)
    parent = os.getppid()
    # The other end closes when that process ends, and that process ends when this end closes.
    while not select.select([connection], [], [], 1)[0]:
        if os.getppid() != parent:
            return


if __name__ == "__main__":
    start(sys.argv[1])
