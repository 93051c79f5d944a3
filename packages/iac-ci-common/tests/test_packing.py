from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from iac_ci_common import packing
from iac_ci_common.errors import PackageUnsafe
from iac_ci_common.packing import pack, unpack


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "bin" / "run.sh").write_text("#!/bin/sh\n")
    (root / "bin" / "run.sh").chmod(0o755)
    (root / "file").write_text("content")
    (root / "link").symlink_to("bin/run.sh")
    return root


def unpacked(tmp_path: Path, archive: Path) -> Path:
    target = tmp_path / "unpacked"
    target.mkdir()
    unpack(archive, target)
    return target


def test_a_tree_comes_back_with_bits_and_links(tree, tmp_path):
    pack(tree, tmp_path / "a.zip")
    back = unpacked(tmp_path, tmp_path / "a.zip")
    assert (back / "file").read_text() == "content"
    assert os.access(back / "bin" / "run.sh", os.X_OK)
    assert str((back / "link").readlink()) == "bin/run.sh"
    assert (back / "empty").is_dir()


def test_the_same_tree_gives_the_same_bytes_whatever_its_times(tree, tmp_path):
    pack(tree, tmp_path / "a.zip")
    os.utime(tree / "file", (0, 0))
    pack(tree, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o600


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "bin/../../outside", "bin/run.sh/../../../x"])
def test_a_link_that_leaves_the_tree_is_refused(tree, tmp_path, target):
    (tree / "bad").symlink_to(target)
    with pytest.raises(PackageUnsafe, match="bad"):
        pack(tree, tmp_path / "a.zip")


def test_a_pipe_is_refused(tree, tmp_path):
    os.mkfifo(tree / "pipe")
    with pytest.raises(PackageUnsafe, match="pipe"):
        pack(tree, tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\b", "C:/x", "a/./../../x"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(PackageUnsafe):
        unpacked(tmp_path, tmp_path / "bad.zip")
    assert not (tmp_path / "x").exists()


def link_entry(name: str, target: str) -> tuple[zipfile.ZipInfo, str]:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry, target


def test_nothing_is_written_through_a_link(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr(*link_entry("a", "."))
        zipped.writestr("a/file", b"x")
    with pytest.raises(PackageUnsafe, match="behind a link"):
        unpacked(tmp_path, tmp_path / "bad.zip")


def test_an_archives_link_out_of_the_folder_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr(*link_entry("a", "../../etc"))
    with pytest.raises(PackageUnsafe, match="outside"):
        unpacked(tmp_path, tmp_path / "bad.zip")


def test_a_bomb_is_noticed_by_what_it_unpacks_to(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "MAX_TREE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("zeros", b"\0" * 5_000_000)
    with pytest.raises(PackageUnsafe, match="more than 1000"):
        unpacked(tmp_path, tmp_path / "bomb.zip")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 broken"])
def test_what_is_no_zip_is_refused(tmp_path, content):
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(PackageUnsafe, match="zip"):
        unpacked(tmp_path, tmp_path / "bad.zip")
