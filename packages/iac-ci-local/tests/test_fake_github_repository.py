"""The bare repository that the local code host keeps."""

from __future__ import annotations

import pytest

from iac_ci_common.errors import NotFound
from iac_ci_local.fake_hosts.repository import Change, File, HostedRepository, read_folder


@pytest.fixture
def repository(tmp_path):
    return HostedRepository.create(tmp_path / "bare.git")


def test_changes_tell_renames_new_and_gone_files(repository):
    text = b"".join(b"line %d\n" % number for number in range(20))
    base = repository.commit("main", {"old name.tf": text, "gone.tf": b"a\nb\n", "kept.tf": b"same\n"}, "base")
    head = repository.commit(
        "change",
        {"old name.tf": None, 'new "näme".tf': text + b"more\n", "gone.tf": None, "new/x.tf": b"1\n", "bin": b"\x00"},
        "change",
        start="main",
    )
    told = {change.path: change for change in repository.changes(base, head)}
    assert told.keys() == {'new "näme".tf', "gone.tf", "new/x.tf", "bin"}
    renamed = told['new "näme".tf']
    assert (renamed.status, renamed.previous_path, renamed.additions, renamed.deletions) == (
        "renamed",
        "old name.tf",
        1,
        0,
    )
    assert (told["gone.tf"].status, told["gone.tf"].deletions) == ("removed", 2)
    assert told["new/x.tf"].status == "added"
    assert told["bin"].additions == 0


def test_what_the_base_gained_meanwhile_is_no_change_of_the_pull_request(repository):
    repository.commit("main", {"a": b"1\n"}, "base")
    head = repository.commit("change", {"b": b"2\n"}, "change", start="main")
    base = repository.commit("main", {"c": b"3\n"}, "meanwhile")
    changes = repository.changes(base, head)
    assert [change.path for change in changes] == ["b"]
    assert isinstance(changes[0], Change)


def test_a_branch_goes_on_where_it_ended(repository):
    first = repository.commit("main", {"a": b"1"}, "first")
    second = repository.commit("main", {"b": File(b"#!/bin/sh\n", "100755")}, "second")
    assert repository.head("main") == second != first
    assert repository.file("a", second) == repository.file("a", first) == repository.file("a", "main")
    assert [(entry.path, entry.kind, entry.size) for entry in repository.entries("", "main")] == [
        ("a", "blob", 1),
        ("b", "blob", 10),
    ]
    assert repository.entries("nowhere", "main") == []
    with pytest.raises(NotFound):
        repository.file("b", first)


@pytest.mark.parametrize("path", ["", "folder", "nowhere", "*", ":(glob)**", "../outside"])
def test_what_is_no_file_is_not_found(repository, path):
    repository.commit("main", {"folder/a": b"1"}, "first")
    with pytest.raises(NotFound):
        repository.file(path, "main")


@pytest.mark.parametrize("ref", ["nothing", "--all", "a" * 40, "HEAD~5", ""])
def test_what_is_no_commit_is_not_found(repository, ref):
    repository.commit("main", {"a": b"1"}, "first")
    with pytest.raises(NotFound):
        repository.commit_of(ref)


def test_a_folder_is_read_with_its_modes_but_without_git(tmp_path, repository):
    folder = tmp_path / "work"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git/config").write_text("x")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("run.sh")
    files = read_folder(folder)
    assert {name: file.mode for name, file in files.items()} == {"run.sh": "100755", "link": "120000"}
    repository.commit("main", files, "from a folder")
    assert repository.file("link", "main")[0] == b"run.sh"
