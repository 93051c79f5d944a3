"""A mirror of tools: releases of any bytes, signed with keys of the test's own."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from iac_ci_common.errors import NotFound, Throttled


@dataclass
class Keys:
    """Keys in a home folder of gpg, by the names of their owners."""

    home: Path
    fingerprints: dict[str, str] = field(default_factory=dict)

    def gpg(self, *arguments: str, content: bytes | None = None) -> bytes:
        command = ["gpg", "--batch", "--homedir", str(self.home), "--passphrase", "", *arguments]
        return subprocess.run(command, input=content, capture_output=True, check=True).stdout

    def make(self, owner: str) -> None:
        """Make a primary key that certifies, and a subkey that signs, as publishers have."""
        self.gpg("--quick-gen-key", f"{owner}@example.com", "ed25519", "cert", "never")
        listed = self.gpg("--list-keys", "--with-colons", f"{owner}@example.com").decode()
        self.fingerprints[owner] = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        self.gpg("--quick-add-key", self.fingerprints[owner], "ed25519", "sign", "never")

    def sign(self, owner: str, content: bytes) -> bytes:
        return self.gpg("-u", f"{owner}@example.com", "--detach-sign", "-o", "-", content=content)

    def public(self, owner: str, *, armored: bool = True) -> bytes:
        return self.gpg(*(["--armor"] if armored else []), "--export", f"{owner}@example.com")


@contextmanager
def made_keys(home: Path, *owners: str) -> Iterator[Keys]:
    """Make keys; gpg's agent ends with the block."""
    home.mkdir(mode=0o700)
    keys = Keys(home)
    try:
        for owner in owners:
            keys.make(owner)
        yield keys
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)


def zipped(program: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(program, content)
    return buffer.getvalue()


@dataclass
class Mirror:
    """What the mirror serves, by path below ``address``; also ``Downloads``, without a network."""

    keys: Keys
    platform: str = "linux_amd64"
    address: str = "https://mirror.example.com"
    content: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def publish(self, tool: str, version: str, content: bytes, *, signer: str = "operator") -> None:
        """Publish one release under the names that the publisher of the tool uses."""
        name, folder, ending = {
            "terraform": (f"terraform_{version}_{self.platform}.zip", version, ".sig"),
            "opentofu": (f"tofu_{version}_{self.platform}.zip", f"v{version}", ".gpgsig"),
            "terragrunt": (f"terragrunt_{self.platform}", f"v{version}", ".gpgsig"),
        }[tool]
        sums_name = {"terraform": f"terraform_{version}_SHA256SUMS", "opentofu": f"tofu_{version}_SHA256SUMS"}.get(
            tool, "SHA256SUMS"
        )
        program = {"terraform": "terraform", "opentofu": "tofu"}.get(tool)
        release = zipped(program, content) if program else content
        sums = f"{hashlib.sha256(release).hexdigest()}  {name}\n{'0' * 64}  another_file\n".encode()
        base = f"{tool}/{folder}"
        self.content |= {
            f"{base}/{name}": release,
            f"{base}/{sums_name}": sums,
            f"{base}/{sums_name}{ending}": self.keys.sign(signer, sums),
            f"{tool}/key.asc": self.keys.public("operator"),
        }
        known = json.loads(self.content.get(f"{tool}/index.json", b'{"versions": {}}'))
        known["versions"][version] = {}
        self.content[f"{tool}/index.json"] = json.dumps(known).encode()

    def sources(self, *tools: str) -> dict[str, dict[str, str]]:
        """Return the operator's setting."""
        fingerprint = self.keys.fingerprints["operator"]
        return {tool: {"address": f"{self.address}/{tool}", "fingerprint": fingerprint} for tool in tools}

    def read(self, address: str, *, most: int) -> bytes:
        path = address.removeprefix(f"{self.address}/")
        self.asked.append(path)
        if self.down:
            raise Throttled(f"{address} cannot be reached (ConnectionError)")
        if path not in self.content:
            raise NotFound(f"{address} does not exist (404)")
        return self.content[path]
