"""The registry is used where it answers, and asking takes seconds at most."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from offline import mirror, program, registry
from offline.provider.schema import VERSION

DOWNLOAD = f"/v1/providers/hashicorp/aws/{VERSION}/download/linux/amd64"


class Registry:
    """A registry on loopback: what it answers is set by the test."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, str]] = {}
        self.silent = False
        end = self._end = Event()
        registry_itself = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if registry_itself.silent:
                    end.wait(3600)
                    return
                status, body = registry_itself.answers.get((self.command, self.path), (404, ""))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def do_HEAD(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def offer(self, download: str) -> None:
        self.answers["GET", DOWNLOAD] = (200, json.dumps({"download_url": download}))

    def close(self) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def served() -> Iterator[Registry]:
    made = Registry()
    yield made
    made.close()


def asked(served: Registry, seconds: float = 60) -> bool:
    return registry.answers("linux_amd64", VERSION, served.address, seconds)


def test_a_registry_whose_download_answers_too_is_used(served: Registry) -> None:
    served.offer(f"{served.address}/provider.zip")
    served.answers["HEAD", "/provider.zip"] = (200, "")
    assert asked(served)


@pytest.mark.parametrize("download", ["/provider.zip", "http://127.0.0.1:1/provider.zip", "no address"])
def test_a_registry_whose_download_does_not_answer_is_not_used(served: Registry, download: str) -> None:
    served.offer(f"{served.address}{download}" if download.startswith("/") else download)
    assert not asked(served)


@pytest.mark.parametrize("body", ["", "{}", "[]", "<html>a hotel's page</html>"])
def test_an_answer_that_is_none_of_a_registry_is_not_one(served: Registry, body: str) -> None:
    served.answers["GET", DOWNLOAD] = (200, body)
    assert not asked(served)


def test_nothing_listens() -> None:
    assert not registry.answers("linux_amd64", VERSION, "http://127.0.0.1:1", 60)


def test_silence_is_waited_for_no_longer_than_was_said(served: Registry) -> None:
    served.silent = True
    before = time.monotonic()
    assert not asked(served, seconds=0.5)
    # The server would keep silent for an hour.
    assert time.monotonic() - before < 600


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TF_CLI_CONFIG_FILE", raising=False)
    monkeypatch.setattr(program, "version", lambda: {"platform": "linux_amd64"})
    monkeypatch.setattr(mirror.registry, "answers", lambda *_: True)
    return tmp_path


def test_the_registry_is_used_where_it_answers(home: Path) -> None:
    configuration, which = mirror.choose(only_stand_in=False)
    assert (configuration, "registry.terraform.io" in which) == ("", True)


def test_the_stand_in_is_used_where_it_does_not(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror.registry, "answers", lambda *_: False)
    configuration, which = mirror.choose(only_stand_in=False)
    assert Path(configuration).is_file()
    assert "stand-in for hashicorp/aws" in which
    assert "does not answer" in which


def test_a_file_that_is_named_wins_and_one_that_is_missing_does_not(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(home / "named"))
    assert mirror.choose(only_stand_in=False)[0] == ""
    (home / "named").write_text("")
    assert mirror.choose(only_stand_in=False)[0] == str(home / "named")


def test_the_users_own_configuration_wins_where_it_says_where_providers_are_from(home: Path) -> None:
    (home / ".terraformrc").write_text("disable_checkpoint = true\n")
    assert mirror.choose(only_stand_in=False)[0] == ""
    (home / ".terraformrc").write_text("provider_installation {}\n")
    assert mirror.choose(only_stand_in=False)[0] == str(home / ".terraformrc")


def test_the_stand_in_that_is_asked_for_is_used_whatever_else_there_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".terraformrc").write_text("provider_installation {}\n")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(home / ".terraformrc"))
    configuration, which = mirror.choose(only_stand_in=True)
    assert Path(configuration).name == "terraformrc"
    assert "asked for" in which


def test_the_stand_in_is_laid_out_for_the_machine_that_runs_terraform(home: Path) -> None:
    for platform in ("linux_amd64", "linux_arm64", "darwin_arm64"):
        (found,) = mirror.stand_in(platform).parent.glob("mirror/*/*/*/*/*")
        assert found.name == platform
