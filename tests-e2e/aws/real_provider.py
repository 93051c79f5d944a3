"""Finds the real provider hashicorp/aws on this machine or in its registry, and changes a copy of the stages for it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from offline import program, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

MIRROR_VARIABLE: Final = "IAC_CI_PROVIDER_MIRROR"
"""The environment variable with a folder that Terraform may use as a mirror of providers."""

_PLACE: Final = "registry.terraform.io/hashicorp/aws"
_WITH_FILTER: Final = (6, 8)
"""The first version that can leave single tags out of a repository's immutability."""

_NEWEST: Final = "6.25.0"


@dataclass(frozen=True, slots=True)
class Provider:
    """A version, and the mirror that has it; None for the registry."""

    version: str
    mirror: Path | None

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the version as numbers."""
        return tuple(map(int, self.version.split(".")))

    def write_configuration(self, path: Path) -> str:
        """Write a CLI configuration that uses the mirror; return what ``TF_CLI_CONFIG_FILE`` must name."""
        if self.mirror is None:
            return ""
        block = f"filesystem_mirror {{\n    path = {json.dumps(str(self.mirror))}\n  }}"
        path.write_text(f"provider_installation {{\n  {block}\n}}\n", "utf-8")
        return str(path)


def find() -> Provider | None:
    """Return the newest real provider that this machine has, else the registry's if it answers, else None."""
    platform = program.version()["platform"]
    found = [
        Provider(folder.name, mirror)
        for mirror in _mirrors()
        for folder in (mirror / _PLACE).glob("*.*.*")
        # The stand-in is a script of a few hundred bytes.
        if any(file.stat().st_size > 10**7 for file in (folder / platform).glob("terraform-provider-aws_v*"))
    ]
    if found:
        return max(found, key=lambda provider: provider.numbers)
    return Provider(_NEWEST, None) if registry.answers(platform, _NEWEST) else None


def _mirrors() -> Iterator[Path]:
    if named := os.environ.get(MIRROR_VARIABLE):
        yield Path(named)
    yield Path.home() / ".terraform.d/plugins"
    for shared in ("/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"):
        yield Path(shared)
    yield from sorted(Path("/opt").glob("*/"))


def change(terraform: Path, provider: Provider) -> list[str]:
    """Change a copy of the stages for this provider and the local AWS; return what was changed, in words."""
    changed = []
    if provider.numbers < _WITH_FILTER:
        for path in sorted(terraform.glob("*/versions.tf")):
            _replace(path, r'"~> 6\.8"', f'"{provider.version}"')
        changed.append(f"the version constraint: {provider.version} instead of ~> 6.8")
        _replace(terraform / "ecr/repository.tf", "IMMUTABLE_WITH_EXCLUSION", "IMMUTABLE")
        _replace(
            terraform / "ecr/repository.tf",
            r"(?:\n  # [^\n]*\n  image_tag_mutability_exclusion_filter \{.*?\n  \}\n)+",
            "\n",
        )
        changed.append("the exclusion filters of the repository, which need 6.8")
    # The local AWS speaks HTTP, and holds its root to a queue's policy.
    _replace(terraform / "deploy/functions.tf", r'"aws:SecureTransport" = "false"', '"aws:SecureTransport" = "true"')
    changed.append("the queue's refusal of plain HTTP, which the local AWS speaks")
    return changed


def _replace(path: Path, pattern: str, text: str) -> None:
    before = path.read_text("utf-8")
    after, times = re.subn(pattern, text, before, flags=re.DOTALL)
    if times != 1:
        raise ValueError(f"{pattern!r} is in {path.name} {times} times")
    path.write_text(after, "utf-8")
