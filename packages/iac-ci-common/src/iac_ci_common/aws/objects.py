"""S3 buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws import pages
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import ConditionFailed, NotFound, PortFailed, PreparationFailed, Throttled

if TYPE_CHECKING:
    from collections.abc import Sequence

_DELETE_BATCH: Final = 1000


class S3Objects:
    """One bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        """Use an S3 client that signs with SigV4."""
        self._client = client
        self._bucket = bucket

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write or overwrite an object."""
        with aws_errors(f"writing {key}"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)

    def create(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write an object that must not exist.

        S3 answers some of several concurrent writes with 409 (Amazon S3 User Guide, "How to prevent object
        overwrites with conditional writes"). The client sends them again, and they then find the object of the first.
        After its last try the call raises ``Throttled``: a conflict does not show that the object exists.
        """
        try:
            with aws_errors(f"creating {key}"):
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*"
                )
        except ConditionFailed as error:
            raise Throttled(error.message) from error

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Return an object's bytes, at most ``max_bytes`` + 1 of them."""
        with aws_errors(f"reading {key}"):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            try:
                content: bytes = body.read(None if max_bytes is None else max_bytes + 1)
                if max_bytes is not None and len(content) <= max_bytes:
                    # botocore compares the lengths only where it reads to the end; nothing is left to read here.
                    body.read()
            except OSError as error:
                raise PortFailed(f"reading {key}: {error}", retry_is_safe=True) from error
            finally:
                body.close()
            return content

    def exists(self, key: str) -> bool:
        """Return whether the object exists."""
        try:
            with aws_errors(f"checking {key}"):
                self._client.head_object(Bucket=self._bucket, Key=key)
        except NotFound:
            return False
        return True

    def list(self, prefix: str, *, after: str | None = None) -> list[str]:
        """Return all keys with a prefix, sorted, after the key ``after``; a call lists a thousand."""
        beginning = {"StartAfter": after} if after is not None else {}
        with aws_errors(f"listing {prefix}"):
            found = pages.listed(self._client, Bucket=self._bucket, Prefix=prefix, **beginning)
            return sorted(item["Key"] for item in found)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, a thousand in a call."""
        for start in range(0, len(keys), _DELETE_BATCH):
            batch = keys[start : start + _DELETE_BATCH]
            with aws_errors(f"deleting {len(batch)} objects"):
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
                )
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise PortFailed(f"deleting {first.get('Key')}: {first.get('Code')}", retry_is_safe=True)

    def presign_get(self, key: str, *, seconds: int, save_as: str | None = None) -> str:
        """Return a URL that reads the object and is valid for ``seconds``."""
        parameters = {"Bucket": self._bucket, "Key": key}
        if save_as is not None:
            parameters["ResponseContentDisposition"] = f'attachment; filename="{save_as}"'
            parameters["ResponseContentType"] = "text/plain; charset=utf-8"
        return self._presign("get_object", parameters, seconds)

    def presign_put(self, key: str, *, seconds: int, create_once: bool, length: int | None = None) -> str:
        """Return a URL that writes the object and is valid for ``seconds``."""
        parameters: dict[str, Any] = {"Bucket": self._bucket, "Key": key}
        if create_once:
            parameters["IfNoneMatch"] = "*"
        if length is not None:
            parameters["ContentLength"] = length
        return self._presign("put_object", parameters, seconds)

    def _presign(self, action: str, parameters: dict[str, Any], seconds: int) -> str:
        with aws_errors("presigning"):
            url: str = self._client.generate_presigned_url(action, Params=parameters, ExpiresIn=seconds)
            return url


class S3CodeStore:
    """Archives in the callers' buckets."""

    def __init__(self, client: Any) -> None:
        """Use an S3 client."""
        self._client = client

    def fetch(self, bucket: str, key: str, *, max_bytes: int) -> bytes:
        """Return an archive's bytes; raise ``PreparationFailed`` before reading one larger than ``max_bytes``."""
        with aws_errors(f"reading s3://{bucket}/{key}"):
            answer = self._client.get_object(Bucket=bucket, Key=key)
            try:
                if int(answer["ContentLength"]) > max_bytes:
                    raise PreparationFailed(f"s3://{bucket}/{key} is larger than the allowed {max_bytes} bytes")
                content: bytes = answer["Body"].read()
            finally:
                answer["Body"].close()
            return content
