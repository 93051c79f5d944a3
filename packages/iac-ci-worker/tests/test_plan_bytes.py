"""A saved plan's workspace and mode are read from its bytes, and nothing that only looks like a plan has them."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import pytest

from iac_ci_worker import plan_bytes
from iac_ci_worker.plan_bytes import is_below, plan_head

sys.path.insert(0, str(Path(__file__).parent))
from made_plans import archive, backend, field, message, mode

GOOD = archive(message(backend("default")))


@pytest.fixture
def read(tmp_path):
    def _read(data):
        path = tmp_path / "p.bin"
        path.write_bytes(data)
        return plan_head(path)

    return _read


@pytest.mark.parametrize("name", ["default", "prod-eu", "ä", "w" * 90])
def test_the_workspace_is_that_of_the_backend(read, name):
    assert read(archive(message(backend(name)), names=("tfstate", "tfconfig/m-/main.tf"))).workspace == name


@pytest.mark.parametrize(
    ("modes", "destroys"),
    [
        ((), False),
        ((mode(0),), False),
        ((mode(1),), True),
        ((mode(2),), False),
        # Terraform reads numbers of 32 bits, and a field of another type is none.
        ((mode((1 << 32) + 1),), True),
        ((field(17, b"\x01"),), False),
    ],
)
def test_a_plan_to_destroy_says_so(read, modes, destroys):
    assert read(archive(message(backend("default"), *modes))).destroys is destroys
    assert read(archive(message(*modes, backend("default")))).destroys is destroys


NOT = "the file is not a saved plan"
NO_BACKEND = "the plan does not say its backend"
NO_WORKSPACE = "the plan does not say its workspace"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", NOT),
        (b"PK", NOT),
        (b"x" * 1000, NOT),
        (GOOD[:-30], NOT),
        (b"#!/bin/sh\n" + GOOD, NOT),
        (GOOD + b"\0", NOT),
        (GOOD + GOOD, NOT),
        (archive(message(backend("default")), comment=b"other"), NOT),
        (archive(message(backend("default")), name="tfplan2"), NOT),
        (archive(b""), NO_BACKEND),
        (archive(message()), NO_BACKEND),
        (archive(message(backend("default"), backend("prod"))), NO_BACKEND),
        (archive(message(backend())), NO_WORKSPACE),
        (archive(message(backend(""))), NO_WORKSPACE),
        (archive(message(backend("default", "prod"))), NO_WORKSPACE),
        (archive(message(field(13, b"\xff"))), NOT),
        (archive(message(backend("default"), mode(1), mode(0))), NOT),
        (archive(message(backend("default")) + b"\x0b"), NOT),
        (archive(message(backend("default")) + b"\x12\x7f"), NOT),
        (archive(b"\xff" * 20), NOT),
        (b'{"format_version":"1.2"}', NOT),
        (b' {"remote_plan_format":1,"run_id":"run-1","hostname":"app.terraform.io"}', "kept by HCP Terraform"),
        (b'{"meta":{},"encrypted_data":"x","encryption_version":"v0"}', "the plan is encrypted"),
    ],
)
def test_anything_else_is_refused_in_plain_words(read, data, words):
    with pytest.raises(ValueError, match=words):
        read(data)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("p.bin", True),
        ("a/p.bin", True),
        ("", False),
        (".", False),
        ("/etc/passwd", False),
        ("../p", False),
        ("a/..", False),
    ],
)
def test_a_plans_file_is_below_the_folder(name, is_one):
    assert is_below(name) == is_one


def test_two_members_of_one_name_are_refused(read):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("tfplan", message(backend("default")))
        with pytest.warns(UserWarning, match="Duplicate"):
            zipped.writestr("tfplan", message(backend("prod")))
    with pytest.raises(ValueError, match=NOT):
        read(packed.getvalue())


def test_a_plan_that_unpacks_to_too_much_is_refused(read, monkeypatch):
    monkeypatch.setattr(plan_bytes, "_MOST_PLAN_BYTES", 1_000_000)
    with pytest.raises(ValueError, match=NOT):
        read(archive(field(3, b"\0" * 2_000_000) + backend("default")))


def test_a_plan_of_too_many_fields_is_refused(read, monkeypatch):
    monkeypatch.setattr(plan_bytes, "_MOST_FIELDS", 1_000)
    with pytest.raises(ValueError, match=NOT):
        read(archive(field(1, b"\0", kind=0) * 2_000 + backend("default")))


def test_a_directory_that_is_too_long_is_not_read(read, monkeypatch):
    monkeypatch.setattr(plan_bytes, "_MOST_DIRECTORY_BYTES", 1_000)
    with pytest.raises(ValueError, match=NOT):
        read(archive(message(backend("default")), names=[f"tfconfig/{index}.tf" for index in range(100)]))
