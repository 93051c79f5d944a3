"""A bucket in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote, urlsplit

from iac_ci_common.errors import AlreadyExists, NotFound, PortFailed, UrlExpired

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iac_ci_common.ports import Clock


class MemoryObjects:
    """A bucket whose presigned URLs (``memory://put/<key>?…``) work through ``use_url``."""

    def __init__(self, clock: Clock, on_create: Callable[[str], None] | None = None) -> None:
        """Start empty; ``on_create`` is called with each written key, like a bucket notification."""
        self._clock = clock
        self._on_create = on_create
        self._session = 0
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write or overwrite an object."""
        self.objects[key] = bytes(body)
        if self._on_create is not None:
            self._on_create(key)

    def create(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Write an object that must not exist."""
        if key in self.objects:
            raise AlreadyExists(f"{key} exists")
        self.put(key, body, content_type=content_type)

    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        """Return an object's bytes, at most ``max_bytes`` + 1 of them."""
        if key not in self.objects:
            raise NotFound(f"{key} does not exist")
        body = self.objects[key]
        return body if max_bytes is None else body[: max_bytes + 1]

    def exists(self, key: str) -> bool:
        """Return whether the object exists."""
        return key in self.objects

    def list(self, prefix: str, *, after: str | None = None) -> list[str]:
        """Return all keys with a prefix, sorted; with ``after`` those that sort after this key."""
        return sorted(key for key in self.objects if key.startswith(prefix) and key > (after or ""))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; a missing one is not an error."""
        for key in keys:
            self.objects.pop(key, None)

    def presign_get(self, key: str, *, seconds: int, save_as: str | None = None) -> str:
        """Return a URL that reads the object and is valid for ``seconds``."""
        return self._url("get", key, seconds)

    def presign_put(self, key: str, *, seconds: int, create_once: bool, length: int | None = None) -> str:
        """Return a URL that writes the object and is valid for ``seconds``."""
        return self._url("create" if create_once else "put", key, seconds, length)

    def use_url(self, url: str, body: bytes | None = None) -> bytes | None:
        """Write ``body`` to, or read from, a presigned URL.

        Raises ``UrlExpired`` if the URL, or the session that signed it (see ``end_sessions``), has ended.
        """
        parts = urlsplit(url)
        key = unquote(parts.path.removeprefix("/"))
        query = parse_qs(parts.query)
        if int(query["session"][0]) < self._session:
            raise UrlExpired(f"the session that signed the URL of {key} has ended")
        if self._clock.now() > datetime.fromisoformat(query["until"][0]):
            raise UrlExpired(f"the URL of {key} has expired")
        if "length" in query and int(query["length"][0]) != len(body or b""):
            raise PortFailed(f"the URL of {key} is for another length")
        if parts.netloc == "get":
            return self.get(key)
        write = self.create if parts.netloc == "create" else self.put
        write(key, body or b"")
        return None

    def end_sessions(self) -> None:
        """End the session that signed every URL until now; later ones are signed by another session."""
        self._session += 1

    def _url(self, action: str, key: str, seconds: int, length: int | None = None) -> str:
        until = quote((self._clock.now() + timedelta(seconds=seconds)).isoformat())
        bound = "" if length is None else f"&length={length}"
        return f"memory://{action}/{quote(key)}?until={until}&session={self._session}{bound}"
