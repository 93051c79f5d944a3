from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from iac_ci_common.errors import PortFailed, PreparationFailed
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.git_failures import failure


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "protocol.file.allow=always"]
    return subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "main.tf").write_text("# one\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def fetch(repository: str, commit: str, target: Path, **secrets: str | None) -> None:
    target.mkdir()
    GitRepositories(allow_file=True, wait=lambda seconds: None).checkout(
        repository, commit, str(target), **({"token": None, "ssh_key": None} | secrets)
    )


def test_one_commit_is_fetched_without_its_history(repository, tmp_path):
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "main.tf").write_text("# two\n")
    git(repository, "commit", "--quiet", "-am", "two")
    fetch(f"file://{repository}", commit, tmp_path / "out")
    assert (tmp_path / "out" / "main.tf").read_text() == "# one\n"


def test_a_missing_commit_says_so(repository, tmp_path):
    with pytest.raises(PreparationFailed, match="failed"):
        fetch(f"file://{repository}", "0" * 40, tmp_path / "out")


def test_folders_too_deep_to_walk_are_refused_before_they_are_written(repository, tmp_path):
    tree = git(repository, "rev-parse", "HEAD^{tree}")
    for _ in range(1200):
        listed = f"040000 tree {tree}\td\n".encode()
        made = subprocess.run(["git", "-C", str(repository), "mktree"], input=listed, check=True, capture_output=True)
        tree = made.stdout.decode().strip()
    commit = git(repository, "commit-tree", tree, "-m", "deep")
    git(repository, "update-ref", "refs/heads/deep", commit)
    with pytest.raises(PreparationFailed, match="is in more than 249 folders inside one another"):
        fetch(f"file://{repository}", commit, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".git"]


@pytest.mark.parametrize("commit", ["main", "-x", "--upload-pack=touch", "HEAD", "a" * 39, "$(touch x)"])
def test_only_full_hashes_are_commits(repository, tmp_path, commit):
    with pytest.raises(PreparationFailed, match="commit"):
        fetch(f"file://{repository}", commit, tmp_path / "out")


def test_hooks_and_submodules_do_not_run(repository, tmp_path):
    marker = tmp_path / "ran"
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    (repository / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch {marker}"\n')
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "module")
    fetch(f"file://{repository}", git(repository, "rev-parse", "HEAD"), tmp_path / "out")
    assert not marker.exists()


@pytest.mark.parametrize(
    "address",
    [
        "ext::sh -c touch", "--upload-pack=touch x", "-oProxyCommand=x", "http://example.com/a", "file:///etc", "git://x/y",
        "https://user:token@example.com/a", "https://token@example.com/a", "https://-x/a", "https://example.com", "",
        "a b", "ssh://-oProxyCommand=touch/x", "-x@example.com:a",
    ],
)  # fmt: skip
def test_addresses_that_git_must_not_see_are_refused(address, tmp_path):
    with pytest.raises(PreparationFailed):
        GitRepositories().checkout(address, "a" * 40, str(tmp_path), token=None, ssh_key=None)


def test_a_failure_shows_no_token(tmp_path):
    with pytest.raises(PreparationFailed) as failed:
        fetch("https://127.0.0.1:1/a/b", "a" * 40, tmp_path / "out", token="planted-token-value")
    assert "planted" not in str(failed.value)


class Host:
    """A web server that knows no repository: it answers every request with one status and keeps what it was asked."""

    def __init__(self, status: int, *, silent: bool = False) -> None:
        self.asked: list[dict[str, str]] = []
        self.closing = threading.Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(dict(self.headers))
                if silent:
                    host.closing.wait(60)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Host:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class PlainRepositories(GitRepositories):
    """As the real ones, but http:// counts as https://: a test has no certificate."""

    def _environment(self, private, repository, token, ssh_key):
        environment = super()._environment(private, repository, token, ssh_key)
        number = environment["GIT_CONFIG_COUNT"]
        plain, protocol = f"GIT_CONFIG_KEY_{number}", f"GIT_CONFIG_KEY_{int(number) + 1}"
        address = repository.removeprefix("https://").partition("/")[0]
        environment |= {
            "GIT_CONFIG_COUNT": str(int(number) + 2),
            plain: f"url.http://{address}/.insteadOf",
            plain.replace("KEY", "VALUE"): f"https://{address}/",
            protocol: "protocol.http.allow",
            protocol.replace("KEY", "VALUE"): "always",
        }
        return {name: value.replace("http.https://", "http.http://") for name, value in environment.items()}


def ask(host: Host, folder: Path, **options: float) -> None:
    PlainRepositories(allow_file=True, wait=lambda seconds: None, **options).checkout(
        f"https://{host.address}/a/b", "a" * 40, str(folder), token="planted-token-value", ssh_key=None
    )


@pytest.mark.parametrize(("status", "passing"), [(500, True), (503, True), (429, True), (404, False), (403, False)])
def test_a_failing_host_is_worth_another_try_and_a_refusal_is_not(tmp_path, status, passing):
    with Host(status) as host, pytest.raises(PortFailed if passing else PreparationFailed) as failed:
        ask(host, tmp_path)
    assert failed.value.retry_is_safe is passing
    assert len(host.asked) == (3 if passing else 1)
    credentials = base64.b64encode(b"x-access-token:planted-token-value").decode()
    assert host.asked[0]["Authorization"] == f"Basic {credentials}"
    for secret in ("planted", credentials):
        assert secret not in str(failed.value)


def test_a_host_that_says_nothing_is_left_with_all_processes(tmp_path):
    for seconds in (1, 10, 100):  # the first that lets git ask, however busy the machine is
        with Host(200, silent=True) as host, pytest.raises(PreparationFailed, match="took more than"):
            ask(host, tmp_path, seconds=seconds)
        if host.asked:
            break
    assert host.asked


def test_a_token_stands_in_no_argument_and_no_file(repository, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    real = shutil.which("git")
    shown = tmp_path / "out" / ".git" / "config"
    shim.write_text(f'#!/bin/sh\necho "$@" >> {seen}\n{real} "$@" || exit\ncat {shown} >> {seen}\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent), prepend=os.pathsep)
    fetch(
        f"file://{repository}",
        git_head(repository),
        tmp_path / "out",
        token="planted",
        ssh_key="planted",
    )
    assert "fetch" in seen.read_text()
    assert "planted" not in seen.read_text()


def test_a_key_is_gone_afterwards_however_it_went(repository, tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    fetch(f"file://{repository}", git(repository, "rev-parse", "HEAD"), tmp_path / "out", ssh_key="planted")
    with pytest.raises(PreparationFailed):
        fetch(f"file://{repository}", "0" * 40, tmp_path / "other", ssh_key="planted")
    assert list(place.iterdir()) == []


def test_the_users_own_configuration_is_not_read(repository, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "file:///nowhere"]\n\tinsteadOf = file://{repository}\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    fetch(f"file://{repository}", git_head(repository), tmp_path / "out")
    assert (tmp_path / "out" / "main.tf").exists()


def git_head(repository: Path) -> str:
    return (repository / ".git" / "refs" / "heads" / "main").read_text().strip()


SSH = """\
git@example.com: Permission denied (publickey).
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
"""
GITHUB = """\
ERROR: Repository not found.
fatal: Could not read from remote repository.

Please make sure you have the correct access rights
and the repository exists.
"""
GITLAB = """\
remote:
remote: ========================================================================
remote: The project you were looking for could not be found.
remote: ========================================================================
fatal: Could not read from remote repository.
"""


@pytest.mark.parametrize(
    ("printed", "shown", "passing"),
    [
        (SSH, "git@example.com: Permission denied (publickey).", False),
        (GITHUB, "Repository not found", False),
        (GITLAB, "could not be found", False),
        ("remote: Repository not found.\nfatal: repository 'https://x/' not found\n", "Repository not found", False),
        ("fatal: remote error: upload-pack: not our ref 00\n", "not our ref", False),
        ("error: something\nhint: advice\n", "something", False),
        ("ssh: Could not resolve hostname a.b: Temporary failure in name resolution\n" + SSH[48:], "resolve", True),
        ("fatal: unable to access 'https://a/': Could not resolve host: a\n", "Could not resolve host", True),
        ("ssh: connect to host a port 22: Connection refused\nfatal: Could not read\n", "refused", False),
        ("kex_exchange_identification: Connection closed by remote host\n" + SSH[48:], "closed by remote", True),
        ("fatal: unable to access 'https://a/': Failed to connect to a port 443\n", "Failed to connect", False),
        ("error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly\nfatal: early EOF\n", "curl 92", True),
        ("", "git printed no reason", False),
        ("Host key verification failed.\n" + SSH[48:], "Host key verification failed", False),
        ("Connection closed by 192.0.2.1 port 22\n" + SSH[48:], "closed by 192.0.2.1", True),
        ("ssh_dispatch_run_fatal: Connection to 192.0.2.1 port 22: incorrect\n" + SSH[48:], "incorrect", True),
        (
            "Warning: Permanently added 'a' (ED25519) to the list of known hosts.\nLoad key \"k\": error in libcrypto\n"
            + SSH,
            "error in libcrypto",
            False,
        ),
        *(
            (f"fatal: unable to access 'https://a/': {words}\n", words, True)
            for words in (
                "Empty reply from server",
                "GnuTLS recv error (-54): Error in the pull function.",
                "OpenSSL SSL_read: error:0A000126:SSL routines::unexpected eof while reading, errno 0",
                "SSL connection timeout",
                "Operation too slow. Less than 1000 bytes/sec transferred the last 30 seconds",
                "HTTP/2 stream 1 was not closed cleanly: INTERNAL_ERROR (err 2)",
                "The requested URL returned error: 408",
            )
        ),
    ],
)
def test_the_hosts_reason_is_shown_and_a_network_is_worth_another_try(printed, shown, passing):
    error = failure("https://example.com/a/b", printed)
    assert shown in error.message
    assert "and the repository exists" not in error.message
    assert "Permanently added" not in error.message
    assert error.retry_is_safe is passing


def test_a_redirect_is_not_followed_by_git_itself(tmp_path, monkeypatch):
    with Host(301) as host, Host(404) as moved:
        monkeypatch.setattr(PlainRepositories, "_moved", lambda *_: f"https://{moved.address}/new/b")
        with pytest.raises(PreparationFailed):
            ask(host, tmp_path)
        assert host.asked
        assert moved.asked
