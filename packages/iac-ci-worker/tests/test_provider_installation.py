"""Where providers come from, where the image has some."""

from __future__ import annotations

import json

import pytest

from iac_ci_worker.baked_providers import Source, locked_providers, sources
from iac_ci_worker.provider_installation import installation, write_provider_installation

AWS = "registry.terraform.io/hashicorp/aws"
NULL = "registry.terraform.io/hashicorp/null"
BAKED = {AWS: {"5.100.0": "h1:aws=", "6.1.0": "h1:six="}, NULL: {"3.2.0": "h1:null="}}


def lock(*providers):
    return "".join(
        f'provider "{address}" {{\n  version     = "{version}"\n  constraints = ">= 1.0"\n  hashes = [\n'
        + "".join(f'    "{each}",\n' for each in hashes)
        + "  ]\n}\n"
        for address, version, *hashes in providers
    )


@pytest.mark.parametrize(
    ("locks", "aws"),
    [
        ({"": lock((AWS, "5.100.0", "h1:mac=", "h1:aws=", "zh:00"))}, Source.IMAGE),
        ({"": lock((AWS.upper(), "5.100.0", "h1:aws="))}, Source.IMAGE),
        ({"a": lock((AWS, "5.100.0", "h1:aws=")), "b/c": lock((AWS, "6.1.0", "h1:six="))}, Source.IMAGE),
        # A folder of the code may have no lock file, and need another version.
        ({"": lock((NULL, "3.2.0", "h1:null="))}, Source.BOTH),
        ({}, Source.BOTH),
        ({"": lock((AWS, "5.99.0", "h1:other="))}, Source.BOTH),
        ({"a": lock((AWS, "5.100.0", "h1:aws=")), "b": lock((AWS, "4.0.0"))}, Source.BOTH),
        ({"": lock((AWS, "5.100.0", "zh:00", "h1:mac="))}, Source.ELSEWHERE),
        ({"": lock((AWS, "5.100.0", "h1:six="))}, Source.ELSEWHERE),
        ({"a": lock((AWS, "5.100.0", "h1:aws=")), "b": lock((AWS, "5.100.0"))}, Source.ELSEWHERE),
        ({"": 'provider "registry.terraform.io/hashicorp/aws" {'}, Source.BOTH),
        ({"": lock((AWS, "5.100.0", "h1:aws=")).replace("\n", "\r\n")}, Source.IMAGE),
    ],
)
def test_the_lock_files_of_the_code_decide(tmp_path, locks, aws):
    for folder, text in locks.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / ".terraform.lock.hcl").write_text(text, newline="")
    assert sources(BAKED, tmp_path)[AWS] is aws


def test_links_and_large_files_are_no_lock_files(tmp_path):
    (tmp_path / "secret").write_text(lock((AWS, "5.100.0")))
    (tmp_path / ".terraform.lock.hcl").symlink_to("secret")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".terraform.lock.hcl").write_text(lock((AWS, "5.100.0")) + "#" * 1024 * 1024)
    assert sources(BAKED, tmp_path)[AWS] is Source.BOTH


def test_a_hostile_lock_file_holds_nothing_up():
    text = ('provider "' + "a" * 200 + "\n") * 4000 + '"h1:' * 100_000
    assert locked_providers(text) == {}


def test_what_the_image_has_is_asked_of_nobody_else(tmp_path):
    chosen = {AWS: Source.IMAGE, NULL: Source.ELSEWHERE, "example.com/a/b": Source.BOTH}
    assert installation("", chosen, tmp_path) == (
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{tmp_path}"\n    exclude = ["{NULL}"]\n  }}\n'
        f'  direct {{\n    exclude = ["{AWS}"]\n  }}\n}}\n'
    )
    assert f'  network_mirror {{\n    url = "https://m/"\n    exclude = ["{AWS}"]\n' in installation(
        "https://m/", chosen, tmp_path
    )
    assert "filesystem_mirror" not in installation("https://m/", {}, tmp_path)


@pytest.mark.parametrize(
    ("mirror", "locked", "index", "written"),
    [
        ("", "5.100.0", True, False),
        ("", "5.0.0", True, True),
        ("", "5.0.0", False, False),
        ("https://m/", "5.100.0", True, True),
        ("https://m/", "5.0.0", False, True),
    ],
)
def test_nothing_is_written_where_terraforms_own_rules_do(tmp_path, mirror, locked, index, written):
    for folder in ("home", "code"):
        (tmp_path / folder).mkdir()
    text = lock((AWS, locked, "h1:aws="), (NULL, "3.2.0", "h1:null="))
    (tmp_path / "code/.terraform.lock.hcl").write_text(text)
    if index:
        (tmp_path / "index").write_text(json.dumps({"schema_version": 1, "providers": BAKED}))
    write_provider_installation(tmp_path / "home", mirror, tmp_path / "code", index=tmp_path / "index")
    assert (tmp_path / "home/.terraformrc").exists() is written


def test_providers_of_the_code_are_found_as_without_the_images(tmp_path):
    (tmp_path / "index").write_text(json.dumps({"schema_version": 1, "providers": BAKED}))
    (tmp_path / "code/live/terraform.d/plugins").mkdir(parents=True)
    write_provider_installation(tmp_path, "", tmp_path / "code", index=tmp_path / "index")
    assert not (tmp_path / ".terraformrc").exists()
    write_provider_installation(tmp_path, "https://m/", tmp_path / "code", index=tmp_path / "index")
    assert "network_mirror" in (tmp_path / ".terraformrc").read_text()
