"""The ECR calls of pipelines/build: the repository's URL, an image's digest, a tag, and the password."""

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
"""The two kinds of manifest that Lambda accepts; with them ECR returns the manifest as it was pushed."""


def _registry() -> Any:
    return boto3.client("ecr")


def address(name: str) -> None:
    """Print the repository's URL, without a tag."""
    found = _registry().describe_repositories(repositoryNames=[name])["repositories"]
    sys.stdout.write(found[0]["repositoryUri"] + "\n")


def digest(name: str, tag: str) -> None:
    """Print the digest of the image with the tag; exit with 4 if there is none."""
    found = _registry().describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])["imageDetails"]
    if not found:
        sys.exit(ABSENT)
    sys.stdout.write(found[0]["imageDigest"] + "\n")


def tag(name: str, digest: str, tag: str) -> None:
    """Set the tag on the image; another image with the tag loses it. Exit with 4 if there is no such image."""
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
        # The image has the tag already.
        return


def password() -> None:
    """Print the password for ``docker login`` as user ``AWS``; it is valid for twelve hours."""
    token = _registry().get_authorization_token()["authorizationData"][0]["authorizationToken"]
    sys.stdout.write(base64.b64decode(token).decode().partition(":")[2])


def main() -> None:
    """Run the command in the arguments; print an error as one line."""
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
