"""Which texts are secret: whole values, and in structured ones their leaves.

A structured secret (JSON, YAML, PEM, ``KEY=value`` lines, a connection string) is seldom printed whole: ``jq`` takes a
leaf out of it. So each leaf at every depth is secret too, except what would be masked everywhere without hiding
anything: truth values, null, numbers of fewer than six digits, and what stands under a key of ``PLAIN_KEYS``.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from iac_ci_common.limits import MIN_MASKED_CHARS
from iac_ci_common.redaction import structures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
        # The usual variables of .env files.
        "awsregion", "awsdefaultregion", "nodeenv", "dbhost", "dbport", "dbuser", "pghost", "pgport", "pguser",
        "pgdatabase", "authsource",
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
_USER_INFO: Final = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://(?P<user>[^/?#\s:@]*)"
    r"(?::(?P<password>[^/\s]*(?=@)|[^\s]{0,512}(?=@)))?@"
)
"""Who a URL is for. A password that has ``/`` as it is ends at the last ``@``."""

_TOKEN_CHARS: Final = 20
"""Shortest user of a URL without a password that counts as a token: names are shorter, tokens of code hosts longer."""

_SECRET_PART: Final = re.compile(r"pass|pwd|secret|key|token|signature|credential", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"(?i)(?<![\w.-])(?P<name>[\w.-]{0,64}?(?:pass|pwd|secret|key|token|sig|credential)[\w.-]{0,64})[\"']?\s*[=:]\s*"
    r"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|\{[^}\n]*\}|[^\s;&,\"'\]}]+)"
    r"|\b(?:password|bearer|basic)[ \t]+(?P<word>[^\s;&,\"']{8,})"
)
"""A value behind a name that tells that it is secret: in URLs, JDBC, libpq, netrc, headers, HCL and YAML's braces."""

_LONGEST_DECOMPOSED: Final = 128
"""Most characters of a value that is looked for with its accents apart too: 4,000 would take ten seconds to prepare."""

_USER_AND_PASSWORD: Final = re.compile(r"[^\s:]+:(\S+)")
"""What HTTP's basic authentication has in base64, and so ``config.json`` of Docker (RFC 7617, section 2)."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\s-]{7,}={0,2}\s*")
_FOR_URLS: Final = str.maketrans("-_", "+/")
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_KEY_BYTES: Final = frozenset({16, 24, 32, 48, 64})
"""Lengths of keys for AES and HMAC: other binary values are seldom written in another alphabet."""

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
    collection.add_other_forms()
    return list(collection.values.values())


def secret_parts_of_plain(text: str) -> Iterator[str]:
    """Return what is secret in the value of a plain key: the leaves of a structure, and what stands within a text."""
    found = structures.document(text) if "\n" in text.strip() else structures.json_entries(text)
    yield from _inside_a_line(text) if found is None else _secrets(found)


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
        if structures.json_entries(text) is None and not _PEM_BORDER.search(text):
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

    def add_other_forms(self) -> None:
        """Take each value also as programs write its characters that are not ASCII, and a key in other alphabets."""
        for value in list(self.values.values()):
            for form in (*_other_forms(value.text), *_other_alphabets(value.text)) if value.searched else ():
                if form not in self._never:
                    self.put(form, None)

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


def _other_forms(text: str) -> Iterator[str]:
    """Yield a text with its accents composed and, if it is short, decomposed (Unicode, UAX #15), and in Latin-1.

    Terraform composes every text. Perl prints characters of Latin-1 as such, unless the script sets an encoding.
    """
    if not text.isascii():
        composed = unicodedata.normalize("NFC", text)
        yield composed
        if len(composed) <= _LONGEST_DECOMPOSED:
            yield unicodedata.normalize("NFD", text)
        with contextlib.suppress(UnicodeEncodeError):
            yield composed.encode("latin-1").decode("utf-8", "surrogateescape")


def _other_alphabets(text: str) -> Iterator[str]:
    """Yield a key that is written in base64 or hexadecimal as programs write it that want the other one, or the
    alphabet for URLs: ``openssl enc -K``, the keys of S3 and of Fernet.
    """
    bare = text.strip()
    key = bytes.fromhex(bare) if _HEX.fullmatch(bare) and len(bare) % 2 == 0 else _base64_bytes(bare)
    if key is not None and len(key) in _KEY_BYTES:
        yield key.hex()
        yield key.hex().upper()
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(key).decode().rstrip("=")


def _parts(text: str) -> Iterator[str]:
    """Find what is secret by itself in a value: the first reading that makes sense counts."""
    if (found := structures.document(text)) is not None:
        yield from _secrets(found)
    elif _PEM_BORDER.search(text):
        yield from _PEM.findall(text)
        yield from _lines(_PEM.sub("", text))
    elif (found := structures.assignments(text)) is not None:
        yield from _secrets(found)
    elif "\n" in text.strip():
        yield from _lines(text)
    else:
        yield from _inside_a_line(text)


def _secrets(entries: Iterable[structures.Entry]) -> Iterator[str]:
    for key, value in entries:
        if key is not None and is_plain_key(key):
            yield from _inside_a_line(value)
        else:
            yield value


def _named(text: str) -> Iterator[str]:
    for match in _NAMED.finditer(text):
        if match["word"] is not None:
            yield match["word"]
        elif not is_plain_key(match["name"]):
            value = match["value"]
            yield value[1:-1] if value[:1] in {'"', "'", "{"} else value


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if len(line.strip()) >= structures.MINIMUM_LINE_CHARS:
            yield line.strip()


def _inside_a_line(text: str) -> Iterator[str]:
    """Find the password in a connection string, and the token in a URL."""
    for match in _USER_INFO.finditer(text):
        secret = match["user"] if _user_is_token(match["user"], match["password"]) else match["password"]
        if secret:
            yield secret
            yield unquote(secret)
    for name, value in structures.parts(text):
        if _SECRET_PART.search(name):
            yield value


def _user_is_token(user: str, password: str | None) -> bool:
    """Return whether a URL's user is its secret: GitHub takes a token alone, and before ``x-oauth-basic``."""
    return len(user) >= _TOKEN_CHARS if password is None else password in {"", "x-oauth-basic"}


def _base64_text(text: str) -> str | None:
    """Return the text that a value holds in base64, as kubeconfigs and Kubernetes secrets do; None if it is none.

    The alphabet for URLs counts too, and the signs at the end may be left out (RFC 4648, section 5).
    """
    decoded = _base64_bytes(text)
    try:
        plain = None if decoded is None else decoded.decode("utf-8")
    except ValueError:
        return None
    return plain if plain is not None and all(one.isprintable() or one in "\n\r\t" for one in plain) else None


def _base64_bytes(text: str) -> bytes | None:
    if not _BASE64.fullmatch(text):
        return None
    bare = "".join(text.split()).rstrip("=").translate(_FOR_URLS)
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
