"""Decides what is masked in an order's output: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common.redaction import Redactor
from iac_ci_common.redaction.secret_values import is_plain_key, secret_parts_of_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iac_ci_common.models.manifest import Manifest
    from iac_ci_worker.taken_outputs import TakenOutputs


def redactor_of(manifest: Manifest, secrets: Mapping[str, str], taken: TakenOutputs) -> Redactor:
    """Return the redactor for an order's secrets, the secret outputs that it takes, and its job's ``mask``."""
    variables = {**manifest.env_vars, **taken.values, **secrets}
    never = set(_values(manifest.mask_never or (), variables))
    masked: list[str] = []
    for name, value in secrets.items():
        masked += secret_parts_of_plain(value) if _is_plain(name, manifest) else [value]
    masked += taken.secret
    return Redactor(masked, also=_values(manifest.mask_also or (), variables), never=never)


def _values(entries: Iterable[str], variables: Mapping[str, str]) -> Iterator[str]:
    """Read each entry as the name of a variable, or else as a text."""
    for entry in entries:
        yield variables.get(entry, entry)


def _is_plain(name: str, manifest: Manifest) -> bool:
    """Return whether a variable is a key of a JSON secret whose value is not secret: engine, port, username."""
    keyed = name in manifest.keyed if manifest.keyed is not None else name.islower()
    return keyed and is_plain_key(name) and name not in (manifest.mask_also or ())
