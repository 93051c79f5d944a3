"""The fresh machine reaches the package registries and nothing else, and has none of what the tests must do without."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from offline.place import ROOT

SCRIPT = ROOT / "tests-e2e/offline/fresh-machine"


@pytest.fixture(scope="module")
def fresh() -> ModuleType:
    """The script as a module."""
    spec = spec_from_loader("fresh_machine", SourceFileLoader("fresh_machine", str(SCRIPT)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_registries_are_those_that_the_clients_name(fresh: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = {
        "npm": ["https://packages.example/npm/"],
        "apt-get": ["http://debian.example:8080/debian", "http://debian.example:8080/security"],
        "apt-config": ['Acquire::http::Proxy "http://127.0.0.1:3142";', 'Acquire::Changelogs "http://no.example";'],
    }
    monkeypatch.setattr(fresh, "read_from", lambda *command: printed.get(command[0], []))
    monkeypatch.setattr(fresh, "ROOT", ROOT / "tests-e2e/offline/no-such-folder")
    monkeypatch.setattr(Path, "read_text", lambda *_: 'url = "https://wheels.example/a.whl", hash = "sha256:0"')
    for name in [name for name in os.environ if name.lower().startswith(("pip_", "uv_")) or "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:word@index.example/simple")
    assert fresh.registries() == [
        ("127.0.0.1", 3142),
        ("debian.example", 8080),
        ("index.example", 443),
        ("packages.example", 443),
        ("wheels.example", 443),
    ]


def test_bytes_are_passed_on_both_ways_until_both_sides_have_ended(fresh: ModuleType) -> None:
    near, far = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    sent = os.urandom(3_000_000)

    def answer() -> None:
        connection, _ = far.accept()
        with connection:
            received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            connection.sendall(received[::-1])

    with near, far:
        Thread(target=answer, daemon=True).start()
        fresh.forward([near], [far.getsockname()])
        with socket.create_connection(near.getsockname()) as client:
            client.settimeout(60)
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert received == sent[::-1]


def test_a_wrong_word_is_refused() -> None:
    done = subprocess.run([SCRIPT, "--with", "terraform,luck", "true"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert "--with knows no luck" in done.stderr


LOOK = """
set -eu
for name in terraform tofu docker dockerd chromium; do ! command -v "$name"; done
[ "$(ls -A ..)" = iac-ci ] && [ -z "$(git status --porcelain)" ]
! getent hosts registry.terraform.io && ! (exec 3<>/dev/tcp/198.51.100.1/443) 2>/dev/null
[ "$(ls /tmp /var/cache/iac-ci | grep -v :)" = "" ] && [ ! -e ~/.cache ]
touch /usr/left-behind && echo "found nothing" && exit 7
"""


def test_what_is_not_there_is_not_there_and_nothing_is_left_behind() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a fresh machine needs root and unshare")
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("this root may make no namespaces")
    done = subprocess.run([SCRIPT, "bash", "-c", LOOK], capture_output=True, text=True, timeout=900)
    assert (done.returncode, "found nothing" in done.stdout) == (7, True), done.stdout + done.stderr
    assert not Path("/usr/left-behind").exists()
