"""What can be said of the image without building it."""

from __future__ import annotations

import json
import re
import tomllib

from image.engine import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def test_every_base_image_is_an_argument_and_its_default_is_pinned_to_a_version() -> None:
    defaults = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", DOCKERFILE, re.MULTILINE))
    assert set(defaults) == {"PYTHON_IMAGE", "UV_IMAGE", "TERRAFORM_IMAGE"}
    for name, image in defaults.items():
        assert re.fullmatch(r"[a-z0-9./-]+:\d+\.\d+\.\d+(-[a-z-]+)?(@sha256:[0-9a-f]{64})?", image), f"{name}={image}"
    stages = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)
    for base in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        assert base in {"scratch", *stages, *(f"${{{name}}}" for name in defaults)}


def test_third_party_packages_depend_on_the_lock_alone() -> None:
    """So that a change of our own code leaves their layer, most of what a deployment would have to fetch, as it is."""
    dependencies = DOCKERFILE.split("AS dependencies\n")[1].split("\nFROM ")[0]
    copied = re.findall(r"^COPY (?!--from)(.*)$", dependencies, re.MULTILINE)
    assert copied == ["pyproject.toml uv.lock ./"]
    assert "uv sync --quiet --frozen --only-group image --no-install-workspace" in dependencies


def test_the_image_holds_the_package_of_every_command_that_is_deployed() -> None:
    stack = ROOT / "terraform/deploy/stack"
    functions = json.loads((stack / "functions.json").read_text("utf-8"))["functions"]
    deployed = {entry["image_command"][0].split(".")[0].replace("_", "-") for entry in functions.values()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    held = {name for name in project["dependency-groups"]["image"] if name.startswith("iac-ci-")}
    assert held == deployed
    builds = json.loads((stack / "builds.json").read_text("utf-8"))["projects"]
    scripts: dict[str, str] = {}
    for name in held:
        scripts |= tomllib.loads((ROOT / f"packages/{name}/pyproject.toml").read_text("utf-8"))["project"].get(
            "scripts", {}
        )
    commands = [command for entry in builds.values() for command in entry["buildspec"]["phases"]["build"]["commands"]]
    assert {command.split()[0] for command in commands} <= set(scripts)
