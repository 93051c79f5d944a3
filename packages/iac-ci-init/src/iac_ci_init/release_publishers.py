"""Who publishes the tools, where, and under which names of files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.tools import Tool

if TYPE_CHECKING:
    from iac_ci_common.models.tools import ToolSource


@dataclass(frozen=True, slots=True)
class Publisher:
    """Where a tool's releases are, and who signs them.

    Names of files have ``{version}`` and ``{platform}`` (``linux_amd64``). ``fingerprint`` is that of the primary key
    whose signature counts; None if this version knows none.
    """

    address: str
    index: str
    key: str
    fingerprint: str | None
    folder: str
    archive: str
    sums: str
    signature: str


_PUBLISHERS: Final = {
    # HashiCorp, "Security at HashiCorp"; releases before the key of 2021 have signatures of it under this name only.
    Tool.TERRAFORM: Publisher(
        address="https://releases.hashicorp.com/terraform",
        index="https://releases.hashicorp.com/terraform/index.json",
        key="https://www.hashicorp.com/.well-known/pgp-key.txt",
        fingerprint="C874011F0AB405110D02105534365D9472D7468F",
        folder="{version}",
        archive="terraform_{version}_{platform}.zip",
        sums="terraform_{version}_SHA256SUMS",
        signature="terraform_{version}_SHA256SUMS.72D7468F.sig",
    ),
    # OpenTofu, "Installing OpenTofu as a Standalone Binary", "Using a GPG signature".
    Tool.OPENTOFU: Publisher(
        address="https://github.com/opentofu/opentofu/releases/download",
        index="https://get.opentofu.org/tofu/api.json",
        key="https://get.opentofu.org/opentofu.asc",
        fingerprint="E3E6E43D84CB852EADB0051D0C0AF313E5FD9F80",
        folder="v{version}",
        archive="tofu_{version}_{platform}.zip",
        sums="tofu_{version}_SHA256SUMS",
        signature="tofu_{version}_SHA256SUMS.gpgsig",
    ),
    # Terragrunt, "Install", "Verifying the checksum". Older releases have no signature.
    Tool.TERRAGRUNT: Publisher(
        address="https://github.com/gruntwork-io/terragrunt/releases/download",
        index="https://api.github.com/repos/gruntwork-io/terragrunt/releases?per_page=100",
        key="",
        fingerprint=None,
        folder="v{version}",
        archive="terragrunt_{platform}",
        sums="SHA256SUMS",
        signature="SHA256SUMS.gpgsig",
    ),
}


def publisher(tool: Tool, source: ToolSource | None) -> Publisher:
    """Return a tool's publisher, or the operator's mirror of it: a copy of the same files, index.json and key.asc."""
    known = _PUBLISHERS[tool]
    if source is None:
        return known
    address = source.address.rstrip("/")
    return Publisher(
        address=address,
        index=f"{address}/index.json",
        key=f"{address}/key.asc",
        fingerprint=source.fingerprint or known.fingerprint,
        folder=known.folder,
        archive=known.archive,
        sums=known.sums,
        signature=known.sums + (".sig" if tool is Tool.TERRAFORM else ".gpgsig"),
    )
