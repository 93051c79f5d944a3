"""What pipelines/build asks of ECR: where the repository is, which images it holds, and a tag on one of them."""

from __future__ import annotations

import base64
import sys
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ABSENT: Final = 4
"""Exit code where the repository or the image does not exist."""

_MISSING: Final = {"RepositoryNotFoundException", "ImageNotFoundException"}

_MEDIA_TYPES: Final = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
]
"""The two forms of a manifest that Lambda takes; asked for so that ECR gives it as it was pushed."""


def _registry() -> Any:
    return boto3.client("ecr")


def address(name: str) -> None:
    """Print the address of the repository, without a tag."""
    found = _registry().describe_repositories(repositoryNames=[name])["repositories"]
    sys.stdout.write(found[0]["repositoryUri"] + "\n")


def digest(name: str, tag: str) -> None:
    """Print the digest of the image that bears the tag."""
    found = _registry().describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])["imageDetails"]
    if not found:
        sys.exit(ABSENT)
    sys.stdout.write(found[0]["imageDigest"] + "\n")


def tag(name: str, digest: str, tag: str) -> None:
    """Let the tag name the image, whichever image it named before."""
    registry = _registry()
    answer = registry.batch_get_image(
        repositoryName=name, imageIds=[{"imageDigest": digest}], acceptedMediaTypes=_MEDIA_TYPES
    )
    if not answer["images"]:
        sys.exit(ABSENT)
    image = answer["images"][0]
    kind = {"imageManifestMediaType": image["imageManifestMediaType"]} if "imageManifestMediaType" in image else {}
    try:
        registry.put_image(
            repositoryName=name, imageManifest=image["imageManifest"], imageTag=tag, imageDigest=digest, **kind
        )
    except registry.exceptions.ImageAlreadyExistsException:
        # The tag names this very image already.
        return


def password() -> None:
    """Print the password that Docker logs in with, as user ``AWS``; it holds for twelve hours."""
    token = _registry().get_authorization_token()["authorizationData"][0]["authorizationToken"]
    sys.stdout.write(base64.b64decode(token).decode().partition(":")[2])


def main() -> None:
    """Do what the arguments say; errors are said in a line."""
    commands: dict[str, Any] = {"address": address, "digest": digest, "tag": tag, "password": password}
    try:
        commands[sys.argv[1]](*sys.argv[2:])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _MISSING:
            sys.exit(ABSENT)
        sys.exit(f"{sys.argv[1]}: {error}")
    except BotoCoreError as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
