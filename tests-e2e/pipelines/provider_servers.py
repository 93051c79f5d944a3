"""Servers of providers on loopback: a registry that signs as Terraform demands, and folders of plain files."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import ipaddress
import json
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).resolve().parents[2]
_CHUNK = 1024 * 1024


def load(name: str) -> ModuleType:
    """Return a module of pipelines/."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "pipelines" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


class Served:
    """A server of content or files by path; it counts what it is asked for and the bytes that it sends."""

    def __init__(self, find: Callable[[str], bytes | Path | None], certificate: Path | None = None) -> None:
        served = self
        self.asked: list[str] = []
        self.sent = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = find(self.path)
                served.asked.append(self.path)
                size = content.stat().st_size if isinstance(content, Path) else len(content or b"")
                served.sent += size
                self.send_response(200 if content is not None else 404)
                is_json = not self.path.endswith(".zip")
                self.send_header("Content-Type", "application/json" if is_json else "application/zip")
                self.send_header("Content-Length", str(size))
                self.end_headers()
                if isinstance(content, Path):
                    with content.open("rb") as opened:
                        while part := opened.read(_CHUNK):
                            self.wfile.write(part)
                else:
                    self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def folder_of(folder: Path) -> Callable[[str], Path | None]:
    """Return what finds the files of a folder."""

    def find(path: str) -> Path | None:
        file = folder / path.lstrip("/")
        return file if file.is_file() else None

    return find


def write_certificate(path: Path) -> Path:
    """Write a certificate of loopback, which Terraform trusts by SSL_CERT_FILE, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mirror")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def archive(
    path: Path, content: bytes = b"#!/bin/sh\nexit 1\n", *, name: str = "demo", version: str = "1.2.3"
) -> bytes:
    """Write a provider's archive; return its bytes."""
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(f"terraform-provider-{name}_v{version}", content)
        opened.writestr("LICENSE.txt", "text")
    return path.read_bytes()


def lock_text(address: str, version: str, known: Iterable[str]) -> str:
    """Return a lock file with one provider, as Terraform writes it."""
    listed = "".join(f'    "{each}",\n' for each in sorted(known))
    return (
        f'provider "{address}" {{\n  version     = "{version}"\n  constraints = "{version}"\n'
        f"  hashes = [\n{listed}  ]\n}}\n"
    )


@contextmanager
def signed_registry(
    folder: Path, certificate: Path, provider: str, version: str, platform: str, file: Path
) -> Iterator[Served]:
    """Serve a registry with one provider, ``namespace/name``, whose checksums a key of its own has signed."""
    home = folder / "gpg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--batch", "--homedir", str(home), "--passphrase", ""]

    def run(*arguments: str, given: bytes | None = None) -> bytes:
        return subprocess.run([*gpg, *arguments], input=given, capture_output=True, check=True).stdout

    try:
        run("--quick-gen-key", "registry@example.com", "rsa2048", "sign", "never")
        listed = run("--list-keys", "--with-colons").decode().splitlines()
        key_id = next(line.split(":")[4] for line in listed if line.startswith("pub:"))
        name = f"terraform-provider-{provider.partition('/')[2]}_{version}_{platform}.zip"
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        sums = f"{digest}  {name}\n".encode()
        system, _, architecture = platform.partition("_")
        target = {"os": system, "arch": architecture}
        base = f"/v1/providers/{provider}"
        known = {"version": version, "protocols": ["5.0", "6.0"], "platforms": [target]}
        download = target | {
            "protocols": ["5.0", "6.0"],
            "filename": name,
            "download_url": f"/files/{name}",
            "shasums_url": "/files/sums",
            "shasums_signature_url": "/files/sums.sig",
            "shasum": digest,
            "signing_keys": {
                "gpg_public_keys": [{"key_id": key_id, "ascii_armor": run("--armor", "--export").decode()}]
            },
        }
        answers: dict[str, bytes | Path] = {
            "/.well-known/terraform.json": json.dumps({"providers.v1": "/v1/providers/"}).encode(),
            f"{base}/versions": json.dumps({"versions": [known]}).encode(),
            f"{base}/{version}/download/{system}/{architecture}": json.dumps(download).encode(),
            "/files/sums": sums,
            "/files/sums.sig": run("--detach-sign", "-o", "-", given=sums),
            f"/files/{name}": file,
        }
        with Served(answers.get, certificate) as served:
            yield served
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)
