"""Which account and region a command asks: read from the signature of the request that it sends."""

from __future__ import annotations

import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from iac_ci_cli import process
from iac_ci_cli.errors import ExitCode
from iac_ci_cli.local_clouds import local_session

RUN = "20260101T000000-0123456789ab"

CONFIG = """
[default]
region = eu-north-1
[profile prod]
region = eu-west-3
[profile bare]
"""
CREDENTIALS = """
[default]
aws_access_key_id = DEFAULT
aws_secret_access_key = s
[prod]
aws_access_key_id = PROD
aws_secret_access_key = s
[bare]
aws_access_key_id = BARE
aws_secret_access_key = s
"""


@pytest.fixture
def aws():
    """An AWS that has no stack, on loopback; keeps the key and region of each request's signature."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(re.search(r"Credential=(\w+)/\d+/([\w-]+)/ssm/", self.headers["Authorization"]).groups())
            body = json.dumps({"__type": "ParameterNotFound", "message": "none"}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_address[1], asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(aws, tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line with settings of the environment.

    It returns the exit code, the key and region that were asked with, and what was printed on standard error.
    """
    port, asked = aws
    for name in list(os.environ):
        if name.startswith(("AWS_", "IAC_CI_")):
            monkeypatch.delenv(name)
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "credentials").write_text(CREDENTIALS)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")

    def ask(*options, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code = process.run(["status", RUN, *options])
        return code, asked[-1] if asked else None, capsys.readouterr().err

    return ask


IN_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "ENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "s"}


@pytest.mark.parametrize(
    ("options", "settings", "expected"),
    [
        ([], {}, ("DEFAULT", "eu-north-1")),
        ([], {"AWS_DEFAULT_REGION": "us-west-1"}, ("DEFAULT", "us-west-1")),
        ([], {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-west-1"}, ("DEFAULT", "us-west-2")),
        ([], {"AWS_PROFILE": "prod"}, ("PROD", "eu-west-3")),
        ([], {"AWS_PROFILE": "prod", "AWS_REGION": "us-west-2"}, ("PROD", "us-west-2")),
        (["--region", "ap-south-1"], {"AWS_REGION": "us-west-2"}, ("DEFAULT", "ap-south-1")),
        (["--profile", "prod"], {}, ("PROD", "eu-west-3")),
        (["--profile", "prod"], {"AWS_PROFILE": "bare"}, ("PROD", "eu-west-3")),
        (["--profile", "prod"], IN_ENVIRONMENT, ("PROD", "eu-west-3")),
        (["--profile", "bare", "--region", "us-gov-west-1"], {}, ("BARE", "us-gov-west-1")),
        ([], {**IN_ENVIRONMENT, "AWS_REGION": "cn-north-1"}, ("ENVIRONMENT", "cn-north-1")),
    ],
    ids=str,
)
def test_options_count_more_than_the_environment(ask, options, settings, expected):
    code, asked, printed = ask(*options, **settings)
    assert (code, asked) == (ExitCode.UNREACHABLE, expected)
    assert "there is no stack iac-ci here" in printed
    assert "Check --stack, --region and --profile" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--region", "frankfurt"], "option --region: 'frankfurt' is not an AWS region (example: eu-central-1)"),
        (["--region", ""], "option --region: '' is not an AWS region (example: eu-central-1)"),
        (["--profile", ""], "option --profile: is empty; name a profile (see `aws configure list-profiles`)"),
        (["--local", "--region", "eu-west-1"], "--region and --profile choose a stack on AWS"),
        (["--cloud", "123456789012", "--profile", "prod"], "--region and --profile choose a stack on AWS"),
    ],
)
def test_options_that_name_no_stack_of_aws_are_refused(ask, options, message):
    code, asked, printed = ask(*options)
    assert (code, asked) == (ExitCode.BAD_INPUT, None)
    assert message in printed.splitlines()[0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"AWS_PROFILE": "none"},
        {"AWS_PROFILE": ""},
        {"AWS_MAX_ATTEMPTS": "many"},
        {"AWS_RETRY_MODE": "none"},
        {"AWS_CONFIG_FILE": __file__, "AWS_SHARED_CREDENTIALS_FILE": __file__},
        {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "NO_PROXY": "", "no_proxy": ""},
    ],
    ids=str,
)
def test_settings_for_aws_do_not_keep_a_local_cloud_from_answering(ask, aws, tmp_path, settings):
    state = {
        "account": "111111111111", "stack": "iac-ci", "region": "us-east-1", "access_key": "ROOT", "secret_key": "s",
        "endpoint": f"http://127.0.0.1:{aws[0]}",
    }  # fmt: skip
    (tmp_path / "iac-ci").mkdir()
    (tmp_path / "iac-ci" / "cloud.json").write_text(json.dumps(state))
    local_session.cache_clear()
    code, asked, _ = ask("--local", **settings)
    assert (code, asked) == (ExitCode.UNREACHABLE, ("ROOT", "us-east-1"))


def test_an_unknown_profile_and_one_without_a_region_are_explained(ask):
    code, _, printed = ask("--profile", "none")
    assert (code, "the AWS profile 'none' does not exist" in printed) == (ExitCode.UNREACHABLE, True)
    code, _, printed = ask("--profile", "bare")
    assert (code, "no AWS region is set" in printed) == (ExitCode.UNREACHABLE, True)
    assert "--region" in printed


def test_hints_name_the_options_that_reach_the_stack(monkeypatch):
    from iac_ci_cli import connection

    monkeypatch.setattr(connection, "_read_names", lambda client: client)
    client = connection.connect("other", local=False, region="eu-west-1", profile="my team")
    assert client.command("watch", RUN) == (f"iac-ci watch {RUN} --stack other --region eu-west-1 --profile 'my team'")
