"""Reads Atlantis' YAML with the line of every value. It may hold merge keys, which ``.iac-ci.yml`` refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import yaml

from iac_ci_cli.errors import CommandFailed, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 1024 * 1024
"""Largest file that is converted, in bytes."""

_MAX_DEPTH: Final = 20
_MAX_VALUES: Final = 200_000
_MERGE: Final = "<<"


@dataclass(frozen=True, slots=True)
class Item:
    """A value with its line: a mapping, a list, or a scalar as its text; None for nothing."""

    line: int
    value: dict[str, Item] | list[Item] | str | None

    def get(self, name: str) -> Item | None:
        """Return a value of a mapping, None for anything else."""
        return self.value.get(name) if isinstance(self.value, dict) else None

    @property
    def text(self) -> str:
        """The text of a scalar, empty for anything else."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def is_true(self) -> bool:
        """Whether a scalar is true in YAML."""
        return self.text.lower() == "true"

    @property
    def is_list(self) -> bool:
        """Whether it is a list, or nothing."""
        return self.value is None or isinstance(self.value, list)

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping, or nothing."""
        return self.value is None or isinstance(self.value, dict)

    def entries(self) -> Iterator[tuple[str, Item]]:
        """Yield the values of a mapping by name."""
        if isinstance(self.value, dict):
            yield from self.value.items()

    def items(self) -> list[Item]:
        """Return the items of a list; a scalar is a list of one."""
        if isinstance(self.value, list):
            return self.value
        return [] if self.value is None or isinstance(self.value, dict) else [self]


def read_file(content: bytes, name: str) -> Item:
    """Return the first document of a file, the only one that Atlantis reads.

    Raises ``CommandFailed`` for a file that Atlantis refuses as a whole, with the line.
    """
    if len(content) > MAX_BYTES:
        raise CommandFailed(f"{name} has more than {MAX_BYTES} bytes", exit_code=ExitCode.BAD_INPUT)
    try:
        root = next(iter(yaml.compose_all(content.decode("utf-8-sig"), yaml.SafeLoader)), None)
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{name} is not UTF-8 text", exit_code=ExitCode.BAD_INPUT) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f"line {mark.line + 1}: "
        raise CommandFailed(f"{name}: {line}is no YAML: {error.problem}", exit_code=ExitCode.BAD_INPUT) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise CommandFailed(f"{name} is no YAML", exit_code=ExitCode.BAD_INPUT) from error
    if not isinstance(root, yaml.MappingNode):
        raise CommandFailed(f"{name}: line 1: is no mapping", exit_code=ExitCode.BAD_INPUT)
    return _Reader(name).item(root, 0)


def second_document(content: bytes) -> int | None:
    """Return the line of a file's second document, None if it has none. Nobody reads it."""
    documents = yaml.compose_all(content.decode("utf-8-sig", "replace"), yaml.SafeLoader)
    try:
        next(documents, None)
        second = next(documents, None)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        return None if mark is None else int(mark.line) + 1
    return None if second is None else int(second.start_mark.line) + 1


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._values = 0

    def item(self, node: yaml.Node, depth: int) -> Item:
        line = node.start_mark.line + 1
        self._values += 1
        if depth > _MAX_DEPTH or self._values > _MAX_VALUES:
            raise self._refused(line, "has too many values, or values too deep inside each other")
        if isinstance(node, yaml.MappingNode):
            return Item(line, self._mapping(node, depth))
        if isinstance(node, yaml.SequenceNode):
            return Item(line, [self.item(child, depth + 1) for child in node.value])
        return Item(line, None if node.tag == "tag:yaml.org,2002:null" else str(node.value))

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Item]:
        own: dict[str, Item] = {}
        merged: dict[str, Item] = {}
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            if name == _MERGE and key.style is None:
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged = {**dict(self.item(source, depth + 1).entries()), **merged}
            elif name in own:
                raise self._refused(
                    line,
                    f"repeats the key {name!a} of line {own[name].line}, which Atlantis refuses: are these two files?",
                )
            else:
                found = self.item(value, depth + 1)
                own[name] = Item(line, found.value)
        return {**merged, **own}

    def _refused(self, line: int, problem: str) -> CommandFailed:
        return CommandFailed(f"{self._name}: line {line}: {problem}", exit_code=ExitCode.BAD_INPUT)


__all__ = ["MAX_BYTES", "Item", "read_file", "second_document"]
