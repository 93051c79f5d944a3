"""Sends signed webhooks, each as its host signs it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from iac_ci_common.errors import PortFailed
from iac_ci_local.fake_hosts.github.shape import GitHub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage

    Headers = Callable[[str, str, bytes, str], dict[str, str]]

SECONDS: Final = 10
"""Seconds that the hosts wait for an answer (for example GitHub Docs, "Handling failed webhook deliveries")."""

_MOST_ANSWERED: Final = 4096
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivery and its answer. ``status`` is None if there was no answer; ``answer`` is then the reason."""

    identity: str
    event: str
    action: str
    status: int | None
    answer: str
    at: datetime


class Deliveries:
    """Sends the deliveries of one webhook and records them. Thread-safe."""

    def __init__(
        self, url: str | None, secret: str, *, seconds: float = SECONDS, headers: Headers = GitHub.headers
    ) -> None:
        """Send to ``url``, signed with ``secret`` by ``headers``, and wait ``seconds`` for each answer.

        Without a URL, deliveries fail until ``send_to`` sets one.
        """
        self._secret = secret
        self.seconds = seconds
        """Seconds that the next deliveries wait for an answer."""

        self._headers = headers
        self._done: list[Delivered] = []
        self._changed = threading.Condition()
        self._url: str | None = None
        if url is not None:
            self.send_to(url)

    def send_to(self, url: str) -> None:
        """Send later deliveries to this ``http://`` or ``https://`` URL; raise ``PortFailed`` for any other."""
        if urlsplit(url).scheme not in {"http", "https"}:
            raise PortFailed(f"the webhook URL must start with http:// or https://: {url!r:.200}")
        self._url = url
        # Loopback needs no proxy, whatever the environment says; and the hosts follow no redirects.
        proxies = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in _LOOPBACK else []
        self._opener = urllib.request.build_opener(_NoRedirect(), *proxies)

    @property
    def done(self) -> list[Delivered]:
        """The deliveries so far, in the order of their answers."""
        with self._changed:
            return list(self._done)

    def send(self, event: str, payload: Mapping[str, Any], *, identity: str | None = None) -> Delivered:
        """Send an event and return the delivery; ``identity`` repeats an earlier one. Never raises."""
        body = json.dumps(payload, separators=(",", ":")).encode()
        named = identity or str(uuid.uuid4())
        status, answer = (
            (None, b"no webhook URL is set") if self._url is None else self._post(self._url, event, named, body)
        )
        action = payload.get("action") or (payload.get("object_attributes") or {}).get("action") or ""
        delivered = Delivered(named, event, str(action), status, answer.decode("utf-8", "replace"), datetime.now(UTC))
        with self._changed:
            self._done.append(delivered)
            self._changed.notify_all()
        return delivered

    def _post(self, url: str, event: str, named: str, body: bytes) -> tuple[int | None, bytes]:
        request = urllib.request.Request(  # noqa: S310 - http and https only, see send_to
            url, body, self._headers(event, named, body, self._secret), method="POST"
        )
        try:
            with self._opener.open(request, timeout=self.seconds) as response:
                return response.status, response.read(_MOST_ANSWERED)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read(_MOST_ANSWERED)
        except OSError as error:
            return None, f"no answer: {type(error).__name__}".encode()

    def wait_for(self, count: int, *, seconds: float) -> bool:
        """Wait until ``count`` deliveries were sent; return False after ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._done) >= count, seconds)

    def begin(self, event: str, payload: Mapping[str, Any]) -> Callable[[], None]:
        """Send an event in another thread; return a function that waits for its end."""
        thread = threading.Thread(target=self.send, args=(event, payload), daemon=True)
        thread.start()
        return lambda: thread.join(self.seconds * 2)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Return None, so that the redirect itself is the answer."""


__all__ = ["SECONDS", "Delivered", "Deliveries"]
