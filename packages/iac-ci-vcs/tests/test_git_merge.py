"""Merges that are checked out: the code host's, where it is of the two commits, or one that git makes here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iac_ci_common.errors import PreparationFailed
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.merges import Merge


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Repository:
    """A repository with the branches ``main`` and ``change``, which have a commit in common."""

    def __init__(self, folder: Path, hashes: str) -> None:
        folder.mkdir()
        self.folder = folder
        git(folder, "init", "--quiet", "--initial-branch=main", f"--object-format={hashes}")
        git(folder, "config", "uploadpack.allowFilter", "true")
        git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
        self.write("main", {"a.tf": "".join(f"line {number}\n" for number in range(30)), "gone.tf": "1\n"})
        git(folder, "branch", "change")
        self.main = self.write("main", {"base.tf": "base\n"})
        self.change = self.write("change", {"head.tf": "head\n"})

    def write(self, branch: str, files: dict[str, str | None]) -> str:
        """Add a commit to a branch and return it."""
        if git(self.folder, "for-each-ref", f"refs/heads/{branch}"):
            git(self.folder, "checkout", "--quiet", branch)
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text) if text is not None else path.unlink()
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "--quiet", "-m", "a change")
        return git(self.folder, "rev-parse", "HEAD")

    def merged(self, into: str, commit: str) -> str:
        """Merge as a code host does, outside of any branch."""
        git(self.folder, "checkout", "--quiet", "--detach", into)
        git(self.folder, "merge", "--quiet", "--no-ff", "--no-edit", commit)
        return git(self.folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository", getattr(request, "param", "sha1"))


def arrived(repository: Repository, folder: Path, merge: Merge, commit: str | None = None, **options):
    folder.mkdir()
    merged = GitRepositories(allow_file=True, wait=lambda _: None).checkout(
        f"file://{repository.folder}", commit or repository.change, str(folder),
        token=None, ssh_key=None, merge=merge, **options,
    )  # fmt: skip
    return merged, sorted(path.name for path in folder.iterdir() if path.name != ".git")


@pytest.mark.parametrize("repository", ["sha1", "sha256"], indirect=True)
def test_a_merge_is_made_here_and_is_the_same_each_time(repository, tmp_path):
    merge = Merge(repository.main)
    merged, names = arrived(repository, tmp_path / "one", merge)
    assert names == ["a.tf", "base.tf", "gone.tf", "head.tf"]
    assert "no merge" in merged.why_here
    again, _ = arrived(repository, tmp_path / "two", merge)
    assert again == merged
    code = tmp_path / "one"
    assert git(code, "rev-parse", "HEAD") == merged.commit
    assert git(code, "status", "--porcelain") == ""
    assert git(code, "rev-list", "--count", "HEAD") == "1"
    assert git(code, "cat-file", "commit", "HEAD").splitlines()[1:3] == [
        f"parent {repository.main}",
        f"parent {repository.change}",
    ]


def test_the_hosts_merge_is_used_if_it_is_of_the_two_commits(repository, tmp_path):
    of_host = repository.merged(repository.main, repository.change)
    merged, names = arrived(repository, tmp_path / "out", Merge(repository.main, host_commit=of_host))
    assert (merged.commit, merged.why_here) == (of_host, "")
    assert names == ["a.tf", "base.tf", "gone.tf", "head.tf"]


@pytest.mark.parametrize("which", ["older base", "older head", "other way round", "no merge at all"])
def test_a_stale_merge_of_the_host_is_noticed_and_made_here(repository, tmp_path, which):
    into, commit = repository.main, repository.change
    stale = repository.merged(*((commit, into) if which == "other way round" else (into, commit)))
    if which == "no merge at all":
        stale = commit
    if which == "older base":
        into = repository.write("main", {"newer.tf": "1\n"})
    if which == "older head":
        commit = repository.write("change", {"newer.tf": "1\n"})
    merged, names = arrived(repository, tmp_path / "out", Merge(into, host_commit=stale), commit)
    assert merged.commit != stale
    assert merged.why_here.startswith("the code host's merge is of")
    assert ("newer.tf" in names) is which.startswith("older")


def test_a_merge_that_the_host_has_removed_is_made_here(repository, tmp_path):
    merged, names = arrived(repository, tmp_path / "out", Merge(repository.main, host_commit="d" * 40))
    assert "does not have its merge" in merged.why_here
    assert "base.tf" in names


def test_both_sides_change_one_file_and_one_moves_it(repository, tmp_path):
    lines = (repository.folder / "a.tf").read_text()
    into = repository.write("main", {"a.tf": lines.replace("line 2\n", "line two\n")})
    commit = repository.write("change", {"a.tf": None, "moved/a.tf": lines.replace("line 27\n", "changed\n")})
    arrived(repository, tmp_path / "out", Merge(into), commit)
    found = (tmp_path / "out" / "moved" / "a.tf").read_text()
    assert "line two\n" in found
    assert "changed\n" in found


def test_conflicts_are_told_with_their_paths(repository, tmp_path):
    files = {f"c{number:02d}.tf": "one\n" for number in range(12)} | {"a\x1b[31m.tf": "one\n"}
    into = repository.write("main", files)
    commit = repository.write("change", dict.fromkeys(files, "two\n") | {"gone.tf": None})
    with pytest.raises(PreparationFailed) as failed:
        arrived(repository, tmp_path / "out", Merge(into), commit)
    message = failed.value.message
    assert "conflicts with the base branch" in message
    assert "'a\\x1b[31m.tf', 'c00.tf'" in message
    assert "and 3 more; no command was run" in message
    assert not failed.value.retry_is_safe


def test_commits_without_a_common_history_are_refused(repository, tmp_path):
    git(repository.folder, "checkout", "--quiet", "--orphan", "other")
    commit = repository.write("other", {"other.tf": "1\n"})
    with pytest.raises(PreparationFailed, match="no common history"):
        arrived(repository, tmp_path / "out", Merge(repository.main), commit)


def test_a_base_that_has_the_commit_and_a_commit_that_has_the_base(repository, tmp_path):
    both = repository.merged(repository.main, repository.change)
    for number, (into, commit) in enumerate([(both, repository.change), (repository.main, both)]):
        merged, names = arrived(repository, tmp_path / f"out{number}", Merge(into), commit)
        assert names == ["a.tf", "base.tf", "gone.tf", "head.tf"]
        assert git(tmp_path / f"out{number}", "rev-parse", "HEAD") == merged.commit


def test_a_long_history_is_merged_from_its_true_beginning(repository, tmp_path):
    into, commit = repository.main, repository.change
    for number in range(60):
        into = repository.write("main", {"base.tf": f"{number}\n"})
        commit = repository.write("change", {"head.tf": f"{number}\n"})
    _, names = arrived(repository, tmp_path / "out", Merge(into), commit)
    assert (tmp_path / "out" / "base.tf").read_text() == (tmp_path / "out" / "head.tf").read_text() == "59\n"
    assert len(names) == 4


@pytest.mark.parametrize("may_filter", ["true", "false"])
def test_a_fork_is_merged_into_the_repository_that_it_came_from(repository, tmp_path, may_filter):
    fork = Repository.__new__(Repository)
    fork.folder = tmp_path / "fork"
    git(tmp_path, "clone", "--quiet", str(repository.folder), str(fork.folder))
    for each in (fork, repository):
        git(each.folder, "config", "uploadpack.allowFilter", may_filter)
        git(each.folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(fork.folder, "checkout", "--quiet", "change")
    commit = fork.write("change", {"fork.tf": "1\n"})
    into = repository.write("main", {"only-in-base.tf": "1\n"})
    merge = Merge(into, repository=f"file://{repository.folder}")
    _, names = arrived(fork, tmp_path / "out", merge, commit)
    assert {"fork.tf", "only-in-base.tf"} <= set(names)


def test_the_merge_decides_what_is_left_out(repository, tmp_path):
    into = repository.write("main", {".iac-ci-ignore": "head.tf\n"})
    arrived(repository, tmp_path / "out", Merge(into))
    assert git(tmp_path / "out", "status", "--porcelain") == ""


PERSON = b"t <t@example.invalid> 1273698410 +0000"
FAULTS = {
    "a time zone that none has": b"t <t@example.invalid> 1273698410 +051800",
    "no blank before the time": b"t <t@example.invalid>1273698410 +0000",
    "no address": b"t 1273698410 +0000",
    "an address within a name": b"t <t <t@example.invalid> 1273698410 +0000",
    "a time with leading zeros": b"t <t@example.invalid> 01273698410 +0000",
    "two authors": PERSON + b"\nauthor " + PERSON,
}


def write(repository: Repository, kind: str, content: bytes) -> str:
    """Write an object as it is, also one that git would not make."""
    command = ["git", "-C", str(repository.folder), "hash-object", "-t", kind, "-w", "--literally", "--stdin"]
    return subprocess.run(command, input=content, check=True, capture_output=True).stdout.decode().strip()


def continue_from(repository: Repository, commit: str) -> None:
    """Let both branches continue from another commit."""
    for branch in ("main", "change"):
        git(repository.folder, "checkout", "--quiet", "-B", branch, commit)
        setattr(repository, branch, repository.write(branch, {f"{branch}.tf": "new\n"}))


def arrives_each_way(repository: Repository, tmp_path: Path, old: str) -> None:
    _, names = arrived(repository, tmp_path / "merge", Merge(into=repository.main))
    assert {"main.tf", "change.tf"} <= set(names)
    GitRepositories(allow_file=True).checkout(
        f"file://{repository.folder}", old, str(tmp_path / "old"), token=None, ssh_key=None
    )
    assert (tmp_path / "old" / "gone.tf").exists()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_commit_of_an_old_tool_in_the_history_is_no_obstacle(repository, tmp_path, fault):
    tree = git(repository.folder, "rev-parse", "change^^{tree}")
    about = b"author %s\ncommitter %s\n" % (FAULTS[fault], PERSON)
    old = write(repository, "commit", b"tree %s\n%s\nold\n" % (tree.encode(), about))
    continue_from(repository, old)
    (tmp_path / "old").mkdir()
    arrives_each_way(repository, tmp_path, old)


def test_a_folder_of_an_old_tool_is_no_obstacle(repository, tmp_path):
    """It wrote the mode of folders with a leading zero."""
    inner, gone = (git(repository.folder, "rev-parse", name) for name in ("change^^{tree}", "change:gone.tf"))
    content = b"040000 folder\0" + bytes.fromhex(inner) + b"100644 gone.tf\0" + bytes.fromhex(gone)
    tree = write(repository, "tree", content)
    old = write(repository, "commit", b"tree %s\nauthor %s\ncommitter %s\n\nold\n" % (tree.encode(), PERSON, PERSON))
    continue_from(repository, old)
    (tmp_path / "old").mkdir()
    arrives_each_way(repository, tmp_path, old)


@pytest.mark.parametrize("name", [b".git", b".GIT", b"..", b"git~1"])
def test_a_folder_that_git_must_not_write_is_refused_in_a_merge_too(repository, tmp_path, name):
    inner = git(repository.folder, "rev-parse", "change^^{tree}")
    tree = write(repository, "tree", b"40000 %s\0%s" % (name, bytes.fromhex(inner)))
    old = write(repository, "commit", b"tree %s\nauthor %s\ncommitter %s\n\nold\n" % (tree.encode(), PERSON, PERSON))
    side = write(
        repository,
        "commit",
        b"tree %s\nparent %s\nauthor %s\ncommitter %s\n\nx\n" % (tree.encode(), old.encode(), PERSON, PERSON),
    )
    git(repository.folder, "update-ref", "refs/heads/evil", side)
    with pytest.raises(PreparationFailed):
        arrived(repository, tmp_path / "merge", Merge(into=old), commit=side)
    with pytest.raises(PreparationFailed):
        arrived(repository, tmp_path / "alone", Merge(into=old, host_commit=side), commit=side)
