"""Submodules: fetched from where the commit names them, with secrets for the repository's own host only."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from iac_ci_common.errors import PreparationFailed
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.submodules import DEEPEST, MOST, absolute, submodules


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "protocol.file.allow=always"]
    return subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def new(folder: Path, files: dict[str, str], modules: dict[str, Path] | None = None) -> Path:
    """Make a repository with files and submodules."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for path, module in (modules or {}).items():
        git(folder, "submodule", "--quiet", "add", "--", f"file://{module}", path)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "one")
    return folder


def fetch(repository: Path, out: Path) -> None:
    out.mkdir()
    commit = git(repository, "rev-parse", "HEAD")
    GitRepositories(allow_file=True).checkout(f"file://{repository}", commit, str(out), token=None, ssh_key=None)


def test_a_submodule_arrives_with_its_files_and_without_its_git_folder(tmp_path):
    module = new(tmp_path / "module", {"network/main.tf": "# network\n"})
    deeper = new(tmp_path / "deeper", {"main.tf": "# deeper\n"}, {"in/ner": module})
    top = new(tmp_path / "top", {"main.tf": "# top\n"}, {"modules/with blank": module, "deeper": deeper})
    fetch(top, tmp_path / "out")
    for path in ("modules/with blank", "deeper/in/ner"):
        assert (tmp_path / "out" / path / "network" / "main.tf").read_text() == "# network\n"
        assert not (tmp_path / "out" / path / ".git").exists()


def test_the_commit_that_the_repository_names_is_fetched_not_the_newest(tmp_path):
    module = new(tmp_path / "module", {"main.tf": "# named\n"})
    top = new(tmp_path / "top", {}, {"m": module})
    (module / "main.tf").write_text("# newest\n")
    git(module, "commit", "--quiet", "-am", "two")
    git(module, "config", "uploadpack.allowAnySHA1InWant", "true")
    fetch(top, tmp_path / "out")
    assert (tmp_path / "out" / "m" / "main.tf").read_text() == "# named\n"


def test_a_submodule_that_cannot_be_fetched_is_named_with_the_reason(tmp_path):
    module = new(tmp_path / "module", {"main.tf": ""})
    top = new(tmp_path / "top", {}, {"modules/net": module})
    module.rename(tmp_path / "gone")
    with pytest.raises(PreparationFailed) as failed:
        fetch(top, tmp_path / "out")
    assert "'modules/net'" in failed.value.message
    assert "does not appear to be a git repository" in failed.value.message
    assert ".iac-ci-ignore" in failed.value.message


def test_what_the_ignore_file_leaves_out_is_not_fetched(tmp_path):
    module = new(tmp_path / "module", {"main.tf": ""})
    top = new(tmp_path / "top", {".iac-ci-ignore": "# not needed\nmodules/n*/\n"}, {"modules/net": module})
    module.rename(tmp_path / "gone")
    fetch(top, tmp_path / "out")


def test_a_folder_without_a_url_is_refused_and_not_left_empty(tmp_path):
    module = new(tmp_path / "module", {"main.tf": ""})
    top = new(tmp_path / "top", {"a": ""}, {"modules/net": module})
    git(top, "rm", "--quiet", "--cached", ".gitmodules")
    git(top, "commit", "--quiet", "-m", "no urls")
    with pytest.raises(PreparationFailed, match=r"'modules/net' is a submodule, and \.gitmodules has no URL"):
        fetch(top, tmp_path / "out")


def test_a_commit_includes_no_file_of_the_machine(tmp_path):
    module = new(tmp_path / "module", {"main.tf": ""})
    top = new(tmp_path / "top", {}, {"m": module})
    (tmp_path / "included").write_text('[submodule "m"]\n\turl = file:///nowhere\n')
    with (top / ".gitmodules").open("a") as modules:
        modules.write(f"[include]\n\tpath = {tmp_path / 'included'}\n")
    git(top, "commit", "--quiet", "-am", "include")
    fetch(top, tmp_path / "out")
    assert (tmp_path / "out" / "m" / "main.tf").exists()


def test_number_and_depth_are_bounded(tmp_path):
    inner = new(tmp_path / "0", {"a": ""})
    for depth in range(1, DEEPEST + 2):
        inner = new(tmp_path / str(depth), {"a": ""}, {"in": inner})
    with pytest.raises(PreparationFailed, match=f"more than {DEEPEST} deep"):
        fetch(inner, tmp_path / "out")
    module = tmp_path / "0"
    commit = git(module, "rev-parse", "HEAD")
    wide = new(tmp_path / "wide", {})
    modules = "".join(
        f'[submodule "{number}"]\n\tpath = {number}\n\turl = file://{module}\n' for number in range(MOST + 1)
    )
    (wide / ".gitmodules").write_text(modules)
    for number in range(MOST + 1):
        git(wide, "update-index", "--add", "--cacheinfo", f"160000,{commit},{number}")
    git(wide, "add", ".gitmodules")
    git(wide, "commit", "--quiet", "-m", "wide")
    with pytest.raises(PreparationFailed, match=f"more than {MOST} submodules"):
        fetch(wide, tmp_path / "out2")


@pytest.mark.parametrize(
    ("url", "repository", "found"),
    [
        ("../modules.git", "https://example.com/org/stacks", "https://example.com/org/modules.git"),
        ("../modules", "https://example.com/org/stacks.git", "https://example.com/org/modules"),
        ("./nested", "https://example.com/org/stacks", "https://example.com/org/stacks/nested"),
        ("../../other/modules", "https://example.com/org/stacks/", "https://example.com/other/modules"),
        ("../modules", "git@example.com:org/stacks", "git@example.com:org/modules"),
        ("../../other/modules", "git@example.com:org/stacks", "git@example.com:other/modules"),
        ("../modules", "git@example.com:stacks", "git@example.com:modules"),
        # Bitbucket and Azure DevOps show URLs with the user's name.
        ("https://alice@example.com/org/m.git", "https://example.com/org/stacks", "https://example.com/org/m.git"),
        ("https://Example.com/org/m", "https://example.com/org/stacks", "https://example.com/org/m"),
        ("git@Example.com:org/m", "https://example.com/org/stacks", "https://example.com/org/m"),
        ("https://example.com:443/org/m", "https://example.com/org/stacks", "https://example.com/org/m"),
        ("https://example.com:8443/org/m", "https://example.com/org/stacks", "https://example.com:8443/org/m"),
        ("https://a:b@example.com/org/m", "https://example.com/org/stacks", "https://a:b@example.com/org/m"),
        ("https://alice@other.com/org/m", "https://example.com/org/stacks", "https://alice@other.com/org/m"),
        ("../modules", "ssh://git@example.com/org/stacks", "ssh://git@example.com/org/modules"),
        ("git@example.com:org/modules.git", "https://example.com/org/stacks", "https://example.com/org/modules.git"),
        ("ssh://git@example.com/org/m", "https://example.com/org/stacks", "https://example.com/org/m"),
        ("git@elsewhere.com:org/modules", "https://example.com/org/stacks", "git@elsewhere.com:org/modules"),
        ("https://example.com/a/b", "git@example.com:org/stacks", "https://example.com/a/b"),
    ],
)
def test_urls_are_resolved_as_git_does(url, repository, found):
    assert absolute(url, repository) == found


def test_a_url_cannot_leave_its_host():
    for url in ("../../../../etc", "../../../x"):
        with pytest.raises(PreparationFailed, match="leads out"):
            absolute(url, "https://example.com/org/stacks")


def test_of_two_urls_for_one_submodule_the_last_counts():
    listing = b"160000 commit " + b"a" * 40 + b"       -\tm\0"
    configuration = (
        b"submodule.m.path\nm\0submodule.m.url\nhttps://example.com/a/b\0submodule.m.url\nhttps://example.com/c/d\0"
    )
    found = submodules(listing, configuration, "https://example.com/org/x")
    assert [each.url for each in found] == ["https://example.com/c/d"]


@pytest.mark.parametrize(
    ("url", "listed", "token", "hint"),
    [
        ("https://example.com/org/modules", True, "planted", ""),
        ("https://example.com/org/modules", False, None, "the connection does not list this repository"),
        ("https://elsewhere.example/org/modules", True, None, "on another host"),
        ("https://example.com:444/org/modules", True, None, "on another host"),
        ("http://example.com/org/modules", True, None, ""),
    ],
)
def test_a_token_goes_to_the_own_host_and_listed_repositories_only(tmp_path, url, listed, token, hint):
    used: dict[str, str | None] = {}
    module = new(tmp_path / "module", {"main.tf": ""})
    top = new(tmp_path / "top", {}, {"m": module})
    (top / ".gitmodules").write_text(f'[submodule "m"]\n\tpath = m\n\turl = {url}\n')
    git(top, "commit", "--quiet", "-am", "url")

    class Redirected(GitRepositories):
        def _environment(self, private, repository, token, ssh_key):
            used[repository] = token
            source = top if repository.endswith("/stacks") else tmp_path / "none"
            environment = super()._environment(private, f"file://{source}", None, None)
            count = int(environment["GIT_CONFIG_COUNT"])
            return environment | {
                "GIT_CONFIG_COUNT": str(count + 1),
                f"GIT_CONFIG_KEY_{count}": f"url.file://{source}.insteadOf",
                f"GIT_CONFIG_VALUE_{count}": repository,
            }

    (tmp_path / "out").mkdir()
    with pytest.raises(PreparationFailed) as failed:
        Redirected(allow_file=True).checkout(
            "https://example.com/org/stacks",
            git(top, "rev-parse", "HEAD"),
            str(tmp_path / "out"),
            token="user:planted",
            ssh_key=None,
            may_read=lambda _: listed,
        )
    assert used.pop("https://example.com/org/stacks") == "user:planted"
    assert list(used.values()) == ([token and f"user:{token}"] if url.startswith("https:") else [])
    assert hint in failed.value.message
    assert "planted" not in failed.value.message
