"""What an order takes of earlier orders, before its commands start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iac_ci_common.errors import PackageUnsafe
from iac_ci_worker.sealed_objects import fetch, private_folder
from iac_ci_worker.taken_outputs import TakenOutputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iac_ci_common.models.manifest import Manifest
    from iac_ci_common.models.trade import BegunOrder, TakenObject
    from iac_ci_worker.presigned import PresignedObjects


def take_outputs(manifest: Manifest, begun: BegunOrder, objects: PresignedObjects) -> TakenOutputs:
    """Return the variables that take outputs of other orders.

    Raises ``PackageUnsafe`` with every output that is missing.
    """
    found = {taken.order_num: taken.outputs for taken in begun.taken}
    read: dict[str, Mapping[str, Any]] = {}
    values: dict[str, str] = {}
    secret: list[str] = []
    missing: list[str] = []
    for variable, wanted in (manifest.takes or {}).items():
        if wanted.order_num not in read:
            taken = found.get(wanted.order_num)
            read[wanted.order_num] = _read(taken, objects, wanted.order_name) if taken is not None else {}
        content = read[wanted.order_num]
        if wanted.output not in content.get("values", {}):
            missing.append(f"{wanted.order_name} has no output {wanted.output}, which {variable} takes")
            continue
        values[variable] = content["values"][wanted.output]
        if wanted.output in content.get("secret", ()):
            secret.append(values[variable])
    if missing:
        raise PackageUnsafe("; ".join(missing))
    return TakenOutputs(values, tuple(secret))


def _read(taken: TakenObject, objects: PresignedObjects, order_name: str) -> Mapping[str, Any]:
    with private_folder("take") as folder:
        fetch(taken, objects, folder / "sealed", folder / "plain", f"the outputs of {order_name}")
        try:
            content: Mapping[str, Any] = json.loads((folder / "plain").read_bytes())
        except ValueError as error:
            raise PackageUnsafe(f"the outputs of {order_name} are not JSON") from error
        return content
