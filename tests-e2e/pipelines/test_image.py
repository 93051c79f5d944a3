"""A deployment refuses an image that its functions cannot run, and keeps the one that they name."""

from __future__ import annotations

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.stub import ANY, Stubber

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("image", ROOT / "pipelines/image.py")
image = importlib.util.module_from_spec(spec)
spec.loader.exec_module(image)

DIGEST = "sha256:" + "a" * 64
URI = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme/tools@{DIGEST}"
MANIFEST = {"schemaVersion": 2, "config": {"digest": "sha256:" + "c" * 64}}
INDEX = {"schemaVersion": 2, "manifests": [{"digest": "sha256:" + "d" * 64}]}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (URI, image.Image("123456789012", "eu-central-1", "acme/tools", DIGEST)),
        (
            URI.replace("eu-central-1.amazonaws.com", "cn-north-1.amazonaws.com.cn"),
            image.Image("123456789012", "cn-north-1", "acme/tools", DIGEST),
        ),
        (
            URI.replace("eu-central-1.amazonaws.com", "eusc-de-east-1.amazonaws.eu"),
            image.Image("123456789012", "eusc-de-east-1", "acme/tools", DIGEST),
        ),
        (f"127.0.0.1:5000/acme@{DIGEST}", None),
        (URI.partition("@")[0] + ":latest", None),
    ],
)
def test_an_image_is_known_by_its_address(uri, expected):
    assert image.parse(uri) == expected


@pytest.fixture
def layers():
    """The configuration of an image, at a URL on loopback; ``architecture`` names what it says."""
    said = {"architecture": "amd64"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/config", said
    server.shutdown()
    server.server_close()


@pytest.fixture
def registry(monkeypatch):
    client = boto3.client(
        "ecr", region_name="eu-central-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    monkeypatch.setattr(image, "_registry", lambda found: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


WHERE = {"registryId": "123456789012", "repositoryName": "acme/tools"}


def found(registry, content, url=None):
    images = [] if content is None else [{"imageManifest": json.dumps(content)}]
    asked = {**WHERE, "imageIds": [{"imageDigest": DIGEST}], "acceptedMediaTypes": ANY}
    registry.add_response("batch_get_image", {"images": images}, asked)
    if url is not None:
        answer = {"downloadUrl": url, "layerDigest": MANIFEST["config"]["digest"]}
        registry.add_response("get_download_url_for_layer", answer, {**WHERE, "layerDigest": ANY})


@pytest.mark.parametrize(("built_for", "wanted"), [("amd64", "x86_64"), ("arm64", "arm64")])
def test_an_image_for_the_architecture_of_the_functions_is_deployed(registry, layers, built_for, wanted):
    url, said = layers
    said["architecture"] = built_for
    found(registry, MANIFEST, url)
    image.check(URI, wanted)


@pytest.mark.parametrize(("built_for", "wanted"), [("amd64", "arm64"), ("arm64", "x86_64"), ("riscv64", "x86_64")])
def test_an_image_for_another_architecture_is_refused(registry, layers, capsys, built_for, wanted):
    url, said = layers
    said["architecture"] = built_for
    found(registry, MANIFEST, url)
    with pytest.raises(SystemExit) as ended:
        image.check(URI, wanted)
    assert ended.value.code == image.WRONG
    assert f"and not for {wanted}\n" in capsys.readouterr().err


def test_an_index_is_refused(registry, capsys):
    found(registry, INDEX)
    with pytest.raises(SystemExit) as ended:
        image.check(URI, "x86_64")
    assert ended.value.code == image.WRONG
    assert "index of several images, which Lambda refuses" in capsys.readouterr().err


def test_what_cannot_be_checked_is_said(registry, capsys):
    image.check(f"127.0.0.1:5000/acme@{DIGEST}", "x86_64")
    assert "is not in ECR: its architecture is not checked" in capsys.readouterr().err
    registry.add_client_error("batch_get_image", "AccessDeniedException")
    image.check(URI, "x86_64")
    assert "cannot be read in ECR, so its architecture is not checked" in capsys.readouterr().err


def test_the_image_that_functions_name_gets_the_tag_that_keeps_it(registry):
    found(registry, MANIFEST)
    registry.add_response(
        "put_image",
        {},
        {**WHERE, "imageManifest": json.dumps(MANIFEST), "imageTag": "deployed-acme", "imageDigest": DIGEST},
    )
    image.keep(URI, "deployed-acme")
    found(registry, MANIFEST)
    registry.add_client_error("put_image", "ImageAlreadyExistsException")
    image.keep(URI, "deployed-acme")


def test_a_tag_that_cannot_be_set_ends_no_deployment(registry, capsys):
    found(registry, MANIFEST)
    registry.add_client_error("put_image", "AccessDeniedException")
    image.keep(URI, "deployed-acme")
    assert "could not get the tag deployed-acme, which keeps" in capsys.readouterr().err
