"""Plants a job's example secrets in a local cloud.

A job file may have a file ``local-secrets.json`` beside it, with obviously fake values for every location that the job
names: ``{"ssm:/iac-ci/jobs/demo/token": "…", "secretsmanager:iac-ci/jobs/demo/database": {"password": "…"}}``. An
object is stored as JSON. Real secrets have no business in it: nothing but the local cloud reads it. The placeholders
``${state_bucket}``, ``${state_access_key}`` and ``${state_secret_key}`` stand for what only the
running cloud knows: how Terraform's S3 backend reaches the state bucket.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.locations import SecretStore, parse_location
from iac_ci_local.state_access import STATE_NAMES, make_state_access
from iac_ci_local.templates import placeholders, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from iac_ci_common.locations import Location
    from iac_ci_local.cloud import LocalCloud

SECRETS_FILE: Final = "local-secrets.json"


@dataclass(frozen=True, slots=True)
class SeedSecret:
    """A secret to plant: where, and its value, with placeholders if it comes from the file."""

    location: Location
    template: bool
    value: Any = field(repr=False)

    def text(self, values: Mapping[str, str]) -> str:
        """Return what is stored, placeholders filled."""
        value = render(json.dumps(self.value), values) if self.template else self.value
        return value if isinstance(value, str) else json.dumps(value)


def read_secrets(folder: Path, given: Sequence[str] = ()) -> list[SeedSecret]:
    """Read the secrets in a job's folder and those given as ``location=value``; raise ``InputProblems``.

    What is given replaces what the file says of the same location.
    """
    path = folder / SECRETS_FILE
    problems: list[Problem] = []
    entries = [(name, value, True) for name, value in _read_file(path).items()]
    for entry in given:
        name, equals, value = entry.partition("=")
        if equals:
            entries.append((name, value, False))
        else:
            # The entry may be a secret typed in the wrong place: it is not repeated.
            problems.append(Problem("--secret", "must be written location=value"))
    found: dict[Location, SeedSecret] = {}
    for name, value, template in entries:
        where = SECRETS_FILE if template else "--secret"
        try:
            location = parse_location(name)
        except ValueError as error:
            problems.append(Problem(where, str(error)))
            continue
        if location.key is not None:
            problems.append(Problem(where, f"{name}: name the whole secret, with its keys as a JSON object"))
        unknown = placeholders(json.dumps(value)) - STATE_NAMES if template else frozenset()
        problems.extend(Problem(where, f"{name}: unknown placeholder {one}") for one in sorted(unknown))
        found[location] = SeedSecret(location, template, value)
    if problems:
        raise InputProblems(problems)
    return list(found.values())


def plant(cloud: LocalCloud, secrets: Sequence[SeedSecret]) -> None:
    """Create the parameters (as SecureString) and secrets in a local cloud, or write them anew."""
    used = any(placeholders(json.dumps(secret.value)) for secret in secrets if secret.template)
    values = make_state_access(cloud) if used else {}
    clients = {store: cloud.aws.client(store.value) for store in sorted({secret.location.store for secret in secrets})}
    for secret in secrets:
        client, name, text = clients[secret.location.store], secret.location.name, secret.text(values)
        if secret.location.store is SecretStore.SSM:
            client.put_parameter(Name=name, Value=text, Type="SecureString", Overwrite=True)
            continue
        try:
            client.create_secret(Name=name, SecretString=text)
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=name, SecretString=text)


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        written = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputProblems([Problem(str(path), f"is not JSON: {error}")]) from error
    if not isinstance(written, dict):
        raise InputProblems([Problem(str(path), "must hold one JSON object, from location to value")])
    return written
