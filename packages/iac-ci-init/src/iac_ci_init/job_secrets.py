"""Reads the secrets that a job names, each distinct one once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from iac_ci_common.environment import check_environment_name
from iac_ci_common.errors import IacCiError, PreparationFailed
from iac_ci_common.job_validation.rules import CREDENTIALS
from iac_ci_common.locations import Location, parse_location
from iac_ci_common.redaction.secret_values import is_plain_key
from iac_ci_common.registries import registry_variable
from iac_ci_init.code_source import code_source, permanent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iac_ci_common.models.job import Job, Order
    from iac_ci_common.ports import Parallel, Secrets

T = TypeVar("T")


@dataclass(slots=True)
class JobSecrets:
    """Reads the secrets of one run."""

    job: Job
    secrets: Secrets
    parallel: Parallel
    _read: dict[Location, str | PreparationFailed] = field(default_factory=dict, repr=False)

    def read(self) -> None:
        """Read every secret that the job names, each once, concurrently.

        Permanent failures are kept for ``text`` and ``values``; failures that a retry may repair are raised.
        """
        job = self.job
        named: set[str] = set()
        for order in job.orders:
            named |= {
                *order.ssm_paths,
                *order.secret_manager_paths,
                *order.secrets.values(),
                *order.registries.values(),
            }
            if order.sops_key is not None:
                named.add(order.sops_key)
        if any((source := code_source(job, order)) is not None and source.repository for order in job.orders):
            named |= {text for text in (job.git_token_location, job.git_ssh_key_location) if text is not None}
        locations = sorted({_whole(parse_location(text)) for text in named})
        texts = self.parallel.run([partial(self._read_one, location) for location in locations])
        self._read = {location: _final(text) for location, text in zip(locations, texts, strict=True)}

    def _read_one(self, location: Location) -> str:
        with permanent(f"{location} could not be read"):
            return self.secrets.read(location)

    def values(self, order: Order, problems: list[str]) -> dict[str, str]:
        """Return the values of an order's secrets by their environment variables; add problems to ``problems``.

        It is also a problem if two sources set a variable to different values.
        """
        found = dict(order.env_vars)
        origin = dict.fromkeys(found, "env_vars")
        for source, call in self._parts(order):
            try:
                values = call()
            except PreparationFailed as error:
                problems.append(error.message)
                continue
            for name, value in values.items():
                if not _can_be_a_variable(value):
                    problems.append(f"{source}: the value of {name} contains a NUL character or is not valid UTF-8")
                elif found.setdefault(name, value) != value:
                    problems.append(f"{name} has different values in {origin[name]} and {source}; remove one")
                origin.setdefault(name, source)
        if order.assume_role is not None:
            problems += [
                f"{name} is set in {origin[name]} and by assume_role; remove one"
                for name in CREDENTIALS
                if name in found
            ]
        return {name: value for name, value in found.items() if name not in order.env_vars}

    def keyed(self, order: Order) -> tuple[str, ...] | None:
        """Return the variables of an order that are keys of JSON secrets; None if their small letters show the same.

        It matters for the names of ``PLAIN_KEYS`` only, whose values are not masked if they are keys of JSON secrets.
        """
        found: set[str] = set()
        for named in [*order.ssm_paths, *order.secret_manager_paths]:
            location = parse_location(named)
            text = self._read[_whole(location)]
            if isinstance(text, str) and (location.key is not None or _members(text) is not None):
                found |= set(self._spread(location))
        found -= set(order.secrets)
        plain = {name for name in self.values(order, []) if is_plain_key(name)}
        return None if plain & found == {name for name in plain if name.islower()} else tuple(sorted(found))

    def _parts(self, order: Order) -> Iterator[tuple[str, Callable[[], Mapping[str, str]]]]:
        for text in [*order.ssm_paths, *order.secret_manager_paths]:
            yield text, partial(self._spread, parse_location(text))
        for name, text in order.secrets.items():
            yield text, partial(self._named, name, parse_location(text))
        for host, text in order.registries.items():
            yield text, partial(self._named, registry_variable(host), parse_location(text))

    def _spread(self, location: Location) -> dict[str, str]:
        """Return a whole secret: one variable per key of a JSON object, else one named after the end of its path.

        A key whose value is null sets no variable.
        """
        if location.key is not None:
            return {self._name(location, location.key): self._one(location)}
        text = self.text(location)
        members = _members(text)
        if members is None:
            return {self._name(location, location.name.rstrip("/").rpartition("/")[2]): text}
        keys: dict[str, str] = {}
        values: dict[str, str] = {}
        for key, value in members.items():
            if value is None:
                continue
            name = self._name(location, key)
            keys.setdefault(name, key)
            if values.setdefault(name, value) != value:
                both = f"the keys {keys[name]} and {key} have different values for the variable {name}"
                raise PreparationFailed(f"{location}: {both}; rename one")
        return values

    def _named(self, name: str, location: Location) -> dict[str, str]:
        return {name: self._one(location)}

    def _one(self, location: Location) -> str:
        text = self.text(location)
        if location.key is None:
            return text
        members = _members(text)
        if members is None or location.key not in members:
            raise PreparationFailed(f"{_whole(location)} is not a JSON object with the key {location.key}")
        if (value := members[location.key]) is None:
            raise PreparationFailed(f"{_whole(location)} has no value for the key {location.key}: it is null")
        return value

    def text(self, location: Location) -> str:
        """Return a whole secret, without selecting the key; raise ``PreparationFailed`` if it could not be read."""
        text = self._read[_whole(location)]
        if isinstance(text, PreparationFailed):
            raise text
        return text

    @staticmethod
    def _name(location: Location, name: str) -> str:
        variable = name.replace("-", "_").replace(".", "_")
        try:
            return check_environment_name(variable)
        except ValueError as error:
            raise PreparationFailed(f"{_whole(location)}: {name!r:.80} {error}") from None


def _whole(location: Location) -> Location:
    return Location(location.store, location.name)


def _final(answer: T | IacCiError) -> T | PreparationFailed:
    """Return a value or its permanent failure; raise a failure that a retry may repair."""
    if isinstance(answer, IacCiError) and not isinstance(answer, PreparationFailed):
        raise answer
    return answer


def _members(text: str) -> dict[str, str | None] | None:
    """Return the values of a JSON object as texts; None if the text is no JSON object.

    Numbers are as they are written: 1.10 stays 1.10.
    """
    try:
        content = json.loads(text)
        written = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return {key: _text(content[key], written[key]) for key in content} if isinstance(content, dict) else None


def _text(value: object, written: object) -> str | None:
    if isinstance(written, str):
        return written
    return None if value is None else json.dumps(value)


def _can_be_a_variable(value: str) -> bool:
    try:
        return b"\0" not in value.encode("utf-8")
    except UnicodeEncodeError:
        return False
