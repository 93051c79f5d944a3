"""pipelines/sbom.py: the bill of materials says what was found in the image, the same for the same image."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    """Load the script, which is in no package."""
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "pipelines/sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sbom = load()
DIGEST = "a" * 64
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/acme@sha256:{DIGEST}"
FOUND = {
    "python": [["boto3", "1.43.0"], ["Typing_Extensions", "4.0"]],
    "debian": [["git", "1:2.39.5-0+deb12u2", "amd64"], ["libc6", "2.36", "amd64"]],
    "terraform": ["terraform", "1.11.4", "b" * 64],
    "providers": [["registry.terraform.io/hashicorp/aws", "5.100.0"]],
}


def bill(root: Path) -> dict[str, Any]:
    made = sbom.bill(FOUND, IMAGE, "c" * 40, datetime(2026, 1, 1, tzinfo=UTC), root)
    text = make_outputter(made, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found: dict[str, Any] = json.loads(text)
    return found


def test_every_part_has_an_address_and_its_version(tmp_path: Path) -> None:
    found = bill(tmp_path)
    assert {part["purl"] for part in found["components"]} == {
        "pkg:pypi/boto3@1.43.0",
        "pkg:pypi/typing-extensions@4.0",
        "pkg:deb/debian/git@1:2.39.5-0%2Bdeb12u2?arch=amd64",
        "pkg:deb/debian/libc6@2.36?arch=amd64",
        "pkg:generic/terraform@1.11.4",
        "pkg:generic/registry.terraform.io/hashicorp/terraform-provider-aws@5.100.0",
    }
    (terraform,) = [part for part in found["components"] if part["name"] == "terraform"]
    assert terraform["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert found["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": DIGEST}]
    assert found == bill(tmp_path)


def test_pinned_base_images_are_parts(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    pin = {"name": "docker.io/library/python:3.11.14-slim-bookworm", "digest": f"sha256:{'d' * 64}"}
    (tmp_path / "pipelines/pins.json").write_text(json.dumps({"images": {"PYTHON_IMAGE": pin}}))
    (image,) = [part for part in bill(tmp_path)["components"] if part["type"] == "container"]
    assert (image["name"], image["version"]) == ("docker.io/library/python", "3.11.14-slim-bookworm")
    assert image["hashes"] == [{"alg": "SHA-256", "content": "d" * 64}]


def test_an_image_that_cannot_be_asked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'no such image' >&2\nexit 125\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sbom.main([IMAGE, IMAGE, "c" * 40, "0"]) == 1
    assert "no such image" in capsys.readouterr().err
