"""Git LFS: content in the place of pointers, or a refusal with the path; never a pointer."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from iac_ci_common.content_pointers import LfsPointer
from iac_ci_common.errors import PortFailed, PreparationFailed
from iac_ci_vcs import large_files
from iac_ci_vcs.git import GitRepositories

CONTENT = b"large \xff content\n" * 1000
OID = hashlib.sha256(CONTENT).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(CONTENT)}\n"


class Server:
    """A server of Git LFS on loopback; ``answer`` changes what it says of each object."""

    def __init__(self, content: bytes = CONTENT, status: int = 200, **answer: Any) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append((self.path, dict(self.headers), body))
                action = {"href": f"http://{server.address}/content/{OID}", "header": {"X-Signed": "yes"}}
                objects = [
                    {**each, "actions": {"download": action}, **answer} if answer.get("oid") is None else answer
                    for each in body["objects"]
                ]
                self._send(json.dumps({"transfer": "basic", "objects": objects}).encode())

            def do_GET(self) -> None:
                server.asked.append((self.path, dict(self.headers), None))
                self._send(content)

            def _send(self, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Server:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def fetch(server: Server, folder: Path, files: dict[str, LfsPointer], **options: Any) -> None:
    """Fetch as from a host with https: a test has no certificate."""
    for path in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(POINTER)
    chosen = {"credentials": "user:planted", "plain_http": True, "deadline": float("inf")} | options
    large_files.fetch(f"https://{server.address}/org/stacks", files, folder, **chosen)


def test_content_takes_the_place_of_the_pointer_and_modes_stay(tmp_path):
    pointer = LfsPointer(OID, len(CONTENT))
    with Server() as server:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "tool").write_text(POINTER)
        (tmp_path / "a" / "tool").chmod(0o755)
        fetch(server, tmp_path, {"a/tool": pointer, "b/same": pointer})
        assert (tmp_path / "a" / "tool").read_bytes() == (tmp_path / "b" / "same").read_bytes() == CONTENT
        assert (tmp_path / "a" / "tool").stat().st_mode & 0o777 == 0o755
        (path, headers, body), (_, download, _) = server.asked
    assert path == "/org/stacks.git/info/lfs/objects/batch"
    assert headers["Content-Type"] == headers["Accept"] == "application/vnd.git-lfs+json"
    assert headers["Authorization"].startswith("Basic ")
    assert body["objects"] == [{"oid": OID, "size": len(CONTENT)}]
    assert download["X-Signed"] == "yes"
    assert "Authorization" not in download


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"content": CONTENT[:-1]}, "other content"),
        ({"content": CONTENT + b"x"}, "other content"),
        ({"content": CONTENT[:-1] + b"x"}, "other content"),
        ({"actions": None, "error": {"code": 404, "message": "Object does not exist"}}, "404 'Object does not exist'"),
        ({"actions": {}}, "has no content"),
        ({"actions": {"download": {"href": "file:///etc/passwd"}}}, "not by https"),
        ({"actions": {"download": {"href": "http://169.254.169.254/x"}}}, "metadata endpoint"),
        ({"actions": {"download": 1}}, "not one of Git LFS"),
        ({"status": 403}, "403"),
    ],
)
def test_what_is_not_the_content_is_refused_with_the_path(tmp_path, options, reason):
    with Server(**options) as server, pytest.raises(PreparationFailed) as failed:
        fetch(server, tmp_path, {"modules/large.zip": LfsPointer(OID, len(CONTENT))})
    assert "'modules/large.zip'" in failed.value.message
    assert reason in failed.value.message
    assert ".iac-ci-ignore" in failed.value.message
    assert "planted" not in failed.value.message


def test_a_failing_server_is_worth_another_try(tmp_path, monkeypatch):
    monkeypatch.setattr("iac_ci_vcs.http_session.pause", lambda _: None)
    with Server(status=503) as server, pytest.raises(PortFailed) as failed:
        fetch(server, tmp_path, {"large": LfsPointer(OID, len(CONTENT))})
    assert failed.value.retry_is_safe


def test_more_than_a_tree_may_have_is_not_asked_for(tmp_path):
    with Server() as server, pytest.raises(PreparationFailed, match="more than"):
        fetch(server, tmp_path, {"a": LfsPointer(OID, 1 << 30), "b": LfsPointer("0" * 64, 1)})
    assert server.asked == []


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(folder: Path, attributes: str, **files: str) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name, text in {".gitattributes": attributes, **files}.items():
        (folder / name).write_text(text)
    git(folder, "-c", "filter.lfs.clean=cat", "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def checkout(source: Path, out: Path) -> None:
    out.mkdir()
    GitRepositories(allow_file=True).checkout(
        f"file://{source}", git(source, "rev-parse", "HEAD"), str(out), token=None, ssh_key=None
    )


@pytest.mark.parametrize(
    "attributes", ["large* filter=lfs diff=lfs merge=lfs -text\n", "* text eol=crlf\nlarge* filter=lfs\n"]
)
def test_a_pointer_that_cannot_be_replaced_is_refused(tmp_path, attributes):
    source = repository(tmp_path / "r", attributes, large=POINTER)
    with pytest.raises(PreparationFailed, match="'large' in Git LFS could not be fetched: Git LFS is read by https"):
        checkout(source, tmp_path / "out")


@pytest.mark.parametrize("before", ["\n", "version http://git-media.io/v/2\n"])
def test_a_pointer_in_an_unusual_form_is_refused_too(tmp_path, before):
    pointer = before + POINTER if before == "\n" else before + POINTER.partition("\n")[2]
    source = repository(tmp_path / "r", "large filter=lfs\n", large=pointer)
    with pytest.raises(PreparationFailed, match="'large' in Git LFS could not be fetched"):
        checkout(source, tmp_path / "out")


@pytest.mark.parametrize("locked", [True, False])
def test_content_of_git_annex_is_refused_with_the_path_unless_it_is_left_out(tmp_path, locked):
    key = "SHA256E-s1048576--0f3c.zip"
    source = repository(tmp_path / "r", "", main="x\n")
    if locked:
        (source / "large.zip").symlink_to(f".git/annex/objects/aa/bb/{key}/{key}")
    else:
        (source / "large.zip").write_text(f"/annex/objects/{key}\n")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "two")
    with pytest.raises(PreparationFailed, match=r"'large\.zip' in git-annex could not be fetched"):
        checkout(source, tmp_path / "out")
    (source / ".iac-ci-ignore").write_text("*.zip\n")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "three")
    checkout(source, tmp_path / "again")


def test_a_pointer_that_is_left_out_is_no_obstacle(tmp_path):
    source = repository(tmp_path / "r", "large filter=lfs\n", large=POINTER)
    (source / ".iac-ci-ignore").write_text("large\n")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "two")
    checkout(source, tmp_path / "out")


def test_a_text_that_looks_like_a_pointer_stays(tmp_path):
    source = repository(tmp_path / "r", "*.bin filter=lfs\n", example=POINTER, real="not a pointer\n")
    checkout(source, tmp_path / "out")
    assert (tmp_path / "out" / "example").read_text() == POINTER


def test_a_repository_cannot_name_another_server(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        large_files, "fetch", lambda repository, files, folder, **named: asked.append((repository, named))
    )
    source = repository(tmp_path / "r", "large filter=lfs\n", large=POINTER)
    (source / ".lfsconfig").write_text("[lfs]\n\turl = https://evil.example/\n")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "two")
    checkout(source, tmp_path / "out")
    assert asked[0][0] == f"file://{source}"
