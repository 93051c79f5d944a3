"""GitHub's own sample payloads, as its community keeps them: each is read, and routed right."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from iac_ci_triggers.claimed_repository import claimed_repository
from iac_ci_triggers.event import EventKind, HostEvent
from iac_ci_triggers.event_parser import parse_event
from iac_ci_triggers.verification import Sender

PACKAGE = "@octokit/webhooks-examples@7"

STARTS = {
    ("pull_request", "opened"): EventKind.PULL_REQUEST,
    ("pull_request", "reopened"): EventKind.PULL_REQUEST,
    ("pull_request", "synchronize"): EventKind.PULL_REQUEST,
    ("pull_request", "ready_for_review"): EventKind.PULL_REQUEST,
    ("pull_request", "labeled"): EventKind.PULL_REQUEST,
    ("pull_request", "unlabeled"): EventKind.PULL_REQUEST,
    ("pull_request", "closed"): EventKind.CLOSED,
    ("merge_group", "checks_requested"): EventKind.MERGE_GROUP,
}


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, and GitHub's sample payloads are fetched with it")
    folder = tmp_path_factory.mktemp("samples")
    command = [npm, "pack", PACKAGE, "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"npm could not fetch GitHub's sample payloads: {done.stderr.strip()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return [
        (events["name"], payload)
        for file in sorted(Path(folder, "package").glob("*/index.json"))
        for events in json.loads(file.read_text("utf-8"))
        for payload in events["examples"]
    ]


def test_every_sample_is_read_and_routed(samples):
    seen = set()
    for name, payload in samples:
        event = parse_event(Sender.GITHUB, {"x-github-event": name}, payload)
        wanted = STARTS.get((name, payload.get("action")))
        if name == "push" and payload["ref"].startswith("refs/heads/") and not payload["deleted"]:
            wanted = EventKind.PUSH
        if wanted is None:
            assert not isinstance(event, HostEvent), (name, payload.get("action"))
            continue
        assert isinstance(event, HostEvent), (name, payload.get("action"), event)
        assert event.kind is wanted
        assert (
            event.repository
            == claimed_repository(Sender.GITHUB, json.dumps(payload).encode(), {})
            == payload["repository"]["html_url"]
        )
        seen.add(wanted)
    assert seen == {EventKind.PULL_REQUEST, EventKind.CLOSED, EventKind.PUSH, EventKind.MERGE_GROUP}
    assert len(samples) > 300
