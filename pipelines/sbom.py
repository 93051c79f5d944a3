"""Writes the bill of materials of an image: what is in it, in CycloneDX's JSON format (ECMA-424).

The image itself is asked: for its Python distributions, its Debian packages, Terraform with the program's SHA-256, and
providers of Terraform.
The base images come from the pins, where there are some.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
PINS: Final = Path("pipelines/pins.json")
_SECONDS: Final = 300

# Runs in the image, with the Python of the functions.
_LOOK: Final = """
import hashlib, importlib.metadata, json, shutil, subprocess
packages = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\\n"],
                          check=True, capture_output=True, text=True).stdout
name = "terraform" if shutil.which("terraform") else "tofu"
program = shutil.which(name)
providers = json.load(open("/usr/share/iac-ci/providers.json"))["providers"]
version = json.loads(subprocess.run([program, "version", "-json"], check=True, capture_output=True).stdout)
print(json.dumps({
    "python": sorted({(found.metadata["Name"], found.version) for found in importlib.metadata.distributions()}),
    "debian": sorted(line.split() for line in packages.splitlines()),
    "terraform": [name, version["terraform_version"], hashlib.sha256(open(program, "rb").read()).hexdigest()],
    "providers": sorted((address, version) for address, versions in providers.items() for version in versions),
}))
"""


class NotReadable(Exception):
    """The image could not be asked; the message says why."""


def contents(image: str) -> dict[str, Any]:
    """Return what an image contains; raise ``NotReadable``."""
    done = subprocess.run(  # noqa: S603
        ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", _LOOK],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise NotReadable(f"docker run of {image} failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def bill(found: dict[str, Any], image: str, revision: str, built_at: datetime, root: Path = ROOT) -> Bom:
    """Return the bill of what was found; the same image and commit give the same bill."""
    repository, _, digest = image.partition("@")
    subject = Component(
        name=repository,
        version=revision,
        type=ComponentType.CONTAINER,
        bom_ref=image,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))] if digest else [],
    )
    parts = [*_distributions(found), *_packages(found), _terraform(found), *_providers(found), *_base_images(root)]
    made = Bom(
        serial_number=uuid5(NAMESPACE_URL, f"{image}#{revision}"),
        metadata=BomMetaData(component=subject, timestamp=built_at),
        components=parts,
    )
    made.register_dependency(subject, parts)
    return made


def _distributions(found: dict[str, Any]) -> Iterator[Component]:
    for name, version in found["python"]:
        purl = PackageURL("pypi", None, name.lower().replace("_", "-"), version)
        yield Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl))


def _packages(found: dict[str, Any]) -> Iterator[Component]:
    for name, version, architecture in found["debian"]:
        purl = PackageURL("deb", "debian", name, version, {"arch": architecture})
        yield Component(name=name, version=version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl))


def _terraform(found: dict[str, Any]) -> Component:
    name, version, sha256 = found["terraform"]
    purl = PackageURL("generic", None, name, version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=sha256)]
    return Component(
        name=name, version=version, type=ComponentType.APPLICATION, purl=purl, bom_ref=str(purl), hashes=hashes
    )


def _providers(found: dict[str, Any]) -> Iterator[Component]:
    for address, version in found["providers"]:
        namespace, _, kind = address.rpartition("/")
        purl = PackageURL("generic", namespace, f"terraform-provider-{kind}", version)
        yield Component(name=address, version=version, type=ComponentType.APPLICATION, purl=purl, bom_ref=str(purl))


def _base_images(root: Path) -> Iterator[Component]:
    """Return the pinned base images; without pins there are none, because a tag does not say what was used."""
    path = root / PINS
    if not path.exists():
        return
    for pinned in json.loads(path.read_text("utf-8"))["images"].values():
        name, _, tag = pinned["name"].rpartition(":")
        yield Component(
            name=name,
            version=tag,
            type=ComponentType.CONTAINER,
            bom_ref=f"{pinned['name']}@{pinned['digest']}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=pinned["digest"].removeprefix("sha256:"))],
        )


def main(arguments: list[str]) -> int:
    """Print the bill of ``LOCAL_IMAGE``, pushed as ``IMAGE``, of the commit ``REVISION`` of ``SECONDS`` since 1970."""
    local, image, revision, seconds = arguments
    try:
        found = contents(local)
    except (NotReadable, subprocess.TimeoutExpired, json.JSONDecodeError, OSError) as error:
        sys.stderr.write(f"sbom: {error}\n")
        return 1
    made = bill(found, image, revision, datetime.fromtimestamp(int(seconds), UTC))
    sys.stdout.write(make_outputter(made, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
