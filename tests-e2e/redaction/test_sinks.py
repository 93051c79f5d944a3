"""No secret shows anywhere outside the worker: a whole run on stand-ins for AWS and a code host, with the functions'
own handlers and real commands. Everything that the run leaves is read as a person would read it.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyrage
import pytest
from upgrade import stories
from upgrade.cloud import Cloud
from upgrade.playing import Player, Version

from iac_ci_common.limits import LOG_IN_RESULT_BYTES
from redaction import readings
from redaction.test_corpus import PRINTERS, VALUES, text_of

TOKEN = VALUES["specials"]
PASSWORD = VALUES["random-password-20"]
DATABASE = json.dumps({"engine": "postgres", "port": 5432, "username": "admin", "password": PASSWORD})
KEY = text_of(VALUES["pem-ec"])
HOST = "x7kq2vmt9-w4pl8zr3j6"
LITERAL = "q9vbt2kmx7lwz4hyd5"
SECRETS = {
    "/iac-ci/jobs/one": TOKEN,
    "/iac-ci/jobs/database": DATABASE,
    "/iac-ci/jobs/key": KEY,
}
HIDDEN = [TOKEN, PASSWORD, KEY, HOST, LITERAL]
READINGS = ["text", "json", "script", "shell", "url", "form", "html", "base64", "json-base64", "hex", "dump-hex"]
PRINT = [
    f"mkdir {name}; cd {name}; {{ {printer['command'].strip()}\n}} 2>&1"
    for name, printer in PRINTERS.items()
    if "needs" not in printer
]
"""Every printer of the corpus that each machine has, for the variable VALUE."""

PRINT_ALL = (
    'for VALUE in "$TOKEN" "$password" "$KEY" "$HOST"; do export VALUE; echo "$VALUE"; echo "$VALUE" | base64; done'
)
JOBS = ("tmp/jobs/", "tmp/history/")
NAMED = ("tmp/logs/", "tmp/callbacks/", *JOBS)

LONG = f"head -c {LOG_IN_RESULT_BYTES} /dev/zero | tr '\\0' x; echo"
"""A command with which the log does not fit into the result; that of an order which fails does."""

TITLES = 'cat /proc/[0-9]*/cmdline > "$TITLES.$IAC_CI_ORDER_NUM" 2> /dev/null || true'
"""What every process shows to all others; not through the log, which is masked. Some end while they are read."""

PLAN = "echo 'Plan: 1 to add, 2 to change, 3 to destroy.'"


def order(name, *cmds, **fields):
    return {
        "order_name": name,
        "cmds": [TITLES, *cmds],
        "timeout": 300,
        "env_vars": {"HOST": HOST},
        "secrets": {"VALUE": "ssm:/iac-ci/jobs/one", "TOKEN": "ssm:/iac-ci/jobs/one", "KEY": "ssm:/iac-ci/jobs/key"},
        "ssm_paths": ["ssm:/iac-ci/jobs/database"],
        "must_succeed": False,
        **fields,
    }


JOB = {
    "username": "tests",
    "git_repo": "https://git.example/acme/infra",
    "commit_hash": "c" * 40,
    "pr_number": 7,
    "git_token_location": "ssm:/iac-ci/jobs/tokens/git",
    "commit_status": True,
    "order_statuses": True,
    "mask": {"also": ["HOST", LITERAL]},
    "orders": [
        {**order("on-lambda", *PRINT, PRINT_ALL, PLAN), "s3_location": "s3://theirs/code.zip"},
        {
            **order("in-a-build", LONG, *PRINT, PRINT_ALL, PLAN, timeout=1200, execution_target="codebuild"),
            "s3_location": "s3://theirs/code.zip",
        },
        {**order("fails", PRINT_ALL, f'false "{LITERAL}"'), "s3_location": "s3://theirs/code.zip"},
        {**order("dies", PRINT_ALL, 'kill -9 "$PPID"'), "s3_location": "s3://theirs/code.zip"},
    ],
}


class Talkative(Version):
    """The functions, with every log line that they can write."""

    def _environment(self):
        return super()._environment() | {
            "IAC_CI_LOG_LEVEL": "DEBUG",
            "PATH": f"{Path(sys.executable).parent}:{super()._environment()['PATH']}",
            "IAC_CI_COMMAND_ENVIRONMENT": json.dumps({"TITLES": str(self.starts)}),
        }


class Repeating(Player):
    """Delivers the last worker's event once more, as Lambda may; that worker then says whose the order is."""

    def _call(self, due):
        if due["function"] == "worker":
            self.last = due["event"]
        super()._call(due)

    def repeat(self):
        assert "answer" in self.version.call("worker", self.last)


@pytest.fixture(scope="module")
def sinks(tmp_path_factory):
    """Everything that the run left outside the worker, by where it is."""
    folder = tmp_path_factory.mktemp("sinks")
    with Cloud(datetime.now(UTC)).running() as cloud, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stories, "JOB", JOB)
        cloud.lay_out()
        stories.prepare(cloud, str(pyrage.x25519.Identity.generate()))
        for name, value in SECRETS.items():
            cloud.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString")
        with Talkative(cloud, folder).running() as version:
            player = Repeating(cloud, version)
            stories.submit(cloud, player)
            player.play()
            player.repeat()
        internal = cloud.objects("internal")
        rows = {row["order_name"]["S"]: row for row in cloud.items("orders") if "order_name" in row}
        assert {name: row["status"]["S"] for name, row in rows.items()} == {
            "on-lambda": "succeeded", "in-a-build": "succeeded", "fails": "failed", "dies": "failed",
        }, (rows, player.errors, version.log()[-3000:])  # fmt: skip
        return {
            "rows": json.dumps(cloud.items("orders")).encode(),
            "events": json.dumps(cloud.items("events")).encode(),
            "locks": json.dumps(cloud.items("locks")).encode(),
            "comments": json.dumps(cloud.comments).encode(),
            "statuses": json.dumps(cloud.statuses).encode(),
            "done markers": b"\n".join(cloud.objects("done").values()),
            "logs": b"\n".join(body for key, body in internal.items() if key.startswith("tmp/logs/")),
            "results": b"\n".join(body for key, body in internal.items() if key.startswith("tmp/callbacks/")),
            "jobs": b"\n".join(body for key, body in internal.items() if key.startswith(JOBS)),
            "other objects": b"\n".join(body for key, body in internal.items() if not key.startswith(NAMED)),
            "function logs": version.log().encode(),
            "errors of calls": "\n".join(player.errors).encode(),
            "process titles": b"\n".join(path.read_bytes().replace(b"\0", b" ") for path in folder.glob("starts.*")),
            "keys": "\n".join([*internal, *cloud.objects("done")]).encode(),
        }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["rows", "events", "locks", "comments", "statuses", "done markers", "logs", "results", "jobs",
     "other objects", "function logs", "errors of calls", "process titles", "keys"],
)  # fmt: skip
def test_no_secret_shows(sinks, name):
    for reading in READINGS:
        # The job's own text contains what is no secret and masked all the same; a command is the title of its process.
        hidden = [secret for secret in HIDDEN if not (name in {"jobs", "process titles"} and secret in {LITERAL, HOST})]
        assert not readings.shown(hidden, sinks[name], reading), (name, reading, sinks[name][-3000:])


@pytest.mark.slow
def test_what_is_searched_is_what_people_read(sinks):
    # Comments escape what Markdown would read.
    bare = {name: content.replace(b"\\", b"") for name, content in sinks.items()}
    for name in ("rows", "events", "comments", "statuses", "done markers"):
        assert b"on-lambda" in bare[name], name
        assert b"in-a-build" in bare[name], name
    for name in ("logs", "results", "comments"):
        assert b"***" in bare[name], name
    assert sinks["results"].count(b'"changes":{') == 2
    assert b"1 to add" in sinks["logs"]
    assert b'"log_stored":false' in sinks["results"]
    assert b"bash" in sinks["process titles"]
    assert b"worker" in sinks["function logs"]
    assert b"the process died" in sinks["errors of calls"]
