"""Serves a provider to the Terraform that started this process: the handshake of HashiCorp's go-plugin.

Terraform reads one line of standard output, connects to the socket that it names, and ends the process by the call
``Shutdown``. Each process has a key and a socket of its own, so that nothing is shared between runs.
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_rpc
from tf.gen import grpc_stdio_pb2_grpc as stdio_rpc
from tf.gen import tfplugin_pb2_grpc as rpc

_COOKIE: Final = "TF_PLUGIN_MAGIC_COOKIE"
_CORE_PROTOCOL, _PLUGIN_PROTOCOL = 1, 6
_MESSAGE_BYTES: Final = 64 * 1024 * 1024


def serve(servicer: rpc.ProviderServicer) -> None:
    """Serve until Terraform says that it is done, or until it is gone."""
    if _COOKIE not in os.environ:
        sys.exit("This is a Terraform plugin: Terraform starts it.")
    done = threading.Event()
    options = [("grpc.max_send_message_length", _MESSAGE_BYTES), ("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    server = grpc.server(ThreadPoolExecutor(max_workers=10), options=options)
    rpc.add_ProviderServicer_to_server(servicer, server)
    controller_rpc.add_GRPCControllerServicer_to_server(_Controller(done), server)
    stdio_rpc.add_GRPCStdioServicer_to_server(_NoOutput(), server)
    key, certificate = _certificate()
    # Terraform's own certificate is not asked for: its curve, P-521, is none that grpc takes. The socket lies in a
    # folder of this user alone.
    credentials = grpc.ssl_server_credentials([(key, certificate.public_bytes(serialization.Encoding.PEM))])
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        server.add_secure_port(f"unix://{socket}", credentials)
        server.start()
        told = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")
        print(f"{_CORE_PROTOCOL}|{_PLUGIN_PROTOCOL}|unix|{socket}|grpc|{told}", flush=True)
        _wait(done)
        server.stop(grace=None).wait()


def _wait(done: threading.Event) -> None:
    """Wait for the last call, and do not outlive a Terraform that was killed."""
    parent = os.getppid()
    while not done.wait(1):
        if os.getppid() != parent:
            return


class _Controller(controller_rpc.GRPCControllerServicer):
    def __init__(self, done: threading.Event) -> None:
        self._done = done

    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        context.add_callback(self._done.set)
        return controller.Empty()


class _NoOutput(stdio_rpc.GRPCStdioServicer):
    def StreamStdio(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's name
        return iter(())


def _certificate() -> tuple[bytes, x509.Certificate]:
    """Make a key and a certificate for this process alone; return the key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate
