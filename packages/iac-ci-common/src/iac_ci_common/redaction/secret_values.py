"""Which texts are secret: whole values, and in structured ones their leaves.

A structured secret (JSON, YAML, PEM, ``KEY=value`` lines, a connection string) is seldom printed whole: ``jq`` takes a
leaf out of it. So each leaf at every depth is secret too, except what would be masked everywhere without hiding
anything: truth values, null, numbers of fewer than six digits, and what stands under a key of ``PLAIN_KEYS``.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from iac_ci_common.limits import MIN_MASKED_CHARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MINIMUM_LINE_CHARS: Final = 8
"""Shortest line of a value of several lines that is masked by itself."""

MINIMUM_DIGITS: Final = 6
"""A number of fewer digits is no secret: ports, counts and years would be masked in all output."""

PLAIN_KEYS: Final = frozenset(
    {
        # What the databases' secrets of AWS Secrets Manager hold beside the password.
        "engine", "engineversion", "host", "hostname", "port", "dbname", "database", "schema", "username", "user",
        "dbinstanceidentifier", "dbclusteridentifier", "ssl", "sslmode", "protocol", "scheme", "driver", "charset",
        # Where and what something is.
        "region", "zone", "location", "environment", "env", "stage", "type", "kind", "name", "version", "apiversion",
        "format", "encoding", "alg", "algorithm", "kty", "use", "output", "enabled", "debug", "loglevel", "timezone",
        # kubeconfig, and Google's service accounts.
        "server", "cluster", "context", "currentcontext", "namespace", "projectid", "authuri", "tokenuri",
        "authproviderx509certurl", "clientx509certurl", "universedomain",
    }
)  # fmt: skip
"""Keys whose values are not secret by themselves: lower case, without ``-``, ``_`` and ``.``."""

_WORDS: Final = frozenset({"true", "false", "null", "none", "nil", "undefined"})
_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9.,_]*")
_PEM: Final = re.compile(r"-----BEGIN [^-\n]+-----(.*?)-----END [^-\n]+-----", re.DOTALL)
_PEM_BORDER: Final = re.compile(r"-----(?:BEGIN|END) [^-\n]+-----")
_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*[=:]\s*(.*?)\s*")
_NO_ASSIGNMENT: Final = re.compile(r"\s*(?:[#;].*|\[[^\]]*\]\s*)?")
_USER_INFO: Final = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s:@]*:([^/\s]+)@")
_PART: Final = re.compile(r"\s*([A-Za-z][\w ]*?)\s*=\s*(.*?)\s*")
_SECRET_PART: Final = re.compile(r"pass|pwd|secret|key|token|signature|credential", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"(?i)(?<![\w.-])(?P<name>[\w.-]{0,64}?(?:pass|pwd|secret|key|token|sig|credential)[\w.-]{0,64})[\"']?\s*[=:]\s*"
    r"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|\{[^}\n]*\}|[^\s;&,\"'\]}]+)"
    r"|\b(?:password|bearer|basic)[ \t]+(?P<word>[^\s;&,\"']{8,})"
)
"""A value behind a name that tells that it is secret: in URLs, JDBC, libpq, netrc, headers, HCL and YAML's braces."""

_USER_AND_PASSWORD: Final = re.compile(r"[^\s:]+:(\S+)")
"""What HTTP's basic authentication has in base64, and so ``config.json`` of Docker (RFC 7617, section 2)."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]{16,}={0,2}\s*")
_YAML_LINE: Final = re.compile(
    r"\s*(?:- +)*(?:(?P<key>[\w./-]+|\"[^\"]*\"|'[^']*') *:(?=\s|$))?(?P<value>(?:(?<=- )|(?<=:)|(?<=: )).*|)"
)
_YAML_BLOCK: Final = re.compile(r"[|>][-+0-9]*")
_MAX_DEPTH: Final = 16
_MAX_STRUCTURED_CHARS: Final = 512 * 1024


@dataclass(slots=True)
class Value:
    """A text that is secret. ``inside`` are the values of which it is a part."""

    text: str = field(repr=False)
    inside: list[Value] = field(default_factory=list, repr=False)
    searched: bool = True
    """False for a structured value: it is recognised by its secret leaves, never by what is usual in it."""


def is_plain_key(key: str) -> bool:
    """Return whether what stands under a key is no secret by itself."""
    return re.sub(r"[-_. ]", "", key).lower() in PLAIN_KEYS


def is_usual(text: str) -> bool:
    """Return whether a text is too usual to be a secret: short, a truth value, null, or a short number."""
    bare = text.strip()
    if len(bare) < MIN_MASKED_CHARS or bare.lower() in _WORDS:
        return True
    return _NUMBER.fullmatch(bare) is not None and sum(map(str.isdigit, bare)) < MINIMUM_DIGITS


def secret_values(texts: Iterable[str], *, also: Iterable[str] = (), never: Iterable[str] = ()) -> list[Value]:
    """Return every distinct text to mask.

    ``also`` are masked whatever they are, from ``MIN_MASKED_CHARS`` on; ``never`` are not, neither whole nor as leaves.
    """
    collection = _Collection(frozenset(text for given in never for text in (given, given.strip())))
    for text in texts:
        collection.add(text)
    for text in also:
        if len(text) >= MIN_MASKED_CHARS:
            collection.put(text, None)
    return list(collection.values.values())


def secret_parts_of_plain(text: str) -> Iterator[str]:
    """Return what is secret in the value of a plain key: the leaves of JSON, and what stands within a text."""
    document = _document(text)
    if isinstance(document, dict | list):
        yield from _leaves(document, 0)
    else:
        yield from _inside_a_line(text)


class _Collection:
    def __init__(self, never: frozenset[str]) -> None:
        self.values: dict[str, Value] = {}
        self._never = never

    def add(self, text: str, parent: Value | None = None, depth: int = 0) -> None:
        """Take a value and what is secret in it."""
        if is_usual(text) or text in self._never or text.strip() in self._never or not _can_be_printed(text):
            return
        known = text in self.values
        value = self.put(text, parent)
        if known or depth >= _MAX_DEPTH or len(text) > _MAX_STRUCTURED_CHARS:
            return
        parts = list(_parts(text))
        if _document(text) is None and not _PEM_BORDER.search(text):
            parts += _named(text)
        for part in parts:
            self.add(part, value, depth + 1)
        if text != text.strip():
            self.add(text.strip(), value, depth + 1)
        if any(part in self.values for part in parts) and all(map(_can_be_printed, parts)):
            value.searched = False
        if (decoded := _base64_text(text)) is not None:
            self.add(decoded, None, depth + 1)
            if pair := _USER_AND_PASSWORD.fullmatch(decoded):
                self.add(pair[1], None, depth + 1)

    def put(self, text: str, parent: Value | None) -> Value:
        value = self.values.setdefault(text, Value(text))
        if parent is not None and parent is not value and all(one is not parent for one in value.inside):
            value.inside.append(parent)
        return value


def _can_be_printed(text: str) -> bool:
    """Return whether a text has bytes: half of a pair of surrogates, which JSON can name, has none."""
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _parts(text: str) -> Iterator[str]:
    """Find what is secret by itself in a value: the first reading that makes sense counts."""
    if (document := _document(text)) is not None:
        yield from _leaves(document, 0)
    elif (leaves := _yaml(text)) is not None:
        yield from leaves
    elif _PEM_BORDER.search(text):
        yield from _PEM.findall(text)
        yield from _lines(_PEM.sub("", text))
    elif (assignments := _assignments(text)) is not None:
        yield from assignments
    elif "\n" in text.strip():
        yield from _lines(text)
    else:
        yield from _inside_a_line(text)


def _named(text: str) -> Iterator[str]:
    for match in _NAMED.finditer(text):
        if match["word"] is not None:
            yield match["word"]
        elif not is_plain_key(match["name"]):
            value = match["value"]
            yield value[1:-1] if value[:1] in {'"', "'", "{"} else value


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if len(line.strip()) >= MINIMUM_LINE_CHARS:
            yield line.strip()


def _document(text: str) -> Any:
    """Read a JSON object or list; None where the text is none."""
    bare = text.strip()
    if bare[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(bare)
    except (ValueError, RecursionError):
        return None


def _leaves(node: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(node, dict):
        for key, below in node.items():
            if isinstance(below, dict | list) or not is_plain_key(str(key)):
                yield from _leaves(below, depth + 1)
            elif isinstance(below, str):
                yield from _inside_a_line(below)
    elif isinstance(node, list):
        for below in node:
            yield from _leaves(below, depth + 1)
    elif isinstance(node, str):
        yield node
    elif node is not None and not isinstance(node, bool):
        yield str(node)


def _assignments(text: str) -> list[str] | None:
    """Read ``KEY=value`` lines, with sections or without; None where a line is something else."""
    found: list[str] = []
    lines = text.splitlines()
    for line in lines:
        if match := _ASSIGNMENT.fullmatch(line):
            value = match.group(2)
            if value[:1] in {'"', "'"} and value[-1:] == value[:1]:
                value = value[1:-1]
            found += _inside_a_line(value) if is_plain_key(match.group(1)) else [value]
        elif not _NO_ASSIGNMENT.fullmatch(line):
            return None
    return found if len(lines) > 1 else None


def _yaml(text: str) -> list[str] | None:
    """Read the leaves of YAML as people and tools write it: keys, lists, quoted and block scalars, comments.

    None where a line is something else; a value in braces is a leaf as it stands. The worker installs no YAML library.
    """
    lines = text.splitlines()
    found: list[str] = []
    keys = index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if not line.strip() or line.lstrip().startswith(("#", "---")):
            continue
        match = _YAML_LINE.fullmatch(line)
        if match is None:
            return None
        keys += match["key"] is not None
        value = match["value"].strip()
        if _YAML_BLOCK.fullmatch(value):
            indent = len(line) - len(line.lstrip())
            block: list[str] = []
            while index < len(lines) and (not lines[index].strip() or _indent(lines[index]) > indent):
                block.append(lines[index])
                index += 1
            value = textwrap.dedent("\n".join(block)).strip("\n")
        elif value[:1] in {'"', "'"} and value[-1:] == value[:1]:
            value = _unquoted(value)
        if value:
            is_plain = match["key"] is not None and is_plain_key(match["key"].strip("\"'"))
            found += _inside_a_line(value) if is_plain else [value]
    return found if keys and len(lines) > 1 else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _unquoted(value: str) -> str:
    if value.startswith("'"):
        return value[1:-1].replace("''", "'")
    try:
        return str(json.loads(value))
    except ValueError:
        return value[1:-1]


def _inside_a_line(text: str) -> Iterator[str]:
    """Find the password in a connection string."""
    for password in _USER_INFO.findall(text):
        yield password
        yield unquote(password)
    parts = [_PART.fullmatch(part) for part in text.split(";") if part.strip()]
    if len(parts) > 1:
        for part in parts:
            if part is not None and _SECRET_PART.search(part.group(1)):
                yield part.group(2)


def _base64_text(text: str) -> str | None:
    """Return the text that a value holds in base64, as kubeconfigs and Kubernetes secrets do; None if it is none."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        decoded = base64.b64decode(text).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return decoded if all(one.isprintable() or one in "\n\r\t" for one in decoded) else None
