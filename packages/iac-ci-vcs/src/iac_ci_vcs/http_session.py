"""HTTP to a code host, with rate limits, retries, a deadline and conditional requests.

Every provider and client library uses this session: the libraries' own waits have no deadline, and they send no
conditional requests.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections import OrderedDict
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from iac_ci_common.errors import NotFound, PortFailed, Throttled
from iac_ci_vcs.checked_adapter import CheckedAdapter
from iac_ci_vcs.network_addresses import check_literal, local_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STEP_SECONDS: Final = 10
"""Longest wait for a connection and for each part of a response: GitHub ends requests after ten seconds (GitHub REST
API, "Troubleshooting the REST API")."""

_SECONDARY_SECONDS: Final = 60
"""Wait after a secondary rate limit without a named time (GitHub REST API, "Rate limits for the REST API")."""

_LIMITED: Final = ("rate limit", "abuse detection")
"""Words of the reason of a request that a limit refuses; GitHub Enterprise has the second ones in older versions."""

_ATTEMPTS: Final = 4
_REMEMBERED: Final = 128
_REMEMBERED_BYTES: Final = 1024 * 1024
_REASON_CHARS: Final = 200
_SAME_METHOD: Final = frozenset({307, 308})
"""Redirects that are followed with the same method and body (RFC 9110, sections 15.4.8 and 15.4.9)."""

_FAILED_HOST: Final = frozenset({500, 502, 503, 504})


class BearerAuth(AuthBase):
    """Adds the token to each request's header; the source is called for every request, so that tokens may expire."""

    def __init__(self, token: Callable[[], str]) -> None:
        """Keep the source of the token."""
        self.token = token
        self.last = ""
        """The token of the last request."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header. An ``auth`` object also keeps ``requests`` from reading ``~/.netrc``."""
        self.last = self.token()
        request.headers["Authorization"] = f"Bearer {self.last}"
        return request


class HostSession(requests.Session):
    """A session with one host. Use it from one thread at a time."""

    def __init__(self, host: str, auth: AuthBase, *, root: str, seconds: float) -> None:
        """Limit each use of ``doing`` to ``seconds``, with all its requests, retries and waits.

        ``root`` is the API's URL. Requests to addresses of this machine raise ``AddressRefused``, unless ``root`` is
        the local cloud's code host and they are for it.
        """
        super().__init__()
        self._root = root.rstrip("/")
        self._local = local_host(root)
        for scheme in ("https://", "http://"):
            self.mount(scheme, CheckedAdapter())
        if self._local is not None:
            self.mount(f"http://{self._local}/", requests.adapters.HTTPAdapter())
        self.host = host
        self.auth = auth
        self.headers["User-Agent"] = "iac-ci"
        self._seconds = seconds
        self._deadline: float | None = None
        self._repeatable = True
        self._remembered: OrderedDict[tuple[str, str, str], requests.Response] = OrderedDict()

    def send(self, request: requests.PreparedRequest, **named: Any) -> requests.Response:
        """Send a request or follow a redirect, not to an address of this machine."""
        parts = urlsplit(request.url or "")
        if parts.scheme != "http" or parts.netloc != self._local:
            check_literal(parts.hostname or "")
        return super().send(request, **named)

    @contextmanager
    def doing(self, subject: str, *, repeatable: bool = True) -> Iterator[None]:
        """Start the deadline of one call and raise its failures as ``PortFailed``; ``subject`` names it in messages.

        An answer of another form than the host's documentation describes is a failure too.

        With ``repeatable`` False, a request that the host may have carried out is not sent again.
        """
        outer = self._deadline, self._repeatable
        if self._deadline is None:
            self._deadline = time.monotonic() + self._seconds
        self._repeatable = repeatable
        try:
            yield
        except requests.RequestException as error:
            # The error's own text may hold a URL with a secret query, so only its name is shown.
            raise PortFailed(
                f"{self.host} did not answer for {subject}: {type(error).__name__}", retry_is_safe=True
            ) from None
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise PortFailed(
                f"{self.host} answered for {subject} in an unknown form ({type(error).__name__})"
            ) from error
        finally:
            self._deadline, self._repeatable = outer

    def ask(self, method: str, url: str, subject: str, **arguments: Any) -> requests.Response:
        """Send a request and return the response; raise ``NotFound`` or ``PortFailed`` with the host's reason."""
        return self.good(self.request(method, url, allow_redirects=method == "GET", **arguments), subject)

    def versioned(
        self, url: str, subject: str, *, known: str, **arguments: Any
    ) -> tuple[requests.Response | None, str]:
        """Return an answer and its version; None if the answer still has the version ``known`` of an earlier session.

        A version belongs to the token that read it, so it is only sent with that token. It is empty if the host's
        answer has none.
        """
        owner = self._owner()
        sent, _, tag = known.partition(" ")
        if tag and sent == owner:
            arguments["headers"] = {**(arguments.get("headers") or {}), "If-None-Match": tag}
        response = self.request("GET", url, **arguments)
        if response.status_code == requests.codes.not_modified:
            return None, known
        tag = self.good(response, subject).headers.get("ETag", "")
        return response, f"{owner} {tag}" if tag else ""

    def _owner(self) -> str:
        """Return a digest of the token, which does not show it."""
        token = self.auth.token() if isinstance(self.auth, BearerAuth) else ""
        if isinstance(self.auth, HTTPBasicAuth):
            token = f"{self.auth.username!s}:{self.auth.password!s}"
        return hashlib.sha256(token.encode()).hexdigest()[:16]

    def good(self, response: requests.Response, subject: str) -> requests.Response:
        """Return a response below 300; raise ``NotFound`` or ``PortFailed`` with the host's reason for any other."""
        if response.status_code < 300:
            return response
        raise refusal(self.host, subject, response.status_code, reason_of(response))

    def request(self, method: str, url: str, *arguments: Any, **named: Any) -> requests.Response:  # type: ignore[override]
        """Send a request; wait when the host asks for it, retry when the host or the network failed.

        Raises ``Throttled`` if the requested wait exceeds the deadline, ``PortFailed`` once the deadline has passed.
        """
        full_url = requests.Request(method, url, params=named.get("params")).prepare().url or url
        key = (self._caller(), full_url, (named.get("headers") or {}).get("Accept", ""))
        known = self._remembered.get(key) if method.upper() == "GET" and not named.get("stream") else None
        if known is not None:
            named["headers"] = {**(named.get("headers") or {}), "If-None-Match": known.headers["ETag"]}
        response = self._send_with_retries(method, url, *arguments, **named)
        if (new_url := self._new_url(method, response)) is not None:
            response = self._send_with_retries(method, new_url, *arguments, **named)
        key = (self._caller(), *key[1:])
        if known is not None and response.status_code == requests.codes.not_modified:
            self._remembered.move_to_end(key)
            return known
        if method.upper() == "GET" and response.ok and "ETag" in response.headers and not named.get("stream"):
            self._remember(key, response)
        return response

    def _new_url(self, method: str, response: requests.Response) -> str | None:
        """Return the URL of this API to which a request that writes is to be repeated; None if there is none.

        GitHub answers 307 for a repository that was renamed (google/go-github#184). What others redirect to is left.
        """
        if not self._root or method.upper() == "GET" or response.status_code not in _SAME_METHOD:
            return None
        new_url = response.headers.get("Location", "")
        return new_url if new_url.startswith(f"{self._root}/") else None

    def _caller(self) -> str:
        """Return the token: to another one, GitHub sends the whole answer again (eclipse-csi/otterdog#201)."""
        return self.auth.last if isinstance(self.auth, BearerAuth) else ""

    def _remember(self, key: tuple[str, str, str], response: requests.Response) -> None:
        if len(response.content) <= _REMEMBERED_BYTES:
            self._remembered[key] = response
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)

    def _send_with_retries(self, method: str, url: str, *arguments: Any, **named: Any) -> requests.Response:
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
                # ChunkedEncodingError: the response broke off.
                if not self._repeatable or attempt >= _ATTEMPTS:
                    raise
                self._wait(_backoff(attempt), deadline)
                continue
            wait = _requested_wait(response)
            if wait is not None:
                if wait > deadline - time.monotonic() or attempt > _ATTEMPTS:
                    raise Throttled(f"{self.host} limits our requests", retry_after=wait)
                pause(wait + random.uniform(0, min(1.0, wait / 10 + 0.1)))  # noqa: S311 - no secret
                continue
            if response.status_code not in _FAILED_HOST or not self._repeatable or attempt >= _ATTEMPTS:
                return response
            self._wait(_backoff(attempt), deadline)

    @staticmethod
    def _wait(seconds: float, deadline: float) -> None:
        pause(max(0.0, min(seconds, deadline - time.monotonic())))


def pause(seconds: float) -> None:
    """Sleep for ``seconds``. Every wait of this package goes through here, so that tests can replace it."""
    time.sleep(seconds)


def refusal(host: str, subject: str, status: int, reason: str) -> PortFailed:
    """Return the error for a refused request, with at most 200 characters of the host's own reason."""
    detail = f": {reason[:_REASON_CHARS]}" if reason else ""
    if status in {404, 410}:
        return NotFound(f"{host} has no {subject}: HTTP {status}{detail}")
    return PortFailed(f"{host} refused {subject}: HTTP {status}{detail}", retry_is_safe=status >= 500)


def reason_of(response: requests.Response) -> str:
    """Return the host's own reason in an answer that refuses a request, empty if it has none."""
    try:
        payload = response.json()
    except requests.JSONDecodeError:
        return ""
    if not isinstance(payload, dict):
        return ""
    reason = payload.get("message") or payload.get("error") or ""
    if isinstance(reason, dict):
        reason = reason.get("message") or ""
    return reason if isinstance(reason, str) else str(reason)


def _backoff(attempt: int) -> float:
    # Full jitter: functions that failed together do not all retry together.
    return random.uniform(0.1, 0.5 * 2**attempt)  # noqa: S311 - no secret


def _requested_wait(response: requests.Response) -> float | None:
    """Return the seconds that the host asks us to wait; None if it does not."""
    headers = response.headers
    unavailable = response.status_code == requests.codes.service_unavailable and "Retry-After" in headers
    if response.status_code == requests.codes.forbidden:
        limited = (
            "Retry-After" in headers
            or headers.get("X-RateLimit-Remaining") == "0"
            or any(words in reason_of(response).lower() for words in _LIMITED)
        )
        if not limited:
            return None
    elif response.status_code != requests.codes.too_many_requests and not unavailable:
        return None
    # The reset time counts only when the hourly limit is used up, not for a secondary limit.
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
        # A large number is a moment (seconds since 1970), a small one a number of seconds.
        return max(0.0, number - time.time()) if number > 1e9 else number
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def json_of(response: requests.Response) -> Any:
    """Return a response's JSON; raise ``PortFailed``, safe to retry, for anything else, such as a proxy's page."""
    try:
        return response.json()
    except requests.JSONDecodeError as error:
        raise PortFailed(
            "the code host did not answer with JSON: check its API address and any proxy", retry_is_safe=True
        ) from error


def read_bounded(response: requests.Response, subject: str, max_bytes: int) -> bytes:
    """Return the body of a streamed response; raise ``PortFailed`` if it has more than ``max_bytes``."""
    body = bytearray()
    with response:
        for chunk in response.iter_content(64 * 1024):
            body += chunk
            if len(body) > max_bytes:
                raise PortFailed(f"{subject} is larger than {max_bytes} bytes")
    return bytes(body)


__all__ = ["BearerAuth", "HostSession", "json_of", "pause", "read_bounded", "reason_of", "refusal"]
