"""A repository of many projects, for measurements: roots of an environment each, modules, and states that are read."""

from __future__ import annotations

PROJECTS = 300
MODULES = 40

CONFIGURATION = b'version: 1\nprojects:\n  - find: "live/**/backend.tf"\n'


def files() -> dict[str, bytes]:
    """Return about 1,300 files with 0.9 MB: 300 projects, and 40 modules of which each third calls another."""
    found: dict[str, bytes] = {}
    for number in range(MODULES):
        calls = f'module "inner" {{\n  source = "../m{number - 1:02}"\n}}\n\n' if number % 3 == 1 else ""
        found[f"modules/m{number:02}/main.tf"] = (calls + _resources(number)).encode()
        found[f"modules/m{number:02}/variables.tf"] = _variables().encode()
        found[f"modules/m{number:02}/outputs.tf"] = _outputs().encode()
    for number in range(PROJECTS):
        folder = folder_of(number)
        found[f"{folder}/backend.tf"] = (
            f'terraform {{\n  backend "s3" {{\n    bucket = "states"\n    key    = "{folder}"\n  }}\n}}\n'.encode()
        )
        found[f"{folder}/main.tf"] = (_call(number) + _read(number) + _resources(number)).encode()
        found[f"{folder}/variables.tf"] = _variables().encode()
        found[f"{folder}/outputs.tf"] = _outputs().encode()
    return found


def folder_of(number: int) -> str:
    """Return the folder of a project."""
    return f"live/{('dev', 'stage', 'prod')[number % 3]}/p{number:03}"


def _call(number: int) -> str:
    return f'module "part" {{\n  source = "../../../modules/m{number % MODULES:02}"\n  size   = var.size\n}}\n\n'


def _read(number: int) -> str:
    if number % 5 or number < 3:
        return ""
    key = folder_of(number - 3)
    return (
        f'data "terraform_remote_state" "before" {{\n  backend = "s3"\n  config = {{\n    bucket = "states"\n'
        f'    key    = "{key}"\n  }}\n}}\n\n'
    )


def _resources(number: int) -> str:
    return "".join(
        f'resource "aws_s3_bucket" "b{part}" {{\n  bucket = "${{var.name}}-{number}-{part}"\n'
        f'  tags   = {{ team = "platform", part = var.size > {part} ? "large" : "small" }}\n}}\n\n'
        for part in range(10)
    )


def _variables() -> str:
    names = ("name", "size", "owner", "region")
    return "".join(f'variable "{name}" {{\n  description = "The {name}."\n  type = string\n}}\n\n' for name in names)


def _outputs() -> str:
    return "".join(f'output "o{part}" {{\n  value = aws_s3_bucket.b{part}.arn\n}}\n\n' for part in range(6))


__all__ = ["CONFIGURATION", "MODULES", "PROJECTS", "files", "folder_of"]
