"""Where Terraform and OpenTofu install providers from: a file in the home folder of each order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from iac_ci_worker.baked_providers import BAKED_FOLDER, BAKED_INDEX, Source, baked_providers, has_own_providers, sources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME: Final = ".terraformrc"
"""OpenTofu reads it too where there is no ``.tofurc`` (OpenTofu, "CLI Configuration")."""


def write_provider_installation(
    home: Path, mirror: str, code: Path | None = None, *, index: Path = BAKED_INDEX, folder: Path = BAKED_FOLDER
) -> None:
    """Make the operator's mirror, or else the registries, the source of what the image's providers do not satisfy.

    The file is the order's own: what commands make of it is gone with the order. Terraform compares what it installs
    with the hashes of the lock file. Nothing is written without a mirror if Terraform's own rules do the same, because
    the image has all that the lock files of ``code`` name of its providers, or if ``code`` has providers of its own,
    which Terraform finds by these rules alone. ``index`` and ``folder`` are where the image has its providers.
    """
    chosen = sources(baked_providers(index), code) if code is not None else {}
    differs = any(source is not Source.IMAGE for source in chosen.values())
    if mirror or (differs and code is not None and not has_own_providers(code)):
        (home / _NAME).write_text(installation(mirror, chosen, folder), "utf-8")


def installation(mirror: str, chosen: Mapping[str, Source], folder: Path) -> str:
    """Return the text of the file for where the image's providers come from (Terraform, "Provider Installation")."""
    blocks = []
    if chosen:
        blocks.append(_block("filesystem_mirror", {"path": str(folder)}, _of(chosen, Source.ELSEWHERE)))
    kind, arguments = ("network_mirror", {"url": mirror}) if mirror else ("direct", {})
    blocks.append(_block(kind, arguments, _of(chosen, Source.IMAGE)))
    return f"provider_installation {{\n{''.join(blocks)}}}\n"


def _of(chosen: Mapping[str, Source], source: Source) -> list[str]:
    return sorted(address for address, each in chosen.items() if each is source)


def _block(kind: str, arguments: Mapping[str, str], excluded: list[str]) -> str:
    lines = [f"    {name} = {json.dumps(value)}\n" for name, value in arguments.items()]
    if excluded:
        lines.append(f"    exclude = {json.dumps(excluded)}\n")
    return f"  {kind} {{\n{''.join(lines)}  }}\n"


__all__ = ["installation", "write_provider_installation"]
