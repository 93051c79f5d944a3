"""The provider's schema: read from the text file beside this one, and written as Terraform's plugin protocol has it.

The file has one attribute or block on a line, nested by two spaces:

    resource aws_ssm_parameter
      name string required
      value_wo string optional write_only
      tags map(string) optional
    resource aws_sqs_queue
      block redrive list 0 1
        target string required

A type is written as in Terraform. ``block NAME NESTING MIN MAX``: a MAX of 0 is no limit.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

VERSION: Final = "6.25.0"
FILE: Final = Path(__file__).with_name(f"aws-{VERSION}.schema")

_SECTION: Final = re.compile(r"^(provider|resource \S+|data \S+)\n(?:(?: .*|#.*)?\n)*", re.MULTILINE)

Type = str | list[Any]
"""A type in Terraform's JSON form: ``"string"`` or ``["list", "string"]`` or ``["object", {"a": "string"}]``."""


@dataclass(slots=True)
class Attribute:
    """One argument or result of a block."""

    type: Type
    required: bool = False
    optional: bool = False
    computed: bool = False
    write_only: bool = False


@dataclass(slots=True)
class Nested:
    """A block inside of a block."""

    nesting: str
    min_items: int
    max_items: int
    block: Block


@dataclass(slots=True)
class Block:
    """Attributes and nested blocks by name."""

    attributes: dict[str, Attribute] = field(default_factory=dict)
    blocks: dict[str, Nested] = field(default_factory=dict)


@dataclass(slots=True)
class Schema:
    """Everything that the provider offers."""

    provider: Block
    resources: Mapping[str, Block]
    data: Mapping[str, Block]


def read(text: str) -> Schema:
    """Read a schema; raise ``ValueError`` with the line's number where one cannot be read."""
    found = _read_all(text)
    return Schema(found["provider"].get("", Block()), found["resource"], found["data"])


def _read_all(text: str) -> dict[str, dict[str, Block]]:
    found: dict[str, dict[str, Block]] = {"provider": {}, "resource": {}, "data": {}}
    open_blocks: list[Block] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        content = line.lstrip(" ")
        depth, rest = divmod(len(line) - len(content), 2)
        if rest or depth > len(open_blocks):
            raise ValueError(f"line {number}: wrong indentation: {line!r}")
        del open_blocks[depth:]
        try:
            block = _top(found, content) if depth == 0 else _member(open_blocks[-1], content)
        except (LookupError, ValueError, TypeError) as error:
            raise ValueError(f"line {number}: {line!r}: {error}") from error
        if block is not None:
            open_blocks.append(block)
    return found


def _top(found: dict[str, dict[str, Block]], content: str) -> Block:
    kind, _, name = content.partition(" ")
    return found[kind].setdefault(name, Block())


def _member(parent: Block, content: str) -> Block | None:
    words = content.split(" ")
    if words[0] == "block":
        _, name, nesting, least, most = words
        nested = Nested(nesting, int(least), int(most), Block())
        parent.blocks[name] = nested
        return nested.block
    name, written, *marks = words
    parent.attributes[name] = Attribute(parse_type(written), **dict.fromkeys(marks, True))
    return None


@functools.cache
def parse_type(written: str) -> Type:
    """Parse ``list(object({a=string}))`` into Terraform's JSON form; raise ``ValueError`` where that is no type."""
    found, rest = _parse(written)
    if rest:
        raise ValueError(f"{rest!r} is left of the type {written!r}")
    return found


def _parse(text: str) -> tuple[Type, str]:
    for primitive in ("string", "number", "bool", "dynamic"):
        if text.startswith(primitive):
            return primitive, text.removeprefix(primitive)
    for collection in ("list", "set", "map"):
        if text.startswith(f"{collection}("):
            inner, rest = _parse(text[len(collection) + 1 :])
            return [collection, inner], _expect(")", rest)
    rest = _expect("object({", text)
    fields: dict[str, Type] = {}
    while not rest.startswith("})"):
        name, _, rest = rest.removeprefix(",").partition("=")
        fields[name], rest = _parse(rest)
    return ["object", fields], rest[2:]


def _expect(start: str, text: str) -> str:
    if not text.startswith(start):
        raise ValueError(f"{start!r} is missing before {text!r}")
    return text.removeprefix(start)


def write_type(of_type: Type) -> str:
    """Write a type as ``parse_type`` reads it."""
    if isinstance(of_type, str):
        return of_type
    kind, inner = of_type
    if kind == "object":
        return "object({" + ",".join(f"{name}={write_type(inner[name])}" for name in sorted(inner)) + "})"
    return f"{kind}({write_type(inner)})"


class _Unread(Mapping[str, Block]):
    """Blocks of which each is read when it is first asked for."""

    def __init__(self, kind: str, texts: dict[str, str]) -> None:
        self._kind = kind
        self._texts = {name.removeprefix(kind): text for name, text in texts.items() if name.startswith(kind)}
        self._read: dict[str, Block] = {}

    def __getitem__(self, name: str) -> Block:
        if name not in self._read:
            self._read[name] = _read_all(self._texts[name])[self._kind.strip()][name]
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def load() -> Schema:
    """Return the schema in the file beside this module; a resource's block is read when it is first asked for."""
    texts = {match[1]: match[0] for match in _SECTION.finditer(FILE.read_text("utf-8"))}
    return Schema(read(texts["provider"]).provider, _Unread("resource ", texts), _Unread("data ", texts))
