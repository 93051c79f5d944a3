"""Terraform's backend vanishes during an apply: what Terraform could not write is kept, fetched and pushed back.

The commands are those of docs/operations.md, "Push back what an apply could not write".
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iac_ci_cli.main import app
from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed
from iac_ci_local.terraform_tool import terraform_on_path, write_terraform
from iac_ci_local.testing import submit, wait_for_end

pytestmark = pytest.mark.local_cloud

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"


class Backend(ThreadingHTTPServer):
    """A state backend (Terraform's type ``http``) that answers 503 while the file ``gone`` exists."""

    def __init__(self, gone: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gone = gone
        self.state: bytes | None = None


class _Handler(BaseHTTPRequestHandler):
    server: Backend

    def do_GET(self) -> None:
        self._answer(self.server.state)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.server.gone.exists():
            self.server.state = body
        self._answer(b"")

    def _answer(self, body: bytes | None) -> None:
        status = 503 if self.server.gone.exists() else 404 if body is None else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        del format, args


@contextmanager
def backend(gone: Path) -> Iterator[Backend]:
    with Backend(gone) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


CONFIGURATION = """
terraform {
  backend "http" {
    address   = "http://127.0.0.1:%d/state"
    retry_max = 0
  }
}

resource "terraform_data" "made" {
  input = "before the backend vanished"
  provisioner "local-exec" {
    command = "touch %s"
  }
}
"""


def test_the_state_of_an_apply_whose_backend_vanished_is_kept_and_pushed_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    terraform = terraform_on_path() or str(write_terraform(tmp_path))
    # The commands of a function are this user's here, so they may write where this test does.
    gone = tmp_path / "gone"
    with backend(gone) as server, LocalCloud(announced=True, speed=Speed(wait_scale=0.1, retry_seconds=0.1)) as cloud:
        configuration = CONFIGURATION % (server.server_port, gone)
        write = f"cat > main.tf <<'END'\n{configuration}\nEND"
        apply = [f"{terraform} init -input=false", f"{terraform} apply -input=false -auto-approve"]
        order = {"order_name": "apply", "cmds": [write, *apply], "timeout": 300}
        run = submit(cloud, {"username": "tests", "orders": [order]})
        (row,) = wait_for_end(cloud, run).orders
        assert row.status is OrderState.FAILED
        assert "it left files; fetch them with `iac-ci files`" in (row.reason or "")
        assert server.state is None

        fetched = CliRunner().invoke(app, ["files", run, "apply", "--to", "left", "--local"])
        assert fetched.exit_code == 0, fetched.output
        assert fetched.stdout == "left/apply/kept/errored.tfstate\n"
        assert (tmp_path / "left").stat().st_mode & 0o777 == 0o700

        gone.unlink()
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        (checkout / "main.tf").write_text(configuration, "utf-8")
        for command in pushed(run):
            arguments = [part.replace("terraform", terraform) if part == "terraform" else part for part in command]
            subprocess.run(arguments, cwd=checkout, check=True, capture_output=True, timeout=600)
        assert server.state is not None
        (resource,) = json.loads(server.state)["resources"]
        assert resource["name"] == "made"
        planned = subprocess.run(
            [terraform, "plan", "-input=false", "-detailed-exitcode"],
            cwd=checkout,
            check=False,
            capture_output=True,
            timeout=600,
        )
        assert planned.returncode == 0, planned.stdout


def pushed(run: str) -> list[list[str]]:
    """Return the page's Terraform commands, with the run's id and the folder of this test."""
    text = PAGE.read_text("utf-8")
    section = text.split("### Push back what an apply could not write", 1)[1].split("\n#", 1)[0]
    lines = [line.removeprefix("$ ") for line in section.splitlines() if line.startswith("$ terraform ")]
    assert [line.split()[1] for line in lines] == ["init", "state", "plan"]
    return [
        line.replace("left/ORDER", str(Path.cwd() / "left" / "apply")).replace("RUN", run).split()
        for line in lines
        if line.split()[1] != "plan"
    ]
