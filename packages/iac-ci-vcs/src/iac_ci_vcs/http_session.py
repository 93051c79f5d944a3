"""HTTP to a code host: patient with its limits, bounded by a deadline, asking again only for what has changed.

Every provider speaks through this session, the client libraries included: what they know of waiting has no deadline,
and they know no conditional requests.
"""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.auth import AuthBase

from iac_ci_common.errors import NotFound, PortFailed, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STEP_SECONDS: Final = 10
"""Longest wait for a connection and for each piece of an answer: hosts promise to answer within ten seconds (GitHub
REST API, "Troubleshooting the REST API")."""

_SECONDARY_SECONDS: Final = 60
"""What GitHub asks for where it names no time (GitHub REST API, "Rate limits for the REST API")."""

_ATTEMPTS: Final = 4
_REMEMBERED: Final = 128
_REMEMBERED_BYTES: Final = 1024 * 1024
_REASON_CHARS: Final = 200
_FAILED_HOST: Final = frozenset({500, 502, 503, 504})


class BearerAuth(AuthBase):
    """Writes the token into each request's header; a token that expires is minted when it is needed."""

    def __init__(self, token: Callable[[], str]) -> None:
        """Keep the source of the token."""
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header. Having an ``auth`` also keeps ``requests`` from looking into ``~/.netrc``."""
        request.headers["Authorization"] = f"Bearer {self.token()}"
        return request


class HostSession(requests.Session):
    """A session with one host. Not for several threads at once."""

    def __init__(self, host: str, auth: AuthBase, *, seconds: float) -> None:
        """``seconds`` bounds each use of ``doing`` with all its requests, retries and waits."""
        super().__init__()
        self.host = host
        self.auth = auth
        self.headers["User-Agent"] = "iac-ci"
        self._seconds = seconds
        self._deadline: float | None = None
        self._repeatable = True
        self._remembered: OrderedDict[tuple[str, str], requests.Response] = OrderedDict()

    @contextmanager
    def doing(self, what: str, *, repeatable: bool = True) -> Iterator[None]:
        """Start the deadline of one call and turn what goes wrong in it into the engine's errors.

        ``repeatable`` False keeps a request that the host may have carried out from being sent again.
        """
        outer = self._deadline, self._repeatable
        if self._deadline is None:
            self._deadline = time.monotonic() + self._seconds
        self._repeatable = repeatable
        try:
            yield
        except requests.RequestException as error:
            # The error's own text may hold a URL with a query; its name is enough.
            raise PortFailed(
                f"{self.host} did not answer for {what}: {type(error).__name__}", retry_is_safe=True
            ) from None
        finally:
            self._deadline, self._repeatable = outer

    def ask(self, method: str, url: str, what: str, **arguments: Any) -> requests.Response:
        """Send a request and give its good answer; raise ``NotFound`` or ``PortFailed`` with the host's reason."""
        return self.good(self.request(method, url, allow_redirects=method == "GET", **arguments), what)

    def good(self, response: requests.Response, what: str) -> requests.Response:
        """Return a good answer back; raise ``NotFound`` or ``PortFailed`` with the host's reason for any other."""
        if response.status_code < 300:
            return response
        raise refusal(self.host, what, response.status_code, _reason(response))

    def request(self, method: str, url: str, *arguments: Any, **named: Any) -> requests.Response:  # type: ignore[override]
        """Send a request, wait where the host asks for it, try again where it failed."""
        asked = requests.Request(method, url, params=named.get("params")).prepare().url or url
        key = (asked, (named.get("headers") or {}).get("Accept", ""))
        known = self._remembered.get(key) if method.upper() == "GET" and not named.get("stream") else None
        if known is not None:
            named["headers"] = {**(named.get("headers") or {}), "If-None-Match": known.headers["ETag"]}
        response = self._patiently(method, url, *arguments, **named)
        if known is not None and response.status_code == requests.codes.not_modified:
            self._remembered.move_to_end(key)
            return known
        if method.upper() == "GET" and response.ok and "ETag" in response.headers and not named.get("stream"):
            self._remember(key, response)
        return response

    def _remember(self, key: tuple[str, str], response: requests.Response) -> None:
        if len(response.content) <= _REMEMBERED_BYTES:
            self._remembered[key] = response
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)

    def _patiently(self, method: str, url: str, *arguments: Any, **named: Any) -> requests.Response:
        deadline = self._deadline if self._deadline is not None else time.monotonic() + self._seconds
        attempt = 0
        while True:
            attempt += 1
            left = deadline - time.monotonic()
            if left <= 0:
                raise PortFailed(f"{self.host} took more than {self._seconds:g} seconds", retry_is_safe=True)
            named["timeout"] = min(_STEP_SECONDS, left)
            try:
                response = super().request(method, url, *arguments, **named)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                # The last one: an answer that broke off in its middle.
                if not self._repeatable or attempt >= _ATTEMPTS:
                    raise
                self._wait(_backoff(attempt), deadline)
                continue
            asked = _asked_to_wait(response)
            if asked is not None:
                if asked > deadline - time.monotonic() or attempt > _ATTEMPTS:
                    raise Throttled(f"{self.host} asks for fewer requests", retry_after=asked)
                pause(asked + random.uniform(0, min(1.0, asked / 10 + 0.1)))  # noqa: S311 - no secret
                continue
            if response.status_code not in _FAILED_HOST or not self._repeatable or attempt >= _ATTEMPTS:
                return response
            self._wait(_backoff(attempt), deadline)

    @staticmethod
    def _wait(seconds: float, deadline: float) -> None:
        pause(max(0.0, min(seconds, deadline - time.monotonic())))


def pause(seconds: float) -> None:
    """Wait; the one place where this package does."""
    time.sleep(seconds)


def refusal(host: str, what: str, status: int, reason: str) -> PortFailed:
    """Return the error for a refused request, with the host's own reason, shortened."""
    said = f": {reason[:_REASON_CHARS]}" if reason else ""
    if status in {404, 410}:
        return NotFound(f"{host} has no {what}: HTTP {status}{said}")
    return PortFailed(f"{host} refused {what}: HTTP {status}{said}", retry_is_safe=status >= 500)


def _reason(response: requests.Response) -> str:
    try:
        said = response.json()
    except requests.JSONDecodeError:
        return ""
    if not isinstance(said, dict):
        return ""
    reason = said.get("message") or said.get("error") or ""
    if isinstance(reason, dict):
        reason = reason.get("message") or ""
    return reason if isinstance(reason, str) else str(reason)


def _backoff(attempt: int) -> float:
    # Full jitter: many functions that failed together do not come back together.
    return random.uniform(0.1, 0.5 * 2**attempt)  # noqa: S311 - no secret


def _asked_to_wait(response: requests.Response) -> float | None:
    """Return how long the host asks us to wait; None where it does not."""
    headers = response.headers
    unavailable = response.status_code == requests.codes.service_unavailable and "Retry-After" in headers
    if response.status_code == requests.codes.forbidden:
        limited = (
            "Retry-After" in headers
            or headers.get("X-RateLimit-Remaining") == "0"
            or "rate limit" in _reason(response).lower()
        )
        if not limited:
            return None
    elif response.status_code != requests.codes.too_many_requests and not unavailable:
        return None
    # The time of the reset counts where the limit by the hour is used up; a secondary limit lies beside it.
    spent = headers.get("X-RateLimit-Remaining", headers.get("RateLimit-Remaining", "0")) == "0"
    for name in ("Retry-After", *(("X-RateLimit-Reset", "RateLimit-Reset") if spent else ())):
        if (seconds := _seconds_until(headers.get(name))) is not None:
            return seconds
    return _SECONDARY_SECONDS


def _seconds_until(value: str | None) -> float | None:
    if value is None:
        return None
    if value.strip().isdigit():
        number = float(value)
        # A moment (seconds since 1970) or a time from now: nobody is asked to wait for thirty years.
        return max(0.0, number - time.time()) if number > 1e9 else number
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def json_of(response: requests.Response) -> Any:
    """Return an answer's JSON; a page of a proxy in its place is the host's failure."""
    try:
        return response.json()
    except requests.JSONDecodeError as error:
        raise PortFailed("the code host answered with something that is no JSON", retry_is_safe=True) from error


def read_bounded(response: requests.Response, what: str, max_bytes: int) -> bytes:
    """Read a streamed answer of at most so many bytes."""
    body = bytearray()
    with response:
        for chunk in response.iter_content(64 * 1024):
            body += chunk
            if len(body) > max_bytes:
                raise PortFailed(f"{what} is larger than {max_bytes} bytes")
    return bytes(body)


__all__ = ["BearerAuth", "HostSession", "json_of", "pause", "read_bounded", "refusal"]
