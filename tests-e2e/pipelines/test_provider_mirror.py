"""pipelines/mirror fills a mirror that real Terraform installs from, without a registry."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from offline import program

from iac_ci_worker.provider_installation import write_provider_installation

ROOT = Path(__file__).resolve().parents[2]
HOST = "registry.example.com"
VERSION = "1.2.3"


def load():
    spec = importlib.util.spec_from_file_location("provider_mirror", ROOT / "pipelines/provider_mirror.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["provider_mirror"] = module
    spec.loader.exec_module(module)
    return module


provider_mirror = load()


class Served:
    """A server on loopback: a registry of content, or a folder."""

    def __init__(self, find, certificate=None):
        served = self
        self.asked, self.sent = [], 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                content = find(self.path)
                served.asked.append(self.path)
                served.sent += len(content or b"")
                self.send_response(200 if content is not None else 404)
                self.send_header(
                    "Content-Type", "application/json" if self.path.endswith("json") else "application/zip"
                )
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_): ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def archive(path, content=b"#!/bin/sh\nexit 1\n"):
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(f"terraform-provider-demo_v{VERSION}", content)
        opened.writestr("LICENSE.txt", "text")
    return path.read_bytes()


def lock_text(host, content):
    """Return a lock file as Terraform writes it after a download from a registry: with the archive's own hash."""
    return (
        f'provider "{host}/acme/demo" {{\n  version     = "{VERSION}"\n  constraints = "{VERSION}"\n  hashes = [\n'
        f'    "zh:{hashlib.sha256(content).hexdigest()}",\n  ]\n}}\n'
    )


@pytest.fixture
def registry(tmp_path):
    content = archive(tmp_path / "provider.zip")
    answers = {
        "/.well-known/terraform.json": json.dumps({"providers.v1": "/v1/providers/"}).encode(),
        f"/v1/providers/acme/demo/{VERSION}/download/linux/amd64": json.dumps(
            {"download_url": "/files/demo.zip"}
        ).encode(),
        "/files/demo.zip": content,
    }
    with Served(answers.get) as served:
        served.answers, served.content = answers, content
        yield served


def run(registry, tmp_path, *flags, lock=None):
    lockfile = tmp_path / "lock.hcl"
    lockfile.write_text(lock or lock_text(registry.address, registry.content))
    arguments = ["--folder", str(tmp_path / "mirror"), "--platform", "linux_amd64", *flags, str(lockfile)]
    return provider_mirror.main(arguments, scheme="http")


def test_a_provider_is_downloaded_once_and_listed(registry, tmp_path, capsys):
    assert run(registry, tmp_path, "--plan") == 0
    assert "to be downloaded" in capsys.readouterr().out
    assert not (tmp_path / "mirror").exists()
    assert run(registry, tmp_path) == 0
    folder = tmp_path / "mirror" / registry.address / "acme/demo"
    assert json.loads((folder / "index.json").read_text()) == {"versions": {VERSION: {}}}
    listed = json.loads((folder / f"{VERSION}.json").read_text())["archives"]["linux_amd64"]
    assert (folder / listed["url"]).read_bytes() == registry.content
    assert f"zh:{hashlib.sha256(registry.content).hexdigest()}" in listed["hashes"]
    assert sorted(path.name for path in folder.iterdir()) == [f"{VERSION}.json", "index.json", listed["url"]]
    asked = len(registry.asked)
    assert run(registry, tmp_path) == 0
    assert len(registry.asked) == asked
    assert "0 of them new" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: r.answers.update({"/files/demo.zip": b"no archive"}), "is not a zip archive"),
        (lambda r: r.answers.pop("/files/demo.zip"), "answered 404"),
        (lambda r: r.answers.update({"/.well-known/terraform.json": b"<html>"}), "JSONDecodeError"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_listed(registry, tmp_path, capsys, change, problem):
    change(registry)
    assert run(registry, tmp_path) == 1
    assert problem in capsys.readouterr().err
    assert not list((tmp_path / "mirror").rglob("*.json"))


def test_an_archive_without_a_hash_of_the_lock_file_is_refused(registry, tmp_path, capsys):
    registry.answers["/files/demo.zip"] = archive(tmp_path / "other.zip", b"another program")
    assert run(registry, tmp_path) == 1
    assert "none of the hashes of the lock file" in capsys.readouterr().err
    assert not list((tmp_path / "mirror").rglob("*.zip"))


def test_what_was_changed_in_the_mirror_is_noticed(registry, tmp_path, capsys):
    assert run(registry, tmp_path) == 0
    (path,) = (tmp_path / "mirror").rglob("*.zip")
    archive(path, b"another program")
    assert run(registry, tmp_path) == 1
    assert "none of the hashes" in capsys.readouterr().err


def test_a_lock_file_without_providers_is_said(registry, tmp_path, capsys):
    assert run(registry, tmp_path, lock="# nothing\n") == 1
    assert "name no provider" in capsys.readouterr().err


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of loopback, which Terraform trusts by SSL_CERT_FILE."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mirror")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "mirror.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def mirrored(tmp_path, certificate):
    """A mirror of a provider of a registry that nobody serves, by HTTPS."""
    program.put_on_path()
    content = archive(tmp_path / "demo.zip")
    provider = provider_mirror.Locked(HOST, "acme", "demo", VERSION, provider_mirror.hashes_of(content))
    folder = tmp_path / "mirror"
    place = folder / provider.folder
    place.mkdir(parents=True)
    (place / provider.archive("linux_amd64")).write_bytes(content)
    provider_mirror.fill(folder, [provider], ["linux_amd64"], None, "http")

    def find(path):
        file = folder / path.lstrip("/")
        return file.read_bytes() if file.is_file() else None

    with Served(find, certificate) as served:
        served.folder, served.provider, served.content, served.archive = folder, provider, content, place
        yield served


def order(tmp_path, name, mirrored, lock):
    """Return home and folder of an order whose root module needs the provider."""
    home, folder = tmp_path / name / "home", tmp_path / name / "code"
    for made in (home, folder):
        made.mkdir(parents=True)
    write_provider_installation(home, f"https://{mirrored.address}/")
    (folder / "main.tf").write_text(
        f'terraform {{\n  required_providers {{\n    demo = {{\n      source  = "{HOST}/acme/demo"\n'
        f'      version = "{VERSION}"\n    }}\n  }}\n}}\n'
    )
    (folder / ".terraform.lock.hcl").write_text(lock)
    return home, folder


def init(home, folder, certificate):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "SSL_CERT_FILE": str(certificate),
        "CHECKPOINT_DISABLE": "1",
    }
    command = ["terraform", "init", "-no-color", "-input=false", "-lockfile=readonly"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the mirror has archives for Linux")
def test_orders_side_by_side_install_from_the_mirror_alone(tmp_path, mirrored, certificate):
    lock = lock_text(HOST, mirrored.content)
    orders = [order(tmp_path, f"order-{number}", mirrored, lock) for number in range(4)]
    inits = [init(*found, certificate) for found in orders]
    for process in inits:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    for _, folder in orders:
        assert list(folder.rglob(f"terraform-provider-demo_v{VERSION}"))
    print(f"{len(inits)} inits side by side, {mirrored.sent} bytes from the mirror, 0 from {HOST}")


def test_a_mirror_with_other_bytes_than_the_lock_file_is_refused(tmp_path, mirrored, certificate):
    (path,) = mirrored.archive.glob("*.zip")
    lock = lock_text(HOST, mirrored.content)
    changed = archive(path, b"#!/bin/sh\necho owned\n")
    listed = mirrored.archive / f"{VERSION}.json"
    described = {"url": path.name, "hashes": sorted(provider_mirror.hashes_of(changed))}
    listed.write_text(json.dumps({"archives": {"linux_amd64": described}}))
    process = init(*order(tmp_path, "order", mirrored, lock), certificate)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "checksum" in output, output


def test_without_a_mirror_nothing_is_written(tmp_path):
    write_provider_installation(tmp_path, "")
    assert list(tmp_path.iterdir()) == []


def test_the_script_names_every_problem_at_once_and_shows_what_is_missing(tmp_path):
    command = [str(ROOT / "pipelines/mirror")]
    # The checkout's own uv, where the machine has none.
    path = f"{os.environ['PATH']}{os.pathsep}{ROOT / '.tools/bin'}"
    asked = {"capture_output": True, "text": True, "timeout": 60, "env": os.environ | {"PATH": path}}
    wrong = subprocess.run([*command, "--platform", "x", "absent.hcl"], **asked)
    assert wrong.returncode == 2
    for problem in ("no folder is named", "'x' is not a platform", "absent.hcl is not a file"):
        assert problem in wrong.stderr
    (tmp_path / "lock.hcl").write_text(lock_text(HOST, b"content"))
    flags = ["--plan", "--folder", str(tmp_path / "mirror"), str(tmp_path / "lock.hcl")]
    shown = subprocess.run([*command, *flags], **asked)
    assert shown.stdout == f"{HOST}/acme/demo {VERSION} for linux_amd64: to be downloaded\n", shown.stderr
    assert not (tmp_path / "mirror").exists()
