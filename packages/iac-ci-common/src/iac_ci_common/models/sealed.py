"""What an order hands on, sealed: outputs and files in the internal bucket."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from iac_ci_common.models.base import Sha256, StoredShape

EncryptedIdentity = Annotated[str, Field(max_length=2048, pattern=r"^[A-Za-z0-9+/]+={0,2}$")]
"""An age identity, encrypted under the stack's KMS key with its scope as context, in base64."""


class Sealed(StoredShape):
    """A sealed object. The digest stands in the order's row, so that nobody can exchange the object."""

    sha256: Sha256 = Field(description="SHA-256 of the sealed object.")
    size: int = Field(ge=0, description="Its length in bytes.")
    identity: EncryptedIdentity
