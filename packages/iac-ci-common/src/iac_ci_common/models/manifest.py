"""``manifest.json`` inside an order's ``exec.zip``."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import Name, OrderNum, RunId, StoredShape

MANIFEST_NAME = "manifest.json"
SEALED_NAME = "secrets.sops.json"
IDENTITY_NAME = "identity.sops.json"

IDENTITY_FIELD = "identity"
"""Name of the value that holds the sealed age identity."""


class Manifest(StoredShape):
    """The order as the worker needs it, without secrets.

    The archive also has ``secrets.sops.json`` (if ``sealed``) and, if the order names an age key,
    ``identity.sops.json``: that key, sealed under the stack's KMS key with the run as encryption context.
    """

    run_id: RunId
    order_num: OrderNum
    order_name: Name
    flow_id: str
    cmds: tuple[str, ...] = Field(min_length=1)
    folder: str | None = Field(None, description="Folder inside the code in which the commands run.")
    env_vars: dict[str, str] = Field(default_factory=dict)
    mask_also: tuple[str, ...] = Field((), description="The job's `mask.also`.")
    mask_never: tuple[str, ...] = Field((), description="The job's `mask.never`.")
    keyed: tuple[str, ...] | None = Field(
        None, description="Variables that are keys of JSON secrets; None in packages of versions that did not say so."
    )
    sealed: bool = False
    sealed_with_age: bool = False
