"""Serves a provider to the Terraform that started this process: the handshake of HashiCorp's go-plugin.

Terraform reads one line of standard output, connects to the socket that it names, and ends the process by the call
``Shutdown``. Each process has a socket of its own, so that nothing is shared between runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_rpc
from tf.gen import grpc_stdio_pb2_grpc as stdio_rpc
from tf.gen import tfplugin_pb2_grpc as rpc

_COOKIE: Final = "TF_PLUGIN_MAGIC_COOKIE"
_CORE_PROTOCOL, _PLUGIN_PROTOCOL = 1, 6
_MESSAGE_BYTES: Final = 64 * 1024 * 1024


def serve(servicer: rpc.ProviderServicer, key: bytes, certificate: bytes, is_wanted: Callable[[], bool]) -> None:
    """Serve until Terraform says that it is done, or until ``is_wanted``, asked each second, is false.

    ``key`` and ``certificate`` are PEM.
    """
    if _COOKIE not in os.environ:
        sys.exit("This is a Terraform plugin: Terraform starts it.")
    done = threading.Event()
    options = [("grpc.max_send_message_length", _MESSAGE_BYTES), ("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(max_workers=10), options=options)
    rpc.add_ProviderServicer_to_server(servicer, server)
    controller_rpc.add_GRPCControllerServicer_to_server(_Controller(done), server)
    stdio_rpc.add_GRPCStdioServicer_to_server(_NoOutput(), server)
    # Terraform's own certificate is not asked for: its curve, P-521, is none that grpc takes. The socket lies in a
    # folder of this user alone.
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        server.add_secure_port(f"unix://{socket}", credentials)
        server.start()
        # The lines of a PEM between its first and its last one.
        told = "".join(certificate.decode().split("\n")[1:-2]).rstrip("=")
        print(f"{_CORE_PROTOCOL}|{_PLUGIN_PROTOCOL}|unix|{socket}|grpc|{told}", flush=True)
        while not done.wait(1) and is_wanted():
            pass
        server.stop(grace=None).wait()


class _Controller(controller_rpc.GRPCControllerServicer):
    def __init__(self, done: threading.Event) -> None:
        self._done = done

    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        context.add_callback(self._done.set)
        return controller.Empty()


class _NoOutput(stdio_rpc.GRPCStdioServicer):
    def StreamStdio(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        return iter(())
