"""pipelines/mirror fills a mirror that real Terraform installs from, without a registry."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from offline import program

from iac_ci_worker.provider_installation import write_provider_installation
from pipelines import provider_servers
from pipelines.provider_servers import Served, archive, folder_of, load, write_certificate

ROOT = Path(__file__).resolve().parents[2]
HOST = "registry.example.com"
VERSION = "1.2.3"


provider_mirror = load("provider_mirror")


def lock_text(host, content):
    """Return a lock file as Terraform writes it after a download from a registry: with the archive's own hash."""
    return provider_servers.lock_text(f"{host}/acme/demo", VERSION, [f"zh:{hashlib.sha256(content).hexdigest()}"])


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
    assert capsys.readouterr().err.endswith(f"1 archive in {tmp_path / 'mirror'}, 0 new.\n")


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
    return write_certificate(tmp_path_factory.mktemp("tls") / "mirror.pem")


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

    with Served(folder_of(folder), certificate) as served:
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
        output, _ = process.communicate(timeout=600)
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
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "checksum" in output, output


def test_without_a_mirror_nothing_is_written(tmp_path):
    write_provider_installation(tmp_path, "")
    assert list(tmp_path.iterdir()) == []


def test_the_script_names_every_problem_at_once_and_shows_what_is_missing(tmp_path):
    command = [str(ROOT / "pipelines/mirror")]
    # The checkout's own uv, where the machine has none.
    path = f"{os.environ['PATH']}{os.pathsep}{ROOT / '.tools/bin'}"
    asked = {"capture_output": True, "text": True, "timeout": 600, "env": os.environ | {"PATH": path}}
    wrong = subprocess.run([*command, "--platform", "x", "absent.hcl"], **asked)
    assert wrong.returncode == 2
    for problem in ("no folder is named", "'x' is not a platform", "absent.hcl is not a file"):
        assert problem in wrong.stderr
    (tmp_path / "lock.hcl").write_text(lock_text(HOST, b"content"))
    flags = ["--plan", "--folder", str(tmp_path / "mirror"), str(tmp_path / "lock.hcl")]
    shown = subprocess.run([*command, *flags], **asked)
    assert shown.stdout == f"{HOST}/acme/demo {VERSION} for linux_amd64: to be downloaded\n", shown.stderr
    assert not (tmp_path / "mirror").exists()
