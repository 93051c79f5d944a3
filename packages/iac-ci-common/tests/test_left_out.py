from __future__ import annotations

import os
import subprocess
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


@pytest.mark.parametrize("system", [0, 10, 11, 14])
def test_an_archive_made_on_windows_is_unpacked_into_its_folders(tmp_path, system):
    windows(tmp_path / "w.zip", "modules\\", "modules\\net\\main.tf", "main.tf", "a/mixed\\b.tf", system=system)
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "w.zip", tmp_path / "out")
    assert (tmp_path / "out" / "modules" / "net" / "main.tf").read_bytes() == b"content"
    assert (tmp_path / "out" / "a" / "mixed" / "b.tf").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("names", "system"),
    [(["..\\x"], 0), (["\\x"], 0), (["C:\\x"], 0), (["a\\..\\..\\x"], 0), (["a\\b"], 3), (["a/..\\..\\x"], 0)],
)
def test_an_archive_made_on_windows_cannot_leave_the_folder(tmp_path, names, system):
    windows(tmp_path / "w.zip", *names, system=system)
    (tmp_path / "out").mkdir()
    with pytest.raises(PackageUnsafe):
        unpack(tmp_path / "w.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


PATTERNS = [
    ["big/", "!big/keep.tf"],
    ["big/*", "!big/keep.tf"],
    ["big/**", "!big/deep/", "!big/deep/two.tf"],
    ["*", "!*.tf"],
    ["*", "!*/", "!*.tf"],
    ["/*", "!/live/", "/live/*", "!/live/net/"],
    ["**/cache/", "*.zip", "!live/net/a.zip"],
    ["live/net"],
    ["[a-c].tf", "?.zip", "[!b].zip"],
    ["a**.tf", "live/n*t/*.z?p", "**/app/**", "**", "!b.zip", "!live/", "!live/**"],
    ["/*.tf", "live/**/p", "/**/net/*.tf"],
    ["!*", "*.tf", "!/main.tf", "b.zip/", "\\!y/"],
    ["keep.tf\\ ", "\\#x", "\\!y", "a b"],
    ["//", "/", "***"],
]


@pytest.mark.parametrize("patterns", PATTERNS)
def test_what_is_left_out_is_what_git_ignores(tmp_path, patterns):
    paths = ["big/keep.tf", "big/other", "big/deep/two.tf", "live/net/main.tf", "live/net/a.zip", "live/app/main.tf"]
    paths += ["live/net/cache/p", "a.tf", "b.zip", "c.zip", "z[", "#x", "!y", "a b", "main.tf"]
    made(tmp_path, *paths)
    (tmp_path / ".iac-ci-ignore").write_text("\n".join(patterns))
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    listing = ["git", "-C", str(tmp_path), "ls-files", "-z", "--others", "--exclude-from=.iac-ci-ignore"]
    listed = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    kept = sorted(set(filter(None, listed.split("\0"))) - {".iac-ci-ignore"})
    left_out = LeftOut.of(tmp_path)
    assert sorted(path for path in paths if path not in left_out) == kept
    walked = {path for path in left_out.files(tmp_path) if not path.startswith(".") and (tmp_path / path).is_file()}
    assert sorted(walked) == kept


def test_an_ignore_file_of_a_windows_editor_counts(tmp_path):
    (tmp_path / ".iac-ci-ignore").write_bytes(b"\xef\xbb\xbf*.log\r\n*.zip\r\n")
    left_out = LeftOut.of(tmp_path)
    assert ("a.log" in left_out, "a.zip" in left_out, "a.tf" in left_out) == (True, True, False)
    (tmp_path / ".iac-ci-ignore").write_bytes("*.log\n".encode("utf-16"))
    with pytest.raises(PreparationFailed, match="is not UTF-8"):
        LeftOut.of(tmp_path)


@pytest.mark.parametrize("line", ["!", "a\\", "[z-a].tf", "[[:alpha:]].tf", "z["])
def test_a_line_that_is_no_pattern_is_named(tmp_path, line):
    (tmp_path / ".iac-ci-ignore").write_text(f"*.log\n{line}\n")
    with pytest.raises(PreparationFailed) as refused:
        LeftOut.of(tmp_path)
    assert repr(line) in refused.value.message
    assert "*.log" not in refused.value.message


def test_the_time_is_bounded_whatever_the_patterns_are():
    left_out = LeftOut([f"{'*a' * 100}b", f"{'**/a/' * 100}b"])
    assert "a" * 250 not in left_out
    assert "/".join("a" * 120) not in left_out
    with pytest.raises(PreparationFailed, match="more than 1000 patterns"):
        LeftOut(f"{number}" for number in range(1001))


def test_a_link_out_of_the_folder_is_named_with_what_to_do(tmp_path):
    (tmp_path / "site").symlink_to("/var/www")
    with pytest.raises(PackageUnsafe, match=r"'site' links to '/var/www', outside .* a line in \.iac-ci-ignore"):
        pack(tmp_path, tmp_path.parent / "x.zip")
    (tmp_path / ".iac-ci-ignore").write_text("site\n")
    pack(tmp_path, tmp_path.parent / "x.zip", paths=LeftOut.of(tmp_path).files(tmp_path))


def test_what_an_archive_leaves_out_is_not_unpacked(tmp_path):
    names = ("./", "./main.tf", "bad\\name", "big/x", ".iac-ci-ignore")
    windows(tmp_path / "a.zip", *names, system=3)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo("x")
            entry.filename = name
            archive.writestr(entry, "bad*\nbig/\n" if name == ".iac-ci-ignore" else "")
    (tmp_path / "out").mkdir()
    with pytest.raises(PackageUnsafe, match="contains a backslash"):
        unpack(tmp_path / "a.zip", tmp_path / "out", use_ignore_file=True)
    with pytest.raises(PackageUnsafe, match="contains a backslash"):
        unpack(tmp_path / "b.zip", tmp_path / "out")
    unpack(tmp_path / "b.zip", tmp_path / "out", use_ignore_file=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".iac-ci-ignore", "main.tf"]


@pytest.mark.parametrize(("system", "attributes"), [(3, 0o040755 << 16), (0, 0x10), (11, 0x10)])
def test_a_folder_is_one_without_a_slash_too(tmp_path, system, attributes):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, kind in (("modules", attributes), ("modules/main.tf", 0)):
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.create_system, entry.external_attr = name, system, kind
            archive.writestr(entry, "")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out/modules/main.tf").is_file()
