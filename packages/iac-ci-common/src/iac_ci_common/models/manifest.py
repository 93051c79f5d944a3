"""``manifest.json`` inside an order's ``exec.zip``."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import Name, OrderNum, RunId, StoredShape
from iac_ci_common.models.saved_plan import PlannedFile
from iac_ci_common.models.tools import StoredTool

MANIFEST_NAME = "manifest.json"
SEALED_NAME = "secrets.sops.json"
IDENTITY_NAME = "identity.sops.json"

IDENTITY_FIELD = "identity"
"""Name of the value that holds the sealed age identity in ``identity.sops.json``, which versions before wrote."""

ENCRYPTED_IDENTITY_NAME = "identity.kms"

SEALED_OF_TAKER_NAME = "secrets.taker.sops.json"
"""The sealed file of an order that takes outputs or files of others. Versions that cannot take them look for
``secrets.sops.json``, do not find it, and fail the order before its first command."""


KEPT_BY_DEFAULT = ("**/errored.tfstate", "**/crash.log")
"""What is kept of an order that fails: the state that Terraform could not write to its backend, and its last words."""


class ManifestOutput(StoredShape):
    """An output that a variable takes."""

    order_num: OrderNum
    order_name: Name
    output: str


class ManifestFiles(StoredShape):
    """Files of another order that are restored."""

    order_num: OrderNum
    order_name: Name
    files: tuple[str, ...] = Field(min_length=1, description="Patterns of their names.")
    folder: str = Field(description="Folder below the one in which the commands run.")
    overwrite: bool = False


class ManifestPlan(StoredShape):
    """The plan that the commands write."""

    file: str
    tool: str
    workspace: str | None = None
    json_file: str | None = Field(None, description="Name under which the plan's JSON is saved beside it.")


class ManifestSavedPlan(StoredShape):
    """The saved plan that the commands apply: put into their folder, under its name, with its lock file."""

    order_name: Name = Field(description="The order that saved it.")
    file: str
    planned: PlannedFile
    planner: str | None = Field(
        None, description="What makes the plan again, for the reason why it is stale; None in a version before."
    )


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
    ok: tuple[tuple[int, ...], ...] | None = Field(
        None, description="Exit codes that are a success of each command; None: 0 of every one."
    )
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
    credentials: str | None = Field(
        None, description="The order's `credentials`; None from a version before: they are in the environment."
    )
    git_credentials: tuple[str, ...] | None = Field(
        None, description="Repositories (`host/path`) that git may read; None if there are none."
    )
    takes: dict[str, ManifestOutput] | None = Field(
        None, description="Variables that take outputs of other orders; None if there are none."
    )
    save: tuple[str, ...] | None = Field(None, description="Patterns of the files to save; None if there are none.")
    restore: tuple[ManifestFiles, ...] | None = Field(
        None, description="Files of other orders to restore; None if there are none."
    )
    keep_on_failure: tuple[str, ...] | None = Field(
        None, description="Patterns of the files to keep if the order fails; None: `KEPT_BY_DEFAULT`."
    )

    tools: tuple[StoredTool, ...] | None = Field(
        None, description="Tools that are fetched for the order; None if it uses the worker's own."
    )
    plan: ManifestPlan | None = Field(None, description="The plan that the commands write, None if they write none.")
    saved_plan: ManifestSavedPlan | None = Field(
        None, description="The saved plan that the commands apply, None if they apply none."
    )

    @property
    def is_taker(self) -> bool:
        """Return whether the order takes something of other orders."""
        return bool(self.takes or self.restore or self.saved_plan)

    @property
    def sealed_name(self) -> str:
        """Return the name of the sealed file in the package."""
        return SEALED_OF_TAKER_NAME if self.is_taker else SEALED_NAME

    def to_stored(self) -> bytes:
        """Return the JSON, without the newer fields that are None: workers of the first version refuse these fields."""
        newer = (
            "mask_also",
            "mask_never",
            "keyed",
            "assumes_role",
            "takes",
            "save",
            "restore",
            "keep_on_failure",
            "credentials",
            "git_credentials",
            "ok",
            "tools",
            "plan",
            "saved_plan",
        )
        absent = {name for name in newer if getattr(self, name) is None}
        return self.model_dump_json(exclude=absent).encode()
