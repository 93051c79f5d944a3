from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iac_ci_common.errors import PreparationFailed
from iac_ci_common.vcs.git import GitRepositories, repository_problem


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
    GitRepositories(allow_file=True).checkout(
        repository, commit, str(target), **({"token": None, "ssh_key": None} | secrets)
    )


def test_one_commit_is_fetched_without_its_history(repository, tmp_path):
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "main.tf").write_text("# two\n")
    git(repository, "commit", "--quiet", "-am", "two")
    fetch(f"file://{repository}", commit, tmp_path / "out")
    assert (tmp_path / "out" / "main.tf").read_text() == "# one\n"
    assert not (tmp_path / "out" / ".git").exists()


def test_a_missing_commit_says_so(repository, tmp_path):
    with pytest.raises(PreparationFailed, match="failed"):
        fetch(f"file://{repository}", "0" * 40, tmp_path / "out")


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
    assert repository_problem(address) is not None
    with pytest.raises(PreparationFailed):
        GitRepositories().checkout(address, "a" * 40, str(tmp_path), token=None, ssh_key=None)


@pytest.mark.parametrize(
    "address", ["https://example.com/a/b.git", "ssh://git@example.com/a/b", "git@example.com:a/b.git"]
)
def test_usual_addresses_are_known(address):
    assert repository_problem(address) is None


def test_a_failure_shows_no_token(tmp_path):
    with pytest.raises(PreparationFailed) as failed:
        fetch("https://127.0.0.1:1/a/b", "a" * 40, tmp_path / "out", token="planted-token-value")
    assert "planted" not in str(failed.value)
