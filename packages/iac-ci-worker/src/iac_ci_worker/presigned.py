"""The worker's objects, which it reads and writes by presigned URLs."""

from __future__ import annotations

import io
import random
import re
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import ValidationError

from iac_ci_common.errors import AlreadyExists, NotFound, PortFailed, UrlExpired
from iac_ci_common.models.result import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


_ATTEMPTS: Final = 5
_FIRST_WAIT_SECONDS: Final = 0.2
_CHUNK: Final = 1024 * 1024
_ERROR_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class PresignedObjects(Protocol):
    """The objects that a worker reads and writes, each by its URL.

    Every method raises ``UrlExpired`` if the URL, or the session that signed it, has ended.
    """

    def create_claim(self, url: str, claim: Claim) -> None:
        """Create the claim; raise ``AlreadyExists`` if there is one, perhaps this one, whose answer was lost."""
        ...

    def read_claim(self, url: str) -> Claim | None:
        """Return the claim, None if it cannot be read as one."""
        ...

    def fetch(self, url: str, path: Path) -> None:
        """Download an archive into a file."""
        ...

    def store_log(self, url: str, path: Path) -> None:
        """Upload the log."""
        ...

    def store(self, url: str, path: Path) -> None:
        """Upload a sealed file."""
        ...

    def send_part(self, url: str, body: bytes) -> None:
        """Upload a part of the log."""
        ...

    def report(self, url: str, result: bytes) -> bool:
        """Create the result; return False if there is one, perhaps this one, whose answer was lost."""
        ...


class HttpPresignedObjects:
    """Objects over HTTP. Errors never contain URLs, because each URL gives access to an object."""

    def __init__(self, *, wait: Callable[[float], None] = time.sleep) -> None:
        """Create the connection pool, without a connection."""
        import urllib3

        self._wait = wait
        # urllib3 does not retry, because only this class knows which request may be repeated after a lost answer.
        # Two connections are kept: the claim is made while the package is fetched.
        self._pool = urllib3.PoolManager(maxsize=2, retries=False, timeout=urllib3.Timeout(connect=5, read=60))

    def create_claim(self, url: str, claim: Claim) -> None:
        """Create the claim."""
        self._create(url, claim.model_dump_json().encode(), "the claim")

    def read_claim(self, url: str) -> Claim | None:
        """Return the claim."""
        stored = self._request("GET", url, subject="the claim")
        try:
            return Claim.model_validate_json(stored.data)
        except ValidationError:
            return None

    def fetch(self, url: str, path: Path) -> None:
        """Download into a file of mode 0600."""
        import urllib3

        answer = self._request("GET", url, subject=path.name, stream=True)
        path.touch(mode=0o600)
        try:
            with path.open("wb") as file:
                for chunk in answer.stream(_CHUNK):
                    file.write(chunk)
        except urllib3.exceptions.HTTPError as error:
            raise PortFailed(f"fetching {path.name}: {type(error).__name__}", retry_is_safe=True) from None
        finally:
            answer.release_conn()

    def store_log(self, url: str, path: Path) -> None:
        """Upload the log from its file."""
        self._upload(url, path, "the log")

    def store(self, url: str, path: Path) -> None:
        """Upload a sealed file."""
        self._upload(url, path, "a sealed file")

    def send_part(self, url: str, body: bytes) -> None:
        """Upload a part of the log."""
        self._request("PUT", url, subject="a part of the log", body=io.BytesIO(body))

    def _upload(self, url: str, path: Path, subject: str) -> None:
        with path.open("rb") as file:
            headers = {"Content-Length": str(path.stat().st_size)}
            self._request("PUT", url, subject=subject, body=file, headers=headers)

    def report(self, url: str, result: bytes) -> bool:
        """Create the result; return whether there was none."""
        try:
            self._create(url, result, "the result")
        except AlreadyExists:
            return False
        return True

    def _create(self, url: str, body: bytes, subject: str) -> None:
        """Create an object; raise ``AlreadyExists``, perhaps because an earlier try created it."""
        tries = _Tries(subject)
        for _ in tries.all(self._wait):
            answer = tries.send(self._pool, "PUT", url, body=body, headers={"If-None-Match": "*"})
            if answer is None:
                continue
            if answer.status == 412:
                raise AlreadyExists(f"{subject} exists")
            if tries.succeeded(answer):
                return
        raise tries.failure()

    def _request(self, method: str, url: str, *, subject: str, stream: bool = False, **options: Any) -> Any:
        tries = _Tries(subject)
        for _ in tries.all(self._wait):
            if "body" in options:
                options["body"].seek(0)
            answer = tries.send(self._pool, method, url, preload_content=not stream, **options)
            if answer is not None and tries.succeeded(answer):
                return answer
        raise tries.failure()


_STALLED: Final = frozenset({"RequestTimeout", "RequestTimeoutException", "IncompleteBody"})
"""Codes of a 400 for a body that did not arrive whole (Amazon S3 API Reference, "Error responses")."""


class _Tries:
    """The tries of one request, and the error if none succeeded."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._problem = "no answer"

    def all(self, wait: Callable[[float], None]) -> Iterator[int]:
        for attempt in range(_ATTEMPTS):
            if attempt:
                wait(_FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter
            yield attempt

    def send(self, pool: Any, method: str, url: str, **options: Any) -> Any:
        """Send the request and return the answer, None if there was none."""
        import urllib3

        try:
            return pool.request(method, url, **options)
        except urllib3.exceptions.HTTPError as error:
            self._problem = type(error).__name__
            return None

    def succeeded(self, answer: Any) -> bool:
        """Return whether the request succeeded; raise ``PortFailed`` for an answer that a retry cannot change."""
        if answer.status < 300:
            return True
        self._problem = f"HTTP {answer.status}"
        code = _error_code(answer)
        # The session ended, or the URL did: Amazon S3 API Reference, "Error responses".
        if code == "ExpiredToken" or answer.status == 403:
            raise UrlExpired(f"{self._subject}: {self._problem} {code}".rstrip())
        if answer.status == 404:
            raise NotFound(f"{self._subject} does not exist")
        if code in _STALLED:
            return False
        # 409: S3 received two conditional writes at once; the request must be repeated.
        if answer.status < 500 and answer.status not in {408, 409, 429}:
            raise PortFailed(f"{self._subject}: {self._problem}")
        return False

    def failure(self) -> PortFailed:
        return PortFailed(f"{self._subject}: {self._problem}, {_ATTEMPTS} times", retry_is_safe=True)


def _error_code(answer: Any) -> str:
    """Return the code of S3's error, empty if the answer has none; this reads the answer to its end."""
    import urllib3

    try:
        found = _ERROR_CODE.search(answer.data or b"")
    except urllib3.exceptions.HTTPError:  # the connection has broken in the middle
        return ""
    return found[1].decode() if found else ""
