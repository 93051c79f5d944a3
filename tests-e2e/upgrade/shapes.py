"""Every stored shape of every package, found by looking, and a valid sample of each."""

from __future__ import annotations

import enum
import importlib
import json
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from iac_ci_common.models.base import StoredShape
from iac_ci_common.models.job import Job, Order

PACKAGES = (
    "iac_ci_common", "iac_ci_vcs", "iac_ci_triggers", "iac_ci_init", "iac_ci_orchestrator", "iac_ci_watchdog",
    "iac_ci_worker", "iac_ci_broker", "iac_ci_page", "iac_ci_cli", "iac_ci_local",
)  # fmt: skip
"""Packages whose shapes count; those that do not exist are passed over."""

_CANDIDATES: tuple[Any, ...] = (
    "20260101T000000-0123456789ab", "0123456789abcdef", "0001", "0000", "name", "c" * 40, "f" * 64,
    "2026-01-01T00:00:00Z", 1, 2, True, "ssm:/iac-ci/jobs/x", "s3://bucket/key", "arn:aws:iam::123456789012:role/x",
    "TOKEN", "queued", "failed", "changed", "all", "acme/modules", [1], [1, 1],
    "tools/2026-01/terraform/1.11.4/linux_amd64/" + "f" * 64, "1.11.4", "https://mirror.example.com", "F" * 40,
    "terraform", "run_ended",
)  # fmt: skip

_NAMES = ("TOKEN", "failed", "registry.example.com", "terraform")
"""Keys of objects, of which each kind takes one."""


def modules() -> Iterator[Any]:
    """Import and give every module of the packages."""
    for name in PACKAGES:
        try:
            package = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            yield importlib.import_module(found.name)


def stored_shapes() -> list[type[BaseModel]]:
    """Every subclass of ``StoredShape``, and what stands in a stored job."""
    for _ in modules():
        pass
    found: set[type[BaseModel]] = {Job, Order}
    todo: list[type[Any]] = [StoredShape, Job, Order]
    while todo:
        below = [kind for kind in todo.pop().__subclasses__() if kind.__module__.startswith("iac_ci")]
        found.update(below)
        todo += below
    return sorted(found, key=lambda kind: kind.__name__)


def sample(kind: type[BaseModel]) -> dict[str, Any]:
    """JSON of a shape with every field set."""
    found: dict[str, Any] = json.loads(_sample_text(kind))
    return found


@cache
def _sample_text(kind: type[BaseModel]) -> str:
    return json.dumps({name: _sample(field) for name, field in kind.model_fields.items()})


def _sample(field: FieldInfo) -> Any:
    annotation = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return _value(annotation)


def _valid(annotation: Any, candidates: list[Any]) -> Any:
    """Return the first candidate that the annotation accepts."""
    for candidate in candidates:
        try:
            TypeAdapter(annotation).validate_json(json.dumps(candidate))
        except ValidationError:
            continue
        return candidate
    raise AssertionError(f"no sample for {annotation}")


def _value(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        inner = get_args(annotation)[0]
        if _models_in(inner):
            return _value(inner)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return sample(annotation)
    elif _models_in(annotation):
        arguments = [argument for argument in get_args(annotation) if argument not in (type(None), ...)]
        value = _value(arguments[-1])
        if get_origin(annotation) is dict:
            return _valid(annotation, [{key: value} for key in (*_NAMES, "7")])
        return [value] if get_origin(annotation) in (tuple, list) else value
    members = _members(annotation)
    adapter = TypeAdapter(annotation)
    for candidate in (*members, *_CANDIDATES):
        for shaped in (candidate, [candidate], *({name: candidate} for name in _NAMES), {"TOKEN": [candidate]}):
            try:
                adapter.validate_json(json.dumps(shaped))
            except ValidationError:
                continue
            return shaped
    raise AssertionError(f"there is no sample for {annotation}")


def _members(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        # An end first: not every state may be reported.
        return sorted((member.value for member in annotation), key=lambda value: value != "failed")
    return [member for argument in get_args(annotation) for member in _members(argument)]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def enum_fields(kind: type[BaseModel]) -> dict[str, list[Any]]:
    """The values that this version knows, for each field that takes one of several."""
    return {name: values for name, field in kind.model_fields.items() if (values := _members(field.annotation))}


def fields() -> dict[str, list[str]]:
    """The names of every stored shape's fields."""
    return {kind.__name__: sorted(kind.model_fields) for kind in stored_shapes()}


if __name__ == "__main__":
    print(json.dumps(fields()))
