"""The image of a deployment in ECR: its architecture, and the tags that keep ECR from removing it."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Final, NamedTuple

import boto3
import urllib3
from botocore.exceptions import BotoCoreError, ClientError

WRONG: Final = 2
"""Exit code for an image that Lambda cannot run as the stack's variables say."""

_ADDRESS: Final = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<name>[a-z0-9._/-]+)"
    r"@(?P<digest>sha256:[0-9a-f]{64})"
)
_MANIFESTS: Final = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
)
_INDEXES: Final = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_NAMES: Final = {"amd64": "x86_64", "arm64": "arm64"}
"""Lambda's names of the architectures that an image's configuration names (OCI Image Format Specification)."""


class Image(NamedTuple):
    """An image in ECR, by its digest."""

    account: str
    region: str
    name: str
    digest: str

    def call(self) -> dict[str, Any]:
        """Return the arguments that name the repository in a call of ECR."""
        return {"registryId": self.account, "repositoryName": self.name}


def parse(uri: str) -> Image | None:
    """Return the image of a URI; None if it is in no ECR repository."""
    found = _ADDRESS.fullmatch(uri)
    return Image(**found.groupdict()) if found else None


def manifest(registry: Any, image: Image) -> dict[str, Any] | None:
    """Return an image's manifest or index; None if there is no such image."""
    answer = registry.batch_get_image(
        **image.call(), imageIds=[{"imageDigest": image.digest}], acceptedMediaTypes=[*_MANIFESTS, *_INDEXES]
    )
    if not answer.get("images"):
        return None
    found: dict[str, Any] = json.loads(answer["images"][0]["imageManifest"])
    return found


def problem_of(registry: Any, image: Image, architecture: str) -> str | None:
    """Return why Lambda cannot run the image on ``architecture``; None if it can, or if there is no such image."""
    found = manifest(registry, image)
    if found is None:
        return None
    if "manifests" in found:
        return (
            f"{image.name}@{image.digest} is an index of several images, which Lambda refuses:"
            " push one image without attestations (docker build --provenance=false --sbom=false)"
        )
    url = registry.get_download_url_for_layer(**image.call(), layerDigest=found["config"]["digest"])["downloadUrl"]
    answer = urllib3.request("GET", url, timeout=30, retries=3)
    built_for = json.loads(answer.data).get("architecture")
    if _NAMES.get(built_for) != architecture:
        return f"the image is built for {_NAMES.get(built_for, built_for)} and not for {architecture}"
    return None


def check(uri: str, architecture: str) -> None:
    """Exit with ``WRONG`` if Lambda cannot run the image; print what cannot be checked."""
    image = parse(uri)
    if image is None:
        sys.stderr.write(f"{uri.partition('@')[0]} is not in ECR: its architecture is not checked.\n")
        return
    try:
        problem = problem_of(_registry(image), image, architecture)
    except (ClientError, BotoCoreError, urllib3.exceptions.HTTPError, KeyError, ValueError) as error:
        sys.stderr.write(f"The image cannot be read in ECR, so its architecture is not checked: {error!s:.300}\n")
        return
    if problem is not None:
        sys.stderr.write(f"{problem}\n")
        sys.exit(WRONG)


def keep(uri: str, tag: str) -> None:
    """Set a tag on the image, which takes it from another image; the repository's lifecycle keeps images with it."""
    image = parse(uri)
    if image is None:
        return
    registry = _registry(image)
    try:
        answer = registry.batch_get_image(
            **image.call(), imageIds=[{"imageDigest": image.digest}], acceptedMediaTypes=[*_MANIFESTS]
        )
        for found in answer.get("images", []):
            kind = {name: found[name] for name in ("imageManifestMediaType",) if name in found}
            registry.put_image(
                **image.call(),
                imageManifest=found["imageManifest"],
                imageTag=tag,
                imageDigest=image.digest,
                **kind,
            )
    except registry.exceptions.ImageAlreadyExistsException:
        # The image has the tag already.
        return
    except (ClientError, BotoCoreError) as error:
        sys.stderr.write(
            f"The image could not get the tag {tag}, which keeps ECR's lifecycle from removing it: {error!s:.300}\n"
        )


def _registry(image: Image) -> Any:
    return boto3.client("ecr", region_name=image.region)


def main() -> None:
    """Run the command in the arguments."""
    commands: dict[str, Any] = {"check": check, "keep": keep}
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
