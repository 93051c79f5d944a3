"""An AWS on loopback that takes its time over single requests, and tells the test when it does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from moto.backends import get_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "states"
STATE = "app/terraform.tfstate"
SLOW_PARAMETER = "/slow"


class _Quiet(WSGIRequestHandler):
    def log(self, *arguments: Any) -> None:
        pass


@dataclass
class SlowAws:
    """The services; ``slow_state`` seconds for each write of the state, ``slow_call`` for one parameter."""

    slow_state: float = 0.0
    slow_call: float = 0.0
    on_slow: Callable[[], None] = lambda: None
    url: str = ""
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[SlowAws]:
        """Serve on loopback; begin with an empty bucket."""
        moto = DomainDispatcherApplication(create_backend_app)

        def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            seconds = self._seconds(environ, body)
            if seconds:
                self.on_slow()
                self._over.wait(seconds)
            environ["wsgi.input"] = _Input(body)
            answer: Iterable[bytes] = moto(environ, start_response)
            return answer

        for service in ("s3", "ssm"):
            get_backend(service).reset()
        server = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=_Quiet)
        server.daemon_threads = True  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            self.s3().create_bucket(Bucket=BUCKET)
            yield self
        finally:
            self._over.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def _seconds(self, environ: dict[str, Any], body: bytes) -> float:
        if environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(STATE):
            return self.slow_state
        if environ.get("HTTP_X_AMZ_TARGET") == "AmazonSSM.PutParameter" and json.loads(body)["Name"] == SLOW_PARAMETER:
            return self.slow_call
        return 0.0

    def s3(self) -> Any:
        """Return a client of the bucket."""
        style = Config(s3={"addressing_style": "path"})
        return boto3.client(
            "s3", "us-east-1", endpoint_url=self.url, config=style,
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )  # fmt: skip

    def keys(self) -> set[str]:
        """Return what is in the bucket: the state, and the lock while it is held."""
        return {entry["Key"] for entry in self.s3().list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    def resources(self) -> set[str]:
        """Return the addresses in the state."""
        if STATE not in self.keys():
            return set()
        state = json.loads(self.s3().get_object(Bucket=BUCKET, Key=STATE)["Body"].read())
        return {f"{one['type']}.{one['name']}" for one in state["resources"] if one["instances"]}


class _Input:
    """The body of a request, read again."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        size = len(self._body) if size < 0 else size
        taken, self._body = self._body[:size], self._body[size:]
        return taken

    def readline(self, size: int = -1) -> bytes:
        end = self._body.find(b"\n") + 1 or len(self._body)
        return self.read(end)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line
