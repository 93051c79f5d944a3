"""Parses YAML with the line of every value, and refuses what parsers read differently.

The text comes from a repository, for pull requests from any user's. It is parsed event by event, so that depth and
aliases cost no more than the limits allow, and tags are never applied. Only ``true``, ``false``, ``null``, ``~``, the
empty value and plain decimal numbers are not text: YAML 1.1 would read ``on`` and ``no`` as booleans, ``010`` as eight
and ``1.10`` as a number without its zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    import yaml

MAX_BYTES: Final = 256 * 1024
"""Largest configuration, in bytes."""

MAX_DEPTH: Final = 16
"""Deepest nesting, with aliases expanded; a configuration needs eight levels."""

MAX_NODES: Final = 50_000
"""Most values of a configuration, with aliases expanded."""

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_UNREADABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_NOT_TEXT: Final = re.compile(r"[\x00\ud800-\udfff]")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_SYNTAX: Final = (
    ("'\\t'", "indent with spaces: YAML does not allow tabs there"),
    ("quoted scalar", "a quoted text has no closing quote or an unknown escape"),
    ("flow sequence", "a list in [ ] needs a comma or its closing bracket"),
    ("flow mapping", "a mapping in { } needs a comma or its closing brace"),
    ("mapping values are not allowed", "a colon is where no key is allowed; put text that contains a colon in quotes"),
    ("simple key", "a colon after a key is missing, or the indentation is wrong"),
    ("mapping keys are not allowed", "a key is where none is allowed; correct the indentation"),
    ("sequence entries are not allowed", "a list entry (-) is where none is allowed; correct the indentation"),
    ("block mapping", "the indentation differs from that of the keys before"),
    ("block collection", "the indentation differs from that of the entries before"),
    ("block sequence", "the indentation differs from that of the entries before"),
    ("block scalar", "the text after | or > is not indented like its first line"),
    ("cannot start any token", "a text begins with a character that YAML reserves; put it in quotes"),
    ("node content", "a value is missing"),
    ("anchor", "the name of an anchor (&) is missing or wrong"),
    ("alias", "the name of an alias (*) is missing or wrong; put a text that begins with * in quotes"),
    ("tag", "a tag (!) cannot be read; put a text that begins with ! in quotes"),
    ("directive", "a line that begins with % cannot be read; put a text that begins so in quotes"),
    ("document start", "text comes before the document, or two documents are not separated"),
    ("invalid indentation", "the indentation is wrong, or a bracket is not closed"),
)
"""Messages for PyYAML's errors; the first key that the error contains decides."""

_COMPOUND_KEY: Final = "has a list or a mapping as a key; put text that begins with {{ in quotes"

Part = str | int
"""A key of a mapping or an index of a list."""


@dataclass(slots=True)
class Node:
    """A value and its first line; for a mapping also the lines of its keys.

    ``size`` is the number of values in it, including itself, and ``height`` their deepest nesting, with aliases
    expanded.
    """

    line: int
    value: dict[str, Node] | list[Node] | str | int | bool | None
    key_lines: dict[str, int] = field(default_factory=dict)
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One problem: its line, its path as people write it, and its message."""

    line: int
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Document:
    """The parsed document: ``root`` as far as it could be parsed; ``is_whole`` is false if parsing had to stop."""

    root: Node | None
    findings: tuple[Finding, ...]
    is_whole: bool


class _Stop(Exception):
    def __init__(self, line: int, message: str) -> None:
        self.line = line
        self.message = message


def shown_path(path: tuple[Part, ...]) -> str:
    """Return a path as ``jobs.plan.orders[0].timeout``; other keys than plain words are quoted and cut."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _PLAIN_KEY.fullmatch(part) else ascii(part[:64])
            text += f".{shown}" if text else shown
    return text


def line_of(root: Node, path: tuple[Part, ...]) -> tuple[int, tuple[Part, ...]]:
    """Return the line of a path's value and the path itself; for a missing value those of its nearest parent."""
    node, line = root, root.line
    for depth, part in enumerate(path):
        if isinstance(node.value, dict) and isinstance(part, str) and part in node.value:
            node, line = node.value[part], node.key_lines[part]
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.line
        else:
            return line, path[:depth]
    return line, path


def plain(node: Node) -> object:
    """Return a value without its lines, with aliases expanded."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain(value) for value in node.value]
    return node.value


def read_document(content: bytes) -> Document:
    """Return one parsed YAML document; never raises for any bytes."""
    findings: list[Finding] = []
    try:
        text = _text(content)
        root = _Composer(findings).compose(text)
    except _Stop as stop:
        findings.append(Finding(stop.line, "", stop.message))
        return Document(None, tuple(findings), is_whole=False)
    return Document(root, tuple(findings), is_whole=True)


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _Stop(1, f"the configuration has more than {MAX_BYTES // 1024} KiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Stop(content.count(b"\n", 0, error.start) + 1, "the configuration is not UTF-8 text") from None
    if found := _UNREADABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _Stop(line, f"the configuration contains the character U+{ord(found[0]):04X}, which YAML does not allow")
    return text


@dataclass(slots=True)
class _Open:
    """A mapping or a list that is being parsed."""

    node: Node
    anchor: str | None
    path: tuple[Part, ...]
    key: str | None = None
    """The key whose value comes next; None if a key comes next."""
    key_line: int = 0
    keys: int = 0
    skipped: bool = False
    """The value that comes next belongs to a key that cannot be used."""


class _Composer:
    """Builds the tree of nodes from YAML's events, without recursion."""

    def __init__(self, findings: list[Finding]) -> None:
        self._findings = findings
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None

    def compose(self, text: str) -> Node:
        import yaml

        documents = 0
        for event in self._events(text):
            line = (event.start_mark.line if event.start_mark else 0) + 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Stop(line, "the file has more than one document; keep one")
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event, line)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event, line)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._check_tag(event.tag, line)
                value: dict[str, Node] | list[Node] = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._begin(Node(line, value), event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
        if self._root is None:
            raise _Stop(1, "the configuration is empty")
        return self._root

    def _events(self, text: str) -> Iterator[yaml.Event]:
        import yaml

        # The parser written in Python is always installed, parses the same everywhere and cannot corrupt memory.
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            found = f"{error.context or ''} {error.problem or ''}"
            message = next((ours for theirs, ours in _SYNTAX if theirs in found), "the text is not valid")
            raise _Stop((mark.line if mark else 0) + 1, f"is not YAML: {message}") from None
        except (yaml.YAMLError, ValueError, OverflowError):
            # The parser raises these for numbers in escapes and directives that are too large.
            raise _Stop(1, "is not YAML: an escape or a directive is not valid") from None

    def _path(self) -> tuple[Part, ...]:
        if not self._open:
            return ()
        above = self._open[-1]
        if isinstance(above.node.value, list):
            return (*above.path, len(above.node.value))
        return above.path if above.key is None else (*above.path, above.key)

    def _add_finding(self, line: int, message: str) -> None:
        self._findings.append(Finding(line, shown_path(self._path()), message))

    def _check_tag(self, tag: str | None, line: int) -> None:
        if tag is not None:
            self._add_finding(line, "has a tag (!…), which is not supported")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        self._check_tag(event.tag, line)
        text = event.value
        if _NOT_TEXT.search(text):
            self._add_finding(line, "contains a character that is not text")
            text = _NOT_TEXT.sub("", text)
        value: str | int | bool | None = text
        if event.style is None:
            if text in _CONSTANTS:
                value = _CONSTANTS[text]
            elif _INTEGER.fullmatch(text):
                value = int(text)
        node = Node(line, value)
        self._remember(event.anchor, node)
        self._attach(node)

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            # The anchor may be unknown, or it may contain the alias.
            raise _Stop(line, "an alias (*) has no anchor (&) before it")
        # The value is shared, so an alias costs nothing, but its expanded size is counted.
        self._attach(Node(line, node.value, node.key_lines, node.size, node.height))

    def _remember(self, anchor: str | None, node: Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    def _begin(self, node: Node, anchor: str | None) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise _Stop(node.line, f"is nested more than {MAX_DEPTH} levels deep")
        if anchor is not None:
            self._anchors.pop(anchor, None)
        self._open.append(_Open(node, anchor, self._path()))

    def _end(self) -> None:
        done = self._open.pop()
        self._remember(done.anchor, done.node)
        self._attach(done.node)

    def _attach(self, node: Node) -> None:
        if len(self._open) + node.height > MAX_DEPTH:
            raise _Stop(node.line, f"is nested more than {MAX_DEPTH} levels deep")
        if not self._open:
            self._root = node
            return
        above = self._open[-1]
        above.node.size += node.size
        if above.node.size > MAX_NODES:
            raise _Stop(node.line, f"has more than {MAX_NODES} values with aliases expanded")
        above.node.height = max(above.node.height, node.height + 1)
        if isinstance(above.node.value, list):
            above.node.value.append(node)
        elif above.key is None and not above.skipped:
            self._take_key(above, node)
        else:
            if above.key is not None and isinstance(above.node.value, dict):
                above.node.value[above.key] = node
                above.node.key_lines[above.key] = above.key_line
            above.key, above.skipped = None, False

    def _take_key(self, above: _Open, node: Node) -> None:
        above.keys += 1
        if not isinstance(node.value, str):
            compound = isinstance(node.value, list | dict)
            self._add_finding(node.line, _COMPOUND_KEY if compound else "has a key that is not text; put it in quotes")
            above.skipped = True
        elif node.value == "<<":
            self._add_finding(node.line, "has a merge key (<<), which is not supported; use defaults")
            above.skipped = True
        elif isinstance(above.node.value, dict) and node.value in above.node.value:
            self._add_finding(node.line, f"has the key {node.value[:64]!a} more than once")
            above.skipped = True
        else:
            above.key, above.key_line = node.value, node.line
