"""Parses content into a model as far as possible, so that one problem does not hide another.

A field under a synonym or a similar spelling is parsed as the field that it means; a stand-in replaces every other
value with a problem. ``Draft`` lists the stand-ins, so that later checks can ignore problems about them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from iac_ci_common.validation_messages import meant, message, shown, synonym, unknown_field

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Location = tuple[str | int, ...]
"""The path to a value: names of fields, keys of mappings and indexes of lists."""

M = TypeVar("M", bound=BaseModel)

MISSING: Final = object()
"""Original value of a missing field."""

REMOVE: Final = object()
"""Stand-in for a value that may be removed; for an entry of a list or a missing field, its parent is replaced."""

_PASSES: Final = 5
"""How often content is repaired and parsed again: some problems show only after others are repaired."""

_MOST_GUESSES: Final = 50
"""Number of unknown fields for which similar known fields are searched, which takes a millisecond each."""

_KEY: Final = "[key]"
"""Last part of pydantic's location of an error in a key of a mapping."""


@dataclass(frozen=True, slots=True)
class Without:
    """Stand-in for a mapping in which the combination of ``fields`` is not allowed: all of them are removed."""

    fields: tuple[str, ...]


@dataclass(slots=True)
class Draft(Generic[M]):
    """The result of parsing as far as possible.

    ``value`` is None if no stand-in makes it valid. ``findings`` have locations and names of the input. ``replaced``
    maps the model's locations of the stand-ins to the original values. ``cut`` has the locations of lists and mappings
    that were cut to the allowed length. ``renamed`` maps the model's locations to names in the input. ``new_keys`` has
    the locations of values whose keys are stand-ins.
    """

    value: M | None = None
    findings: list[tuple[Location, str]] = field(default_factory=list)
    replaced: dict[Location, Any] = field(default_factory=dict)
    cut: set[Location] = field(default_factory=set)
    renamed: dict[Location, str | int] = field(default_factory=dict)
    new_keys: set[Location] = field(default_factory=set)

    def written(self, location: Location) -> Location:
        """Return a location of the model with the names of the input."""
        return tuple(
            self.renamed.get(location[: depth + 1], part) if self.renamed else part
            for depth, part in enumerate(location)
        )

    def is_about_a_stand_in(self, location: Location) -> bool:
        """Return whether the value at this location is, or is inside, a stand-in."""
        return _is_inside(location, self.replaced)

    @property
    def uncertain(self) -> Iterator[Location]:
        """Yield the locations of values that differ from the input, or whose keys do."""
        yield from self.replaced
        yield from self.cut
        yield from self.new_keys


def read_partially(model: type[M], content: Any, stand_in: Callable[[Location], Any]) -> Draft[M]:
    """Return the draft of ``model`` from ``content``, which is changed.

    ``stand_in`` returns the replacement for the value at a location: a new value, ``REMOVE`` or ``Without``.
    """
    draft: Draft[M] = Draft()
    _rename_fields(model, content, (), draft)
    for _ in range(_PASSES):
        repaired = len(draft.replaced) + len(draft.cut) + len(draft.renamed)
        try:
            draft.value = model.model_validate(content)
        except ValidationError as error:
            _repair(model, content, error, stand_in, draft)
            if len(draft.replaced) + len(draft.cut) + len(draft.renamed) == repaired:
                break
        else:
            break
    return draft


def _rename_fields(annotation: Any, content: Any, location: Location, draft: Draft[M]) -> None:
    """Rename fields that a synonym or a similar spelling names, unless the field itself is present."""
    model = _model_of(annotation)
    if model is not None and isinstance(content, dict):
        _rename_in(model, content, location, draft)
        for name, inner in _fields_with_fields(model).items():
            if name in content:
                _rename_fields(inner, content[name], (*location, name), draft)
        return
    for inner in _inner(annotation):
        origin = get_origin(inner)
        if origin not in {list, dict} or not _holds_model(get_args(inner)[-1]):
            # A job may hold half a million names of dependencies; a look at each would take most of the time.
            continue
        if origin is list and isinstance(content, list):
            for index, item in enumerate(content):
                _rename_fields(get_args(inner)[0], item, (*location, index), draft)
        elif origin is dict and isinstance(content, dict):
            for key, value in content.items():
                _rename_fields(get_args(inner)[1], value, (*location, key), draft)


def _rename_in(model: type[BaseModel], content: dict[str, Any], location: Location, draft: Draft[M]) -> None:
    fields = _fields(model)
    for name in [name for name in content if name not in fields][:_MOST_GUESSES]:
        known = meant(name, fields)
        if known is not None and known not in content:
            draft.findings.append((draft.written((*location, name)), unknown_field(name, fields)))
            draft.renamed[*location, known] = name
            content[known] = content.pop(name)


@functools.cache
def _fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the fields of a model by the names that people write: the alias of a field that has one."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


@functools.cache
def _fields_with_fields(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the types of those fields of a model that may hold fields themselves, by the names that people write."""
    return {name: info.annotation for name, info in _fields(model).items() if _holds_model(info.annotation)}


def _inner(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation allows, without its metadata."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _inner(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for choice in get_args(annotation):
            yield from _inner(choice)
    else:
        yield annotation


def _holds_model(annotation: Any) -> bool:
    """Return whether a value of this type may hold fields, itself or at any depth."""
    return _model_of(annotation) is not None or any(
        _holds_model(get_args(inner)[-1]) for inner in _inner(annotation) if get_origin(inner) in {list, dict}
    )


def _model_of(annotation: Any) -> type[BaseModel] | None:
    for inner in _inner(annotation):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """Return the model of the value at a location, None if it is not a model."""
    annotation: Any = model
    for part in location:
        outer = _model_of(annotation)
        if outer is not None:
            info = _fields(outer).get(str(part))
            annotation = None if info is None else info.annotation
            continue
        inside = [inner for inner in _inner(annotation) if get_origin(inner) in {list, dict}]
        annotation = get_args(inside[0])[-1] if inside else None
    return _model_of(annotation)


def _repair(
    model: type[M], content: Any, error: ValidationError, stand_in: Callable[[Location], Any], draft: Draft[M]
) -> None:
    entries = error.errors(include_url=False)
    unknown = [entry["loc"] for entry in entries if entry["type"] == "extra_forbidden"]
    guessed = set(unknown[:_MOST_GUESSES])
    renamed_keys: dict[Location, str] = {}
    earlier = frozenset(draft.replaced)
    repaired: set[Location] = set()
    for entry in entries:
        if entry["loc"][-1:] == (_KEY,):
            _replace_key(content, entry, stand_in, draft, renamed_keys)
    for entry in entries:
        if entry["loc"][-1:] != (_KEY,):
            original = entry["loc"]
            location = tuple(renamed_keys.get(original[: depth + 1], part) for depth, part in enumerate(original))
            guess = original in guessed
            if not _is_inside(location, earlier):
                draft.findings.append((draft.written(location), _message(model, location, entry, guess=guess)))
            if not _is_inside(location, repaired):
                repaired.add(_replace(content, location, entry, stand_in, draft, earlier))


def _message(model: type[BaseModel], location: Location, entry: ErrorDetails, *, guess: bool) -> str:
    if entry["type"] != "extra_forbidden":
        return message(entry)
    name, parent = str(location[-1]), _model_at(model, location[:-1])
    if parent is None or not guess:
        return f"unknown field {shown(name)}"
    foreign: Mapping[str, str] = getattr(parent, "foreign_fields", {})
    hint = foreign.get(name)
    return unknown_field(name, _fields(parent), hint if hint is not None else _owner(parent, name))


def _owner(model: type[BaseModel], name: str) -> str | None:
    """Return a hint for a field that one of the model's inner models has, under this name or a synonym."""
    found: str | None = None
    for outer, info in _fields(model).items():
        for inner in _inner(info.annotation):
            origin = get_origin(inner)
            inner_model = _model_of(get_args(inner)[-1] if origin in {list, dict} else inner)
            if inner_model is None:
                continue
            holder = f"each of {outer!r}" if origin in {list, dict} else repr(outer)
            if name in _fields(inner_model):
                return f"it is a field of {holder}"
            if found is None and (field := synonym(name, _fields(inner_model))):
                found = f"write {field!r} in {holder}"
    return found


def _replace_key(
    content: Any,
    entry: ErrorDetails,
    stand_in: Callable[[Location], Any],
    draft: Draft[M],
    renamed_keys: dict[Location, str],
) -> None:
    """Replace a key that is not valid by a stand-in, so that its value is checked too."""
    location = entry["loc"][:-1]
    draft.findings.append((draft.written(location), message(entry)))
    parent = _at(content, location[:-1])
    key = location[-1]
    if not isinstance(parent, dict) or key not in parent:
        return
    if stand_in(location) is REMOVE:
        parent.pop(key)
        draft.replaced[location] = MISSING
        return
    other = next(name for number in range(len(parent) + 1) if (name := f"stand_in_{number}") not in parent)
    parent[other] = parent.pop(key)
    renamed_keys[location] = other
    draft.renamed[*location[:-1], other] = key
    draft.new_keys.add((*location[:-1], other))


def _replace(
    content: Any,
    location: Location,
    entry: ErrorDetails,
    stand_in: Callable[[Location], Any],
    draft: Draft[M],
    earlier: Container[Location],
) -> Location:
    """Replace the value with a problem, or the innermost value around it that can be; return its location.

    ``earlier`` are the locations that were replaced in earlier passes, where the same would not help again.
    """
    location = _in_content(content, location)
    value = _at(content, location)
    if entry["type"] == "too_long" and isinstance(value, list | dict):
        most = entry["ctx"]["max_length"]
        for key in list(value)[most:] if isinstance(value, dict) else ():
            value.pop(key)
        if isinstance(value, list):
            del value[most:]
        draft.cut.add(location)
        return location
    new = REMOVE if entry["type"] == "extra_forbidden" else stand_in(location)
    if isinstance(new, Without):
        for name in new.fields:
            if isinstance(value, dict) and name in value:
                draft.replaced[*location, name] = value.pop(name)
        return location
    while location and (location in earlier or (new is REMOVE and not _is_removable(content, location))):
        location = location[:-1]
        new = stand_in(location)
    draft.replaced[location] = _at(content, location)
    if location and new is REMOVE:
        _at(content, location[:-1]).pop(location[-1])
    elif location:
        _at(content, location[:-1])[location[-1]] = new
    return location


def _is_removable(content: Any, location: Location) -> bool:
    return isinstance(_at(content, location[:-1]), dict) and _at(content, location) is not MISSING


def _is_inside(location: Location, locations: Container[Location]) -> bool:
    """Return whether one of ``locations`` is this location, or encloses it."""
    return any(location[:depth] in locations for depth in range(len(location) + 1))


def _in_content(content: Any, location: Location) -> Location:
    """Return the location, or the part of it that the input has: a model may read a text as a list with one item."""
    for depth in range(len(location)):
        if not isinstance(_at(content, location[:depth]), dict | list):
            return location[:depth]
    return location


def _at(content: Any, location: Location) -> Any:
    for part in location:
        if isinstance(content, dict):
            content = content.get(part, MISSING)
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            content = content[part]
        else:
            return MISSING
    return content
