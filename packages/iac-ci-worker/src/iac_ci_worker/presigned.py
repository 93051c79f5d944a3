"""The worker's objects, which it reads and writes by presigned URLs."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from iac_ci_common.errors import AlreadyExists, NotFound, PortFailed
from iac_ci_common.models.result import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from iac_ci_common.models.result import Result
    from iac_ci_common.models.work import WorkUrls

_ATTEMPTS: Final = 5
_FIRST_WAIT_SECONDS: Final = 0.2
_CHUNK: Final = 1024 * 1024


class PresignedObjects(Protocol):
    """The objects that a worker reads and writes."""

    def claim(self, urls: WorkUrls, claim: Claim) -> bool:
        """Create the claim and return True; return False if another worker has it. Raise ``PortFailed`` if unknown."""
        ...

    def fetch(self, url: str, path: Path) -> None:
        """Download an archive into a file."""
        ...

    def store_log(self, urls: WorkUrls, path: Path) -> None:
        """Upload the log."""
        ...

    def report(self, urls: WorkUrls, result: Result) -> None:
        """Create the result; an existing one is not an error."""
        ...


class HttpPresignedObjects:
    """Objects over HTTP. Errors never contain URLs, because each URL gives access to an object."""

    def __init__(self, *, wait: Callable[[float], None] = time.sleep) -> None:
        """Create the connection pool, without a connection."""
        import urllib3

        self._wait = wait
        # urllib3 does not retry, because only this class knows which request may be repeated after a lost answer.
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=60))

    def claim(self, urls: WorkUrls, claim: Claim) -> bool:
        """Create the claim; if an answer was lost, read the claim and compare it."""
        body = claim.model_dump_json().encode()
        try:
            self._create(urls.claim, body, "the claim")
        except AlreadyExists as error:
            if not error.retry_is_safe:
                return False
            stored = self._request("GET", urls.claim_check, subject="the claim")
            return Claim.model_validate_json(stored.data) == claim
        return True

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

    def store_log(self, urls: WorkUrls, path: Path) -> None:
        """Upload the log from its file."""
        with path.open("rb") as file:
            headers = {"Content-Length": str(path.stat().st_size)}
            self._request("PUT", urls.log or "", subject="the log", body=file, headers=headers)

    def report(self, urls: WorkUrls, result: Result) -> None:
        """Create the result."""
        try:
            self._create(urls.result or "", result.model_dump_json().encode(), "the result")
        except AlreadyExists:
            # The first result counts: the watchdog's, or this worker's own, whose answer was lost.
            return

    def _create(self, url: str, body: bytes, subject: str) -> None:
        """Create an object.

        Raises ``AlreadyExists``, with ``retry_is_safe`` set if an earlier try of this call may have created it.
        """
        tries = _Tries(subject)
        for _ in tries.all(self._wait):
            answer = tries.send(self._pool, "PUT", url, body=body, headers={"If-None-Match": "*"})
            if answer is None:
                continue
            if answer.status == 412:
                raise AlreadyExists(f"{subject} exists", retry_is_safe=tries.answer_was_lost)
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


class _Tries:
    """The tries of one request, and the error if none succeeded."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._problem = "no answer"
        self.answer_was_lost = False

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
            self.answer_was_lost = True
            return None

    def succeeded(self, answer: Any) -> bool:
        """Return whether the request succeeded; raise ``PortFailed`` for an answer that a retry cannot change."""
        if answer.status < 300:
            return True
        self._problem = f"HTTP {answer.status}"
        answer.drain_conn()
        if answer.status == 404:
            raise NotFound(f"{self._subject} does not exist")
        # 409: S3 received two conditional writes at once; the request must be repeated.
        if answer.status < 500 and answer.status not in {408, 409, 429}:
            raise PortFailed(f"{self._subject}: {self._problem}")
        self.answer_was_lost = self.answer_was_lost or answer.status >= 500
        return False

    def failure(self) -> PortFailed:
        return PortFailed(f"{self._subject}: {self._problem}, {_ATTEMPTS} times", retry_is_safe=True)
