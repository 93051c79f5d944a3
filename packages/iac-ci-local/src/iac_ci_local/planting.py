"""Plants a job's example secrets in a local cloud.

A job file may have a file ``local-secrets.json`` beside it, with obviously fake values for every location that the job
names: ``{"ssm:/iac-ci/jobs/demo/token": "…", "secretsmanager:iac-ci/jobs/demo/database": {"password": "…"}}``. An
object is stored as JSON. Real secrets have no business in it: nothing but the local cloud reads it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.locations import SecretStore, parse_location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from iac_ci_common.locations import Location
    from iac_ci_local.ministack import LocalAws

SECRETS_FILE: Final = "local-secrets.json"


def read_secrets(job_file: Path, given: Sequence[str] = ()) -> dict[Location, str]:
    """Read the secrets beside a job file and those given as ``location=value``; raise ``InputProblems``."""
    path = job_file.parent / SECRETS_FILE
    written: Any = {}
    if path.is_file():
        try:
            written = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise InputProblems([Problem(str(path), f"is not JSON: {error}")]) from error
        if not isinstance(written, dict):
            raise InputProblems([Problem(str(path), "must hold one JSON object, from location to value")])
    problems: list[Problem] = []
    for entry in given:
        name, equals, value = entry.partition("=")
        if equals:
            written[name] = value
        else:
            # The entry may be a secret typed in the wrong place: it is not repeated.
            problems.append(Problem("--secret", "must be written location=value"))
    found: dict[Location, str] = {}
    for name, value in written.items():
        try:
            location = parse_location(name)
        except ValueError as error:
            problems.append(Problem(SECRETS_FILE, str(error)))
            continue
        if location.key is not None:
            problems.append(Problem(SECRETS_FILE, f"{name}: name the whole secret, with its keys as a JSON object"))
            continue
        found[location] = value if isinstance(value, str) else json.dumps(value)
    if problems:
        raise InputProblems(problems)
    return found


def plant(aws: LocalAws, secrets: Mapping[Location, str]) -> None:
    """Create the parameters (as SecureString) and secrets in the cloud ``aws``, or write them anew."""
    stores = {location.store for location in secrets}
    clients = {store: aws.client(store.value) for store in sorted(stores)}
    for location, value in secrets.items():
        client = clients[location.store]
        if location.store is SecretStore.SSM:
            client.put_parameter(Name=location.name, Value=value, Type="SecureString", Overwrite=True)
            continue
        try:
            client.create_secret(Name=location.name, SecretString=value)
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=location.name, SecretString=value)
