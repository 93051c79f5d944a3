"""Files that stand for content that is kept elsewhere are known in every form that their tools accept."""

from __future__ import annotations

import pytest

from iac_ci_common.content_pointers import (
    MAX_POINTER_BYTES,
    LfsPointer,
    is_annex_link,
    is_annex_pointer,
    lfs_pointer,
)

OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
USUAL = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n"


@pytest.mark.parametrize(
    "text",
    [
        USUAL,
        USUAL.removesuffix("\n"),
        USUAL.replace("\n", "\r\n"),
        f"\n  {USUAL}\n\n",
        USUAL.replace("git-lfs.github.com", "hawser.github.com"),
        USUAL.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2"),
        USUAL.replace("oid", f"ext-0-foo sha256:{'b' * 64}\noid"),
        USUAL.replace(OID, OID.upper()),
    ],
)
def test_a_pointer_of_git_lfs_is_known_in_every_form(text):
    assert lfs_pointer(text.encode()) == LfsPointer(OID, 12345)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version",
        USUAL.replace("spec/v1", "spec/v2"),
        USUAL.replace("sha256", "sha1"),
        USUAL.replace("size 12345", "size -1"),
        USUAL + "more\n",
        "# an example:\n" + USUAL,
        USUAL.replace("size", f"{'x' * MAX_POINTER_BYTES}\nsize"),
    ],
)
def test_other_files_are_none(text):
    assert lfs_pointer(text.encode()) is None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"/annex/objects/SHA256E-s1048576--0f3c.zip\n", True),
        (b"/annex/objects/WORM-s3-m1289672605--file name", True),
        (b"/annex/objects/URL--http&c%%example.com%file", True),
        (b"/annex/objects/\n", False),
        (b"see /annex/objects/SHA256E-s1--a\n", False),
        (b"/annex/objects/SHA256E-s1--a\nmore\n", False),
    ],
)
def test_a_pointer_of_git_annex_is_known(content, found):
    assert is_annex_pointer(content) is found


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (".git/annex/objects/aa/bb/SHA256E-s1--a/SHA256E-s1--a", True),
        ("../../.git/annex/objects/aa/bb/SHA256E-s1--a/SHA256E-s1--a", True),
        ("annex/objects/a", False),
        ("x.git/annex/objects/a", False),
    ],
)
def test_a_link_to_content_of_git_annex_is_known(target, found):
    assert is_annex_link(target) is found
