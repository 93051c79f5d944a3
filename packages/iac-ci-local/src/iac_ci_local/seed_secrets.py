"""Stores a job's example secrets in a local cloud.

A job file may have a file ``local-secrets.json`` beside it, with obviously fake values for the locations in the job:
``{"ssm:/iac-ci/jobs/demo/token": "…", "secretsmanager:iac-ci/jobs/demo/database": {"password": "…"}}``. An object is
stored as JSON. Only the local cloud reads this file, so it must not contain real secrets. The placeholders
``${state_bucket}``, ``${state_access_key}`` and ``${state_secret_key}`` are replaced by the running cloud's credentials
for Terraform's S3 backend.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.job_validation.json_body import parse_body
from iac_ci_common.locations import SecretStore, parse_location
from iac_ci_common.validation_messages import shown
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
    """A secret to store: its location and value; ``template`` is True if the value may have placeholders."""

    location: Location
    template: bool
    value: Any = field(repr=False)

    def text(self, values: Mapping[str, str]) -> str:
        """Return the text to store, with the placeholders replaced."""
        value = render(json.dumps(self.value), values) if self.template else self.value
        return value if isinstance(value, str) else json.dumps(value)


def read_secrets(folder: Path | None, given: Sequence[str] = ()) -> list[SeedSecret]:
    """Return the secrets of a job's folder and those given as ``location=value``; raise ``InputProblems``.

    A given value replaces the file's value for the same location.
    """
    problems: list[Problem] = []
    stored = _read_file(folder / SECRETS_FILE) if folder is not None else {}
    entries = [(name, value, True) for name, value in stored.items()]
    for entry in given:
        name, equals, value = entry.partition("=")
        if equals:
            entries.append((name, value, False))
        else:
            # The entry may be a secret without its location, so the message does not repeat it.
            problems.append(Problem("--secret", "must have the form LOCATION=VALUE"))
    found: dict[Location, SeedSecret] = {}
    for name, value, template in entries:
        source = SECRETS_FILE if template else "--secret"
        try:
            location = parse_location(name)
        except ValueError as error:
            # An entry of the command line may be a secret without its location; the file's names are locations.
            problems.append(Problem(source, f"{shown(name)} {error}" if template else str(error)))
            continue
        if location.key is not None:
            problems.append(Problem(source, f"{name}: remove #key and write the keys as a JSON object"))
        unknown = placeholders(json.dumps(value)) - STATE_NAMES if template else frozenset()
        problems.extend(Problem(source, f"{name}: unknown placeholder {one}") for one in sorted(unknown))
        found[location] = SeedSecret(location, template, value)
    if problems:
        raise InputProblems(problems)
    return list(found.values())


def seed(cloud: LocalCloud, secrets: Sequence[SeedSecret]) -> None:
    """Create or replace the parameters (as SecureString) and secrets in a local cloud."""
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
        content, problems = parse_body(path.read_bytes())
    except InputProblems as error:
        raise InputProblems([Problem(str(path), problem.what) for problem in error.problems]) from error
    if problems:
        raise InputProblems([Problem(str(path), problem.what) for problem in problems])
    return content
