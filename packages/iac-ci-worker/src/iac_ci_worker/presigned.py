"""What a worker fetches and sends, all of it by presigned URLs."""

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
    """How a worker talks to the engine."""

    def claim(self, urls: WorkUrls, claim: Claim) -> bool:
        """Take the order; False if somebody else did. Raises ``PortFailed`` if that cannot be found out."""
        ...

    def fetch(self, url: str, path: Path) -> None:
        """Download an archive into a file."""
        ...

    def store_log(self, urls: WorkUrls, path: Path) -> None:
        """Upload the log."""
        ...

    def report(self, urls: WorkUrls, result: Result) -> None:
        """Leave the result; that another one was first is no error."""
        ...


class HttpPresignedObjects:
    """The exchange over HTTP. URLs never appear in what it raises: each is a capability."""

    def __init__(self, *, wait: Callable[[float], None] = time.sleep) -> None:
        """Open no connection yet."""
        import urllib3

        self._wait = wait
        # Retries are ours: only we know which request may be repeated after an answer was lost.
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=60))

    def claim(self, urls: WorkUrls, claim: Claim) -> bool:
        """Create the claim; where an answer was lost, read whose it is."""
        body = claim.model_dump_json().encode()
        try:
            self._create(urls.claim, body, "the claim")
        except AlreadyExists as error:
            if not error.retry_is_safe:
                return False
            kept = self._request("GET", urls.claim_check, what="the claim")
            return Claim.model_validate_json(kept.data) == claim
        return True

    def fetch(self, url: str, path: Path) -> None:
        """Download into a file of mode 0600."""
        import urllib3

        answer = self._request("GET", url, what=path.name, stream=True)
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
            self._request("PUT", urls.log, what="the log", body=file, headers=headers)

    def report(self, urls: WorkUrls, result: Result) -> None:
        """Create the result."""
        try:
            self._create(urls.result, result.model_dump_json().encode(), "the result")
        except AlreadyExists:
            # The first one counts: the watchdog's, or our own whose answer was lost.
            return

    def _create(self, url: str, body: bytes, what: str) -> None:
        """Create an object.

        Raises ``AlreadyExists``, with ``retry_is_safe`` set if it may be our own first try that exists.
        """
        tries = _Tries(what)
        for _ in tries.all(self._wait):
            answer = tries.ask(self._pool, "PUT", url, body=body, headers={"If-None-Match": "*"})
            if answer is None:
                continue
            if answer.status == 412:
                raise AlreadyExists(f"{what} exists", retry_is_safe=tries.answer_was_lost)
            if tries.succeeded(answer):
                return
        raise tries.failure()

    def _request(self, method: str, url: str, *, what: str, stream: bool = False, **options: Any) -> Any:
        tries = _Tries(what)
        for _ in tries.all(self._wait):
            if "body" in options:
                options["body"].seek(0)
            answer = tries.ask(self._pool, method, url, preload_content=not stream, **options)
            if answer is not None and tries.succeeded(answer):
                return answer
        raise tries.failure()


class _Tries:
    """The tries of one request: which may be repeated, and what to say when none succeeded."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = "no answer"
        self.answer_was_lost = False

    def all(self, wait: Callable[[float], None]) -> Iterator[int]:
        for attempt in range(_ATTEMPTS):
            if attempt:
                wait(_FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - jitter
            yield attempt

    def ask(self, pool: Any, method: str, url: str, **options: Any) -> Any:
        """Send the request; None if no answer came."""
        import urllib3

        try:
            return pool.request(method, url, **options)
        except urllib3.exceptions.HTTPError as error:
            self._said = type(error).__name__
            self.answer_was_lost = True
            return None

    def succeeded(self, answer: Any) -> bool:
        """Judge an answer; raises for one that another try would not change."""
        if answer.status < 300:
            return True
        self._said = f"HTTP {answer.status}"
        answer.drain_conn()
        if answer.status == 404:
            raise NotFound(f"{self._what} does not exist")
        # 409: S3 saw two conditional writes at once and asks for another try.
        if answer.status < 500 and answer.status not in {408, 409, 429}:
            raise PortFailed(f"{self._what}: {self._said}")
        self.answer_was_lost = self.answer_was_lost or answer.status >= 500
        return False

    def failure(self) -> PortFailed:
        return PortFailed(f"{self._what}: {self._said}, {_ATTEMPTS} times", retry_is_safe=True)
