"""``manifest.json`` inside an order's ``exec.zip``."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import Name, OrderNum, RunId, StoredShape

MANIFEST_NAME = "manifest.json"
SEALED_NAME = "secrets.sops.json"
IDENTITY_NAME = "identity.sops.json"

IDENTITY_FIELD = "identity"
"""Name of the value that holds the sealed age identity in ``identity.sops.json``, which versions before wrote."""

ENCRYPTED_IDENTITY_NAME = "identity.kms"


class Manifest(StoredShape):
    """The order as the worker needs it, without secrets.

    The archive also has, if ``sealed``, ``secrets.sops.json``, which is sealed for an age recipient, and
    ``identity.kms``: the recipient's identity, encrypted under the stack's KMS key with stack, source and run as
    encryption context. Versions before sealed ``secrets.sops.json`` under the key itself, or put the identity that an
    order named into ``identity.sops.json``, sealed so.
    """

    run_id: RunId
    order_num: OrderNum
    order_name: Name
    flow_id: str
    cmds: tuple[str, ...] = Field(min_length=1)
    folder: str | None = Field(None, description="Folder inside the code in which the commands run.")
    env_vars: dict[str, str] = Field(default_factory=dict)
    mask_also: tuple[str, ...] | None = Field(None, description="The job's `mask.also`, if it has entries.")
    mask_never: tuple[str, ...] | None = Field(None, description="The job's `mask.never`, if it has entries.")
    keyed: tuple[str, ...] | None = Field(
        None, description="Variables that are keys of JSON secrets; None: those whose names have small letters only."
    )
    sealed: bool = False
    sealed_with_age: bool = False
    assumes_role: bool | None = Field(
        None, description="True if the broker assumes the order's role when it starts; otherwise None."
    )

    def to_stored(self) -> bytes:
        """Return the JSON, without the newer fields that are None: workers of the first version refuse these fields."""
        absent = {name for name in ("mask_also", "mask_never", "keyed", "assumes_role") if getattr(self, name) is None}
        return self.model_dump_json(exclude=absent).encode()
