"""Orders run the versions of tools that they ask for, fetched from a mirror of the test's own with its own key."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from offline import program
from pydantic import TypeAdapter

from iac_ci_common import keys as object_keys
from iac_ci_common.models.tools import Tool, ToolSource
from iac_ci_init.tool_releases import this_platform
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.codebuild.container import open_to_commands
from iac_ci_local.functions.settings import FunctionSettings
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import log_of, runs, submit, wait_for_end

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("1.13.5", "1.14.2")

pytestmark = [pytest.mark.local_cloud, pytest.mark.slow]


def load_mirror():
    path = ROOT / "packages/iac-ci-init/tests/release_mirror.py"
    spec = importlib.util.spec_from_file_location("release_mirror", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["release_mirror"] = module
    spec.loader.exec_module(module)
    return module


release_mirror = load_mirror()


def terraform(version):
    """Return the program at hand, which says this version and otherwise does what it does."""
    program.put_on_path()
    own = shutil.which("terraform")
    return f"""#!/bin/sh
# {version}
if [ "$1" = version ]; then echo "Terraform v{version}"; exit; fi
exec {own} "$@"
""".encode()


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A mirror on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found.asked.append(self.path)
            content = found.content.get(self.path.lstrip("/"))
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    with release_mirror.made_keys(tmp_path_factory.mktemp("gpg") / "home", "operator", "other") as keys:
        found = release_mirror.Mirror(keys, platform=this_platform(), address=address)
        for version in VERSIONS:
            found.publish("terraform", version, terraform(version))
        found.publish("opentofu", "1.10.6", b"#!/bin/sh\necho OpenTofu v1.10.6\n")
        found.publish("terraform", "1.12.0", terraform("1.12.0"), signer="other")
        thread.start()
        yield found
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def cloud(mirror):
    sources = TypeAdapter(dict[Tool, ToolSource]).validate_python(mirror.sources("terraform", "opentofu"))
    functions = FunctionSettings(sandboxed=("worker",))
    speed = Speed(wait_scale=0.1, retry_seconds=0.1)
    with LocalCloud(speed=speed, functions=functions, tool_sources=sources, max_parallel=2) as started:
        yield started


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with folders that ask for versions in every way."""
    folder = tmp_path_factory.mktemp("repository")
    files = {
        "main.tf": "",
        "live/.terraform-version": "1.13.5\n",
        "live/net/main.tf": 'terraform { required_version = ">= 1.5" }',
        "range/main.tf": 'terraform { required_version = "~> 1.14.0" }',
        "tofu/.opentofu-version": "1.10.6\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.com", "-C", str(folder)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "versions"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return {"git_repo": folder.as_uri(), "commit_hash": commit}


SHOW = "command -v terraform; terraform version"


def order(name, target, **fields):
    return {"order_name": name, "cmds": [SHOW], "timeout": 120, "execution_target": target, **fields}


def log(cloud: LocalCloud, run_id, order_num):
    return log_of(cloud, run_id, order_num)


def ended(cloud: LocalCloud, orders, **fields):
    run_id = submit(cloud, {"username": "tests", "orders": orders, **fields})
    wait_for_end(cloud, run_id)
    return run_id, runs(cloud).read(run_id)


@pytest.mark.parametrize("target", ["lambda", "codebuild"])
def test_orders_run_the_versions_that_they_ask_for(cloud, mirror, repository, target):
    orders = [
        order("order", target, tools={"terraform": "1.14.2"}, git_folder="live"),
        order("file", target, git_folder="live/net"),
        order("constraint", target, git_folder="range"),
        order("own", target),
        order("tofu", target, git_folder="tofu", cmds=["tofu version"]),
        # What an order does to its tools is gone with it.
        order("hostile", target, tools={"terraform": "1.14.2"}, cmds=[
            'file="$(command -v terraform)"; chmod u+w "$file" "${file%/*}" || true',
            'file="$(command -v terraform)"; echo "echo owned" > "$file" || true',
        ]),
        order("after", target, tools={"terraform": "1.14.2"}, dependencies=["hostile"]),
    ]  # fmt: skip
    run_id, rows = ended(cloud, orders, **repository)
    reasons = {row.order_name: row.reason for row in rows.orders}
    assert {row.status for row in rows.orders} == {"succeeded"}, reasons
    texts = {row.order_name: log(cloud, run_id, row.order_num) for row in rows.orders}
    expected = {"order": "1.14.2", "file": "1.13.5", "constraint": "1.14.2", "after": "1.14.2"}
    found = {name: texts[name].split("Terraform v")[-1].split()[0] for name in expected}
    print(found)
    assert found == expected
    assert all("/tools/terraform" in texts[name] for name in expected)
    assert "/tools/terraform" not in texts["own"]
    assert "OpenTofu v1.10.6" in texts["tofu"]
    if target == "codebuild" and open_to_commands(Path(tempfile.gettempdir())):
        assert "Operation not permitted" in texts["hostile"], "commands can change their tools"
    fetched = [path for path in mirror.asked if path.endswith(".zip")]
    assert len(fetched) == len(set(fetched)), "a release was fetched twice"


def test_what_is_wrong_is_said_at_once_before_anything_runs(cloud, repository):
    orders = [
        order("absent", "lambda", tools={"terraform": "9.9.9"}),
        order("forged", "lambda", tools={"terraform": "1.12.0"}),
        order("terragrunt", "lambda", tools={"terragrunt": "0.99.2"}),
    ]
    _, rows = ended(cloud, orders, **repository)
    assert "terraform 9.9.9 is not at http://127.0.0.1" in rows.run.preparation_error
    assert "terraform 1.12.0: the signature of the checksums is not valid" in rows.run.preparation_error
    assert "terragrunt 0.99.2: this version of iac-ci knows no key" in rows.run.preparation_error
    assert {row.status for row in rows.orders} == {"cancelled"}


def test_workers_can_read_releases_but_only_init_writes_them(cloud):
    """The policies that are deployed, as the local cloud evaluates them."""
    folder = ROOT / "terraform/deploy/stack/policies"
    writers, readers = set(), set()
    for path in folder.glob("*.json"):
        for statement in json.loads(path.read_text())["Statement"]:
            if any(f"/{object_keys.TOOLS_PREFIX}" in resource for resource in statement["Resource"]):
                (writers if "s3:PutObject" in statement["Action"] else readers).add(path.stem)
    assert (writers, readers) == ({"init-job"}, {"broker", "orchestrator"})
