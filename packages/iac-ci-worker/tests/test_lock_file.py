"""A lock file may gain hashes of the same providers, and nothing else."""

from __future__ import annotations

import pytest

from iac_ci_worker.lock_file import changed_providers

AWS = "registry.terraform.io/hashicorp/aws"
HEAD = '# This file is maintained automatically by "terraform init".\n# Manual edits may be lost in future updates.\n'


def provider(name=AWS, version="6.25.0", hashes=("h1:a=", "zh:b"), constraints="~> 6.0"):
    lines = "".join(f'    "{one}",\n' for one in hashes)
    return (
        f'\nprovider "{name}" {{\n  version     = "{version}"\n  constraints = "{constraints}"\n'
        f"  hashes = [\n{lines}  ]\n}}\n"
    )


LOCK = HEAD + provider()


@pytest.mark.parametrize(
    "used",
    [
        LOCK,
        HEAD + provider(hashes=("h1:a=", "h1:c//d=", "zh:b")),
        provider(constraints=">= 6.0"),
        provider().replace("\n    ", " ").replace("\n  ]", " ]").replace('",  ]', '" ]'),
        LOCK.replace("\n", "\r\n"),
        LOCK + "// the end\n",
    ],
)
def test_added_hashes_and_other_forms_change_nothing(used):
    assert changed_providers(LOCK.encode(), used.encode()) is None


@pytest.mark.parametrize(
    ("used", "words"),
    [
        (None, "removed the lock file"),
        ("", "is missing from the lock file"),
        (HEAD, "is missing from the lock file"),
        (HEAD + provider(version="6.26.0"), "has the version 6.26.0, and 6.25.0 in the committed"),
        (HEAD + provider(hashes=("h1:c=", "zh:b")), "has other hashes"),
        (HEAD + provider(hashes=()), "has other hashes"),
        (LOCK + provider("registry.terraform.io/evil/aws"), "registry.terraform.io/evil/aws is not in the committed"),
        (HEAD + provider("registry.terraform.io/evil/aws"), "registry.terraform.io/evil/aws is not in the committed"),
        (LOCK + provider(), "is not the committed one"),
        (LOCK + provider(version="1"), "is not the committed one"),
        (LOCK.replace("6.25.0", '6.25.0"\n  version = "1.0.0'), "is not the committed one"),
        (LOCK.replace("version  ", "  hashes = []\n version"), "is not the committed one"),
        (LOCK + 'other "x" {}\n', "is not the committed one"),
        (LOCK.rstrip("}\n"), "is not the committed one"),
        (LOCK.replace('"6.25.0"', '"6.25${1}0"'), "is not the committed one"),
        (LOCK.replace('"h1:a=",', '"h1:a=", evil(),'), "is not the committed one"),
        (LOCK.replace("hashes", "hashes2"), "is not the committed one"),
        ("\0\xff", "is not the committed one"),
    ],
)
def test_everything_else_is_a_change(used, words):
    found = changed_providers(LOCK.encode(), used.encode() if used is not None else None)
    assert found is not None
    assert words in found


def test_a_committed_file_in_another_form_allows_no_other_bytes():
    committed = b'locals {}\nprovider "x" { version = var.version }\n'
    assert changed_providers(committed, committed) is None
    assert changed_providers(committed, committed + b"\n") == "the lock file is not the committed one"


@pytest.mark.parametrize(
    "shape", ['provider "' + "a" * 400_000, "hashes = [" * 40_000, '"a",' * 100_000, "{" * 400_000]
)
def test_a_long_file_is_read_in_time_that_grows_with_its_length(shape):
    assert changed_providers(LOCK.encode(), shape.encode()) is not None
    changed_providers(LOCK.encode(), LOCK.replace('"zh:b",', f'"zh:b", {shape}').encode())
