"""Servers of the local cloud accept only callers with their token, by their own address."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest

from iac_ci_local.codebuild.server import request_handler
from iac_ci_local.codebuild.service import Builds
from iac_ci_local.gateway import Gateway
from iac_ci_local.loopback import open_loopback

TOKEN = "the-token"
PORT = 4566
KEY = "ROOT0123456789ABCDEF"


@pytest.fixture
def builds(tmp_path: Path) -> Iterator[tuple[Builds, int]]:
    builds = Builds(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), request_handler(builds, TOKEN))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield builds, server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def define(port: int, path: str, host: str | None, *, method: str = "POST", length: str | None = None) -> int:
    """Ask the build service to define a project whose command is `id`, and return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body = json.dumps(
        {"name": "evil", "buildspec": {"version": "0.2", "phases": {"build": {"commands": ["id"]}}}}
    ).encode()
    connection.putrequest(method, path, skip_host=True)
    for name, value in {
        "Host": host.format(port=port) if host is not None else None,
        "X-Amz-Target": "CodeBuild_20161006.LocalDefineProject",
        "Content-Length": length or str(len(body)),
    }.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}"])
def test_the_build_service_accepts_its_token(builds: tuple[Builds, int], host: str) -> None:
    assert define(builds[1], f"/{TOKEN}", host) == 200
    assert set(builds[0].projects) == {"evil"}


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/", "127.0.0.1:{port}"),
        ("/wrong", "127.0.0.1:{port}"),
        (f"/{TOKEN}x", "127.0.0.1:{port}"),
        (f"/{TOKEN.upper()}", "127.0.0.1:{port}"),
        (f"/?{TOKEN}", "127.0.0.1:{port}"),
        (f"/{TOKEN}", "evil.example.com"),
        (f"/{TOKEN}", "evil.example.com:{port}"),
        (f"/{TOKEN}", "127.0.0.1"),
        (f"/{TOKEN}", "127.0.0.1:1"),
        (f"/{TOKEN}", ""),
        (f"/{TOKEN}", None),
    ],
)
def test_the_build_service_refuses_other_callers(builds: tuple[Builds, int], path: str, host: str | None) -> None:
    assert define(builds[1], path, host) == 403
    assert builds[0].projects == {}


@pytest.mark.parametrize("length", ["-1", "x", str(10**12)])
def test_the_build_service_limits_bodies(builds: tuple[Builds, int], length: str) -> None:
    assert define(builds[1], f"/{TOKEN}", "127.0.0.1:{port}", length=length) == 413


def request(
    key: str | None = None,
    *,
    method: str = "POST",
    path: str = "/",
    query: str = "",
    host: str = f"127.0.0.1:{PORT}",
    more: tuple[tuple[str, str], ...] = (),
) -> dict[str, object]:
    headers = [("host", host), *more]
    if key is not None:
        headers.append(("authorization", f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/lambda/aws4_request"))
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


async def never(*arguments: object) -> None:
    raise AssertionError(arguments)


GATEWAY = Gateway(never, port=PORT, access_key=KEY)
WEBHOOK = "/_aws/execute-api/iac-ci-webhook/v1/webhook"


@pytest.mark.parametrize(
    "allowed",
    [
        request(KEY),
        request(KEY, host=f"localhost:{PORT}"),
        request("ASIAEXAMPLEOFAROLE00"),
        request(method="GET", path="/b/k", query="X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAROLE/2026/x"),
        request(method="POST", path=WEBHOOK),
        request(method="GET", path="/_ministack/ready"),
    ],
)
def test_the_gateway_allows(allowed: dict[str, object]) -> None:
    assert GATEWAY.problem(allowed) is None


@pytest.mark.parametrize(
    "refused",
    [
        request(),
        request("test"),
        request("123456789012"),
        request(KEY.lower() + "x", query="X-Amz-Credential=test/x"),
        request(KEY, query="AWSAccessKeyId=000000000000"),
        request("ASIAEXAMPLEOFAROLE00", query="X-Amz-Credential=test/2026/x"),
        request(query="X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=123456789012/2026/x"),
        request(query="AWSAccessKeyId=test&Signature=x"),
        request(more=(("authorization", "AWS test:signature"),)),
        request(KEY, more=(("authorization", "AWS4-HMAC-SHA256 Credential=test/x"),)),
        request(KEY, host="evil.example.com"),
        request(KEY, host=f"evil.example.com:{PORT}"),
        request(KEY, host="127.0.0.1:1"),
        request(KEY, more=(("host", "evil.example.com"),)),
        request(path=WEBHOOK, host="evil.example.com"),
        request(path=WEBHOOK, more=(("x-amz-target", "AWSLambda.CreateFunction"),)),
        request(path="/_aws/execute-api/../../_ministack/reset"),
        request(path="/_ministack/reset"),
        request(path="/_ministack/config"),
        request(method="GET", path="/_ministack/lambda-code/123456789012/us-east-1/iac-ci-init-job"),
        request(method="OPTIONS"),
    ],
)
def test_the_gateway_refuses(refused: dict[str, object]) -> None:
    assert GATEWAY.problem(refused)


@pytest.mark.parametrize(("registry", "answer"), [(False, "the request is not signed"), (True, None)])
def test_the_gateway_opens_the_image_registry_only_on_request(registry: bool, answer: str | None) -> None:
    gateway = Gateway(never, port=PORT, access_key=KEY, registry=registry)
    headers = [(b"host", f"127.0.0.1:{PORT}".encode())]
    push = {
        "type": "http",
        "method": "POST",
        "path": "/v2/acme/blobs/uploads/",
        "query_string": b"",
        "headers": headers,
    }
    assert gateway.problem(push) == answer
    assert gateway.problem(push | {"path": "/2015-03-31/functions"}) == "the request is not signed"


def test_no_proxy_stands_between(builds: tuple[Builds, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(HTTPError, match="403"):
        open_loopback(f"http://127.0.0.1:{builds[1]}/", data=b"{}", timeout=20)
