"""Values as Terraform sends them: how they are encoded, and how a block's attributes are changed one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgpack

from offline.provider.schema import Attribute, Block, Type

UNKNOWN: Final = msgpack.ExtType(0, b"\x00")
"""The value that is known only after an apply."""

Change = Callable[[str, Attribute, Any], Any]
"""Takes an attribute's name, what the schema says of it, and its value; returns the value to put in its place."""


def decode(message: Any) -> Any:
    """Decode a ``DynamicValue``; an unknown value is an ``msgpack.ExtType``."""
    if message.msgpack:
        return msgpack.unpackb(message.msgpack, ext_hook=msgpack.ExtType, strict_map_key=False)
    return json.loads(message.json) if message.json else None


def encode(value: Any) -> bytes:
    """Encode a value as the ``msgpack`` of a ``DynamicValue``."""
    packed: bytes = msgpack.packb(value)
    return packed


def is_unknown(value: Any) -> bool:
    """Return whether a value is known only after an apply."""
    return isinstance(value, msgpack.ExtType)


def change(block: Block, value: Any, by: Change) -> Any:
    """Return a block's value with every attribute, those of nested blocks too, replaced by what ``by`` returns."""
    if not isinstance(value, dict):
        return value
    changed = dict(value)
    for name, attribute in block.attributes.items():
        changed[name] = by(name, attribute, value.get(name))
    for name, nested in block.blocks.items():
        inner = value.get(name)
        if isinstance(inner, list):
            changed[name] = [change(nested.block, one, by) for one in inner]
        elif isinstance(inner, dict) and nested.nesting == "map":
            changed[name] = {key: change(nested.block, one, by) for key, one in inner.items()}
        else:
            changed[name] = change(nested.block, inner, by)
    return changed


def without_write_only(_name: str, attribute: Attribute, value: Any) -> Any:
    """Drop what must be in no plan and in no state."""
    return None if attribute.write_only else value


def is_open(attribute: Attribute, value: Any) -> bool:
    """Return whether the provider has to find a value: one that is computed and that the configuration leaves out."""
    return attribute.computed and (value is None or is_unknown(value))


def empty(block: Block) -> dict[str, Any]:
    """Return a block's value with nothing set."""
    nothing: dict[str, Any] = dict.fromkeys(block.attributes)
    for name, nested in block.blocks.items():
        nothing[name] = {"list": [], "set": [], "map": {}}.get(nested.nesting)
    return nothing


def blank(of_type: Type) -> Any:
    """Return the empty value of a type."""
    if isinstance(of_type, str):
        return {"bool": False, "number": 0}.get(of_type, "")
    kind, inner = of_type
    if kind == "object":
        return {name: blank(one) for name, one in inner.items()}
    return {} if kind == "map" else []
