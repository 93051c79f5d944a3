from __future__ import annotations

import os
import zipfile

import pytest

from iac_ci_common.errors import PackageUnsafe, PreparationFailed
from iac_ci_common.left_out import LeftOut
from iac_ci_common.packing import pack, unpack


def made(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")


def test_patterns_are_those_of_gitignore_and_the_last_one_counts(tmp_path):
    made(tmp_path, "a/keep.tf", "a/drop.zip", "a/not.zip", "big/one", "big/deep/two", ".github/x", ".git/HEAD", "b")
    (tmp_path / ".iac-ci-ignore").write_text("# comment\n\n*.zip\n!not.zip\n/big/\n.git*\n")
    left = sorted(LeftOut.of(tmp_path).files(tmp_path))
    assert left == [".git/HEAD", ".iac-ci-ignore", "a/keep.tf", "a/not.zip", "b"]


def test_names_that_cannot_be_packed_can_be_left_out(tmp_path):
    made(tmp_path, "main.tf", "a\\b.tf")
    (tmp_path / os.fsdecode(b"caf\xe9.tf")).write_text("x")
    with pytest.raises(
        PackageUnsafe, match=r"contains a backslash; rename it, or leave it out with a line in \.iac-ci"
    ):
        pack(tmp_path, tmp_path.parent / "x.zip", paths=["a\\b.tf"])
    with pytest.raises(PackageUnsafe, match="not valid UTF-8"):
        pack(tmp_path, tmp_path.parent / "x.zip", paths=["caf\udce9.tf"])
    (tmp_path / ".iac-ci-ignore").write_text("caf?.tf\na*b.tf\n")
    pack(tmp_path, tmp_path.parent / "x.zip", paths=LeftOut.of(tmp_path).files(tmp_path))
    with zipfile.ZipFile(tmp_path.parent / "x.zip") as packed:
        assert packed.namelist() == [".iac-ci-ignore", "main.tf"]


@pytest.mark.parametrize("kind", ["link", "folder", "large"])
def test_an_ignore_file_that_is_none_is_refused(tmp_path, kind):
    path = tmp_path / ".iac-ci-ignore"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"a\n" * 40_000)
    with pytest.raises(PreparationFailed, match="is not a file of at most"):
        LeftOut.of(tmp_path)


def windows(path, *names, system=0):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            entry.create_system = system
            archive.writestr(entry, b"" if name.endswith("\\") else b"content")


def test_an_archive_made_on_windows_is_unpacked_into_its_folders(tmp_path):
    windows(tmp_path / "w.zip", "modules\\", "modules\\net\\main.tf", "main.tf")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "w.zip", tmp_path / "out")
    assert (tmp_path / "out" / "modules" / "net" / "main.tf").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("names", "system"),
    [(["..\\x"], 0), (["\\x"], 0), (["C:\\x"], 0), (["a\\..\\..\\x"], 0), (["a\\b"], 3), (["a/b\\c"], 0)],
)
def test_an_archive_made_on_windows_cannot_leave_the_folder(tmp_path, names, system):
    windows(tmp_path / "w.zip", *names, system=system)
    (tmp_path / "out").mkdir()
    with pytest.raises(PackageUnsafe):
        unpack(tmp_path / "w.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
