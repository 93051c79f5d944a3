from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from iac_ci_common import packing
from iac_ci_common.errors import PackageUnsafe, PreparationFailed
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
    with pytest.raises(PackageUnsafe, match="below a symbolic link"):
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


CHAIN = {"b": ".", "a": "b/.."}
"""Each link reads as harmless; the kernel follows ``b`` first, and ``a`` ends above the folder."""


UNIX, WINDOWS = 3, 0


def archive_named(path: Path, name: bytes, system: int) -> Path:
    """Write an archive of one file whose name has no flag for UTF-8, as Info-ZIP does."""
    entry = zipfile.ZipInfo("-" * len(name))
    entry.create_system = system
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "content")
    path.write_bytes(path.read_bytes().replace(b"-" * len(name), name))
    return path


@pytest.mark.parametrize(
    ("name", "system", "unpacked_as"),
    [
        ("größe.tf".encode(), UNIX, "größe.tf"),
        ("größe.tf".encode(), WINDOWS, "größe.tf"),
        ("größe.tf".encode("cp437"), WINDOWS, "größe.tf"),
    ],
)
def test_a_name_that_is_not_marked_as_utf8_is_the_one_that_was_packed(tmp_path, name, system, unpacked_as):
    back = unpacked(tmp_path, archive_named(tmp_path / "a.zip", name, system))
    assert [path.name for path in back.iterdir()] == [unpacked_as]


def test_a_name_in_another_character_set_is_refused_and_not_changed(tmp_path):
    with pytest.raises(PackageUnsafe, match="not valid UTF-8"):
        unpacked(tmp_path, archive_named(tmp_path / "a.zip", "größe.tf".encode("latin-1"), UNIX))


def test_links_that_leave_an_archive_together_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        for name, target in CHAIN.items():
            zipped.writestr(*link_entry(name, target))
    with pytest.raises(PackageUnsafe, match="outside"):
        unpacked(tmp_path, tmp_path / "bad.zip")


def test_links_that_leave_a_tree_together_are_refused(tree, tmp_path):
    for name, target in CHAIN.items():
        (tree / name).symlink_to(target)
    with pytest.raises(PackageUnsafe, match="outside"):
        pack(tree, tmp_path / "a.zip")


def test_links_to_nothing_and_in_circles_stay_inside_and_are_kept(tree, tmp_path):
    for name, target in {"nothing": "gone/away", "one": "two", "two": "one"}.items():
        (tree / name).symlink_to(target)
    pack(tree, tmp_path / "a.zip")
    back = unpacked(tmp_path, tmp_path / "a.zip")
    assert str((back / "nothing").readlink()) == "gone/away"
    assert str((back / "one").readlink()) == "two"


@pytest.mark.parametrize("name", [b"\xff", b"a\\b", b"C:x"])
def test_a_tree_with_a_name_that_cannot_be_unpacked_is_refused(tree, tmp_path, name):
    Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).touch()
    with pytest.raises(PackageUnsafe):
        pack(tree, tmp_path / "a.zip")


def test_a_file_behind_a_link_is_not_packed_under_its_name(tree, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    (tree / "door").symlink_to(tmp_path / "outside")
    with pytest.raises(PackageUnsafe, match="below a symbolic link"):
        pack(tree, tmp_path / "a.zip", paths=["door/secret"])


def test_a_bomb_in_a_link_is_not_read_whole(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(*link_entry("a", "x" * 5_000_000))
    with pytest.raises(PackageUnsafe, match="of more than 4096"):
        unpacked(tmp_path, tmp_path / "bomb.zip")


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"], ["x" * 300], ["a", "./a"], ["a", "a"]])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_no_disk_can_hold_together_are_refused(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        for name in names:
            zipped.writestr(name, b"x")
    with pytest.raises(PackageUnsafe):
        unpacked(tmp_path, tmp_path / "bad.zip")


def test_archives_one_after_another_are_refused_and_not_unpacked_in_part(tree, tmp_path):
    archive, both, out = tmp_path / "a.zip", tmp_path / "both.zip", tmp_path / "out"
    pack(tree, archive)
    both.write_bytes(archive.read_bytes() * 2)
    out.mkdir()
    with pytest.raises(PackageUnsafe, match="other bytes before its first file"):
        unpack(both, out)
    assert list(out.iterdir()) == []


def test_damaged_content_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("x", b"hello" * 1000)
    damaged = bytearray((tmp_path / "bad.zip").read_bytes())
    damaged[33:43] = b"\xff" * 10
    (tmp_path / "bad.zip").write_bytes(damaged)
    with pytest.raises(PackageUnsafe, match="zip"):
        unpacked(tmp_path, tmp_path / "bad.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_usual_compressions_are_unpacked(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", method) as zipped:
        zipped.writestr("x", b"x")
    with pytest.raises(PackageUnsafe, match="another method"):
        unpacked(tmp_path, tmp_path / "bad.zip")


def test_bits_beyond_execution_are_not_kept(tmp_path):
    entry = zipfile.ZipInfo("run")
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o6777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr(entry, b"x")
    mode = (unpacked(tmp_path, tmp_path / "a.zip") / "run").stat().st_mode
    assert mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH | stat.S_IWGRP) == 0
    assert mode & stat.S_IXUSR


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_entries_of_other_kinds_are_refused(tmp_path, kind):
    entry = zipfile.ZipInfo("node")
    entry.create_system = 3
    entry.external_attr = (kind | 0o666) << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr(entry, b"x")
    with pytest.raises(PackageUnsafe, match="not a file"):
        unpacked(tmp_path, tmp_path / "bad.zip")


def test_folders_too_deep_to_walk_are_refused(tree, tmp_path):
    deep = tree.joinpath(*["d"] * 249)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    pack(tree, tmp_path / "a.zip")
    assert unpacked(tmp_path, tmp_path / "a.zip").joinpath(*["d"] * 249, "file").exists()
    (deep / "d").mkdir()
    (deep / "d" / "file").touch()
    with pytest.raises(PackageUnsafe, match="is in more than 249 folders inside one another"):
        pack(tree, tmp_path / "b.zip")
    (deep / "d" / "d").mkdir()
    with pytest.raises(PreparationFailed, match="is in more than 249 folders inside one another"):
        pack(tree, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as zipped:
        zipped.writestr("d/" * 250 + "file", b"")
    with pytest.raises(PackageUnsafe, match="is in more than 249 folders inside one another"):
        unpack(tmp_path / "c.zip", tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_folder_may_be_in_an_archive_twice_and_nothing_else(tmp_path):
    """Archivers that join several folders, as Gradle's task Zip does, list a folder for each of them."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("modules/", "modules/a.tf", "modules/", "./modules/", "modules/b.tf"):
            archive.writestr(name, "")
    modules = unpacked(tmp_path, tmp_path / "a.zip") / "modules"
    assert sorted(path.name for path in modules.iterdir()) == ["a.tf", "b.tf"]


@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a/", "a"), ("a", "a/")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "")
    with pytest.raises(PackageUnsafe, match="twice"):
        unpacked(tmp_path, tmp_path / "a.zip")


def test_an_entry_with_a_password_is_named(tmp_path):
    """Python writes no such archive; the flag of the entry, here in the archive's list, is what counts."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("main.tf", "x")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(PackageUnsafe, match=r"^'main\.tf' is encrypted; pack it without a password$"):
        unpacked(tmp_path, path)
