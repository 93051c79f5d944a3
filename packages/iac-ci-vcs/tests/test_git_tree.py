from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iac_ci_common.errors import PreparationFailed
from iac_ci_common.tree import Entry, EntryKind
from iac_ci_vcs import git_process, git_tree
from iac_ci_vcs.git import GitRepositories


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    return subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(params=["sha1", "sha256"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "live" / 'a "b"').mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main", f"--object-format={request.param}")
    git(folder, "config", "uploadpack.allowFilter", "true")
    (folder / "live" / 'a "b"' / "main.tf").write_text("# one\n")
    (folder / "live" / "same.tf").write_text("# one\n")
    (folder / "live" / "large.tf").write_text("#" * 5000)
    (folder / "live" / "new\nline.tf").write_text("# odd\n")
    (folder / "notes.md").write_text("not chosen\n")
    (folder / "link.tf").symlink_to("/etc/passwd")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def read(repository: Path, commit: str | None = None, choose=None):
    return GitRepositories(allow_file=True, wait=lambda seconds: None).tree(
        f"file://{repository}",
        commit or git(repository, "rev-parse", "HEAD"),
        token=None,
        choose=choose or (lambda entries: [path for path in entries if path.endswith(".tf")]),
        max_bytes=1000,
    )


def test_paths_are_listed_and_chosen_files_are_read(repository):
    tree = read(repository)
    assert tree.entries == {
        'live/a "b"/main.tf': Entry(EntryKind.FILE, 6),
        "live/same.tf": Entry(EntryKind.FILE, 6),
        "live/large.tf": Entry(EntryKind.FILE, 5000),
        "live/new\nline.tf": Entry(EntryKind.FILE, 6),
        "notes.md": Entry(),
        "link.tf": Entry(EntryKind.LINK, 11),
    }
    assert tree.contents == {
        'live/a "b"/main.tf': b"# one\n",
        "live/same.tf": b"# one\n",
        "live/new\nline.tf": b"# odd\n",
        "link.tf": b"/etc/passwd",
    }


def test_what_was_not_chosen_is_not_fetched(repository, monkeypatch):
    """The repository into which git fetched has no other file's content."""
    contents, there = git_tree.contents, []

    def look(printed):
        there.extend(objects.splitlines())
        return contents(printed)

    def run(arguments, environment, **given):
        nonlocal objects
        if arguments[2:] == ["cat-file", "--batch"]:
            listed = ["git", *arguments[:2], "cat-file", "--batch-all-objects", "--batch-check"]
            objects = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
        return git_process_run(arguments, environment, **given)

    objects, git_process_run = "", git_process.run
    monkeypatch.setattr(git_process, "run", run)
    monkeypatch.setattr(git_tree, "contents", look)
    tree = read(repository, choose=lambda entries: ["live/same.tf", "no such path"])
    assert tree.contents == {"live/same.tf": b"# one\n"}
    assert [line.split()[1:] for line in there if " blob " in line] == [["blob", "6"]]


def test_nothing_needs_to_be_read(repository):
    assert read(repository, choose=lambda entries: []).contents == {}


def test_a_submodule_is_an_entry_without_files(repository):
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},modules/other")
    git(repository, "commit", "--quiet", "-m", "submodule")
    assert read(repository).entries["modules/other"] == Entry(EntryKind.SUBMODULE)


def test_a_missing_commit_says_so(repository):
    with pytest.raises(PreparationFailed, match="failed"):
        read(repository, "0" * 40)


@pytest.mark.parametrize("commit", ["main", "--upload-pack=touch", "HEAD"])
def test_only_full_hashes_are_commits(repository, commit):
    with pytest.raises(PreparationFailed, match="full commit hash"):
        read(repository, commit)


def test_there_is_a_most_of_paths(monkeypatch, repository):
    monkeypatch.setattr(git_tree, "MAX_PATHS", 5)
    with pytest.raises(PreparationFailed, match="more than 5 files"):
        read(repository)
