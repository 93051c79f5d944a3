"""The ``.git`` that commands find: real git answers in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iac_ci_common.packing import pack, unpack
from iac_ci_vcs.git import GitRepositories


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(params=["sha1", "sha256"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "stacks").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main", f"--object-format={request.param}")
    (folder / "stacks" / "main.tf").write_text("# one\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("run.sh")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "the subject")
    return folder


def arrived(repository: Path, folder: Path) -> Path:
    """Return the folder that commands find: fetched, packed and unpacked."""
    tree, code = folder / "tree", folder / "code"
    tree.mkdir(parents=True)
    code.mkdir()
    GitRepositories(allow_file=True).checkout(
        f"file://{repository}", git(repository, "rev-parse", "HEAD"), str(tree), token=None, ssh_key=None
    )
    pack(tree, folder / "code.zip")
    unpack(folder / "code.zip", code)
    return code


def test_it_answers_for_root_commit_version_and_files(repository, tmp_path):
    git(repository, "tag", "-a", "v1.2", "-m", "a version")
    git(repository, "tag", "light/one")
    code = arrived(repository, tmp_path / "a")
    assert git(code / "stacks", "rev-parse", "--show-toplevel") == str(code)
    assert git(code, "rev-parse", "HEAD") == git(repository, "rev-parse", "HEAD")
    assert git(code, "describe") == "v1.2"
    assert git(code, "describe", "--always", "--dirty") == "v1.2"
    assert git(code, "log", "-1", "--format=%s") == "the subject"
    assert git(code, "ls-files") == "link\nrun.sh\nstacks/main.tf"
    assert git(code, "status", "--porcelain") == ""
    (code / "stacks" / "main.tf").write_text("# changed\n")
    assert git(code, "status", "--porcelain") == "M stacks/main.tf"


def test_without_a_tag_it_describes_the_commit(repository, tmp_path):
    code = arrived(repository, tmp_path / "a")
    assert git(repository, "rev-parse", "HEAD").startswith(git(code, "describe", "--always"))


def test_it_has_no_remote_no_history_and_no_content(repository, tmp_path):
    first = git(repository, "rev-parse", "HEAD")
    (repository / "stacks" / "main.tf").write_text("# two\n")
    git(repository, "commit", "--quiet", "-am", "two")
    code = arrived(repository, tmp_path / "a")
    assert git(code, "remote") == ""
    assert git(code, "rev-list", "--count", "HEAD") == "1"
    for missing in (first, "HEAD:stacks/main.tf"):
        with pytest.raises(subprocess.CalledProcessError):
            git(code, "cat-file", "-e", missing)
    kept = sorted(path.name for path in (code / ".git").iterdir())
    assert kept == ["HEAD", "config", "index", "objects", "packed-refs", "refs", "shallow"]
    assert str(repository) not in (code / ".git" / "config").read_text()


def test_equal_commits_give_equal_archives(repository, tmp_path):
    git(repository, "tag", "-a", "v1", "-m", "v1")
    arrived(repository, tmp_path / "a")
    arrived(repository, tmp_path / "b")
    assert (tmp_path / "a" / "code.zip").read_bytes() == (tmp_path / "b" / "code.zip").read_bytes()


def test_files_that_are_left_out_count_as_unchanged(repository, tmp_path):
    (repository / ".iac-ci-ignore").write_text("/run.sh\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "ignore")
    code = arrived(repository, tmp_path / "a")
    (code / "run.sh").unlink()
    assert git(code, "status", "--porcelain") == ""
