from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from iac_ci_common.errors import NotFound, PortFailed, PreparationFailed, Throttled
from iac_ci_common.models.tools import Tool, ToolSettings, ToolSource
from iac_ci_common.testing import FakeClock, MemoryObjects
from iac_ci_common.testing.samples import START, stored_job
from iac_ci_common.tool_versions import Version
from iac_ci_init.code_source import code_source
from iac_ci_init.downloads import HttpDownloads
from iac_ci_init.job_tools import JobTools
from iac_ci_init.own_tools import OwnTools
from iac_ci_init.release_publishers import publisher
from iac_ci_init.root_module import required_versions, required_versions_of_json
from iac_ci_init.signatures import verify
from iac_ci_init.tool_releases import ToolReleases
from iac_ci_init.version_files import FolderVersions, Written, folder_versions

sys.path.insert(0, str(Path(__file__).parent))
from release_mirror import Mirror, made_keys

WANTED = Version.parse("1.14.2")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    with made_keys(tmp_path_factory.mktemp("gpg") / "home", "operator", "other") as made:
        yield made


@pytest.fixture
def mirror(keys):
    found = Mirror(keys)
    found.publish("terraform", "1.14.2", b"the program")
    return found


def sources(mirror):
    return TypeAdapter(dict[Tool, ToolSource]).validate_python(mirror.sources("terraform", "opentofu", "terragrunt"))


class Releases(ToolReleases):
    """Releases of a mirror of all tools."""

    def __init__(self, mirror, objects):
        super().__init__(objects, mirror, "linux_amd64")
        self.sources = sources(mirror)

    def versions(self, tool, source=None):
        return super().versions(tool, self.sources[tool])

    def stored(self, tool, version, now, source=None):
        return super().stored(tool, version, now, self.sources[tool])


releases = Releases


@pytest.fixture
def objects():
    return MemoryObjects(FakeClock(START))


def test_a_release_is_fetched_verified_and_stored_once(mirror, objects):
    found = releases(mirror, objects)
    stored = found.stored(Tool.TERRAFORM, WANTED, START)
    assert objects.get(stored.key) == mirror.content["terraform/1.14.2/terraform_1.14.2_linux_amd64.zip"]
    assert stored.key.endswith(stored.sha256)
    assert stored.key.startswith(f"tools/{START:%Y-%m}/terraform/1.14.2/linux_amd64/")
    asked = len(mirror.asked)
    mirror.down = True
    assert releases(mirror, objects).stored(Tool.TERRAFORM, WANTED, START) == stored
    assert len(mirror.asked) == asked


def test_the_next_month_has_releases_of_its_own(mirror, objects):
    found = releases(mirror, objects)
    first = found.stored(Tool.TERRAFORM, WANTED, START)
    later = found.stored(Tool.TERRAFORM, WANTED, START.replace(year=START.year + 1))
    assert (later.sha256, later.key != first.key) == (first.sha256, True)


@pytest.mark.parametrize(("tool", "version"), [("opentofu", "1.10.6"), ("terragrunt", "0.99.2")])
def test_other_tools_are_fetched_under_their_publishers_names(keys, objects, tool, version):
    mirror = Mirror(keys)
    mirror.publish(tool, version, b"the program")
    stored = releases(mirror, objects).stored(Tool(tool), Version.parse(version), START)
    assert stored.tool == tool


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m.content.pop("terraform/1.14.2/terraform_1.14.2_SHA256SUMS"), "terraform 1.14.2 is not at https"),
        (
            lambda m: m.content.pop("terraform/1.14.2/terraform_1.14.2_SHA256SUMS.sig"),
            "is not at https",
        ),
        (
            lambda m: m.content.pop("terraform/1.14.2/terraform_1.14.2_linux_amd64.zip"),
            "is not at https",
        ),
        (lambda m: m.content.update({"terraform/key.asc": m.keys.public("other")}), "No public key"),
        (lambda m: m.content.update({"terraform/key.asc": b"no key"}), "signature of the checksums is not valid"),
        (lambda m: m.publish("terraform", "1.14.2", b"x", signer="other"), "No public key"),
        (
            lambda m: (
                m.publish("terraform", "1.14.2", b"x", signer="other"),
                m.content.update({"terraform/key.asc": m.keys.public("operator") + m.keys.public("other")}),
            ),
            "signed by another key than",
        ),
        (
            lambda m: m.content.update({"terraform/1.14.2/terraform_1.14.2_SHA256SUMS": b"0" * 64 + b"  x\n"}),
            "BAD signature",
        ),
        (
            lambda m: m.content.update({"terraform/1.14.2/terraform_1.14.2_linux_amd64.zip": b"changed"}),
            "is not what its publisher signed",
        ),
    ],
)
def test_what_is_not_signed_is_not_stored(mirror, objects, change, problem):
    change(mirror)
    with pytest.raises(PreparationFailed, match=problem) as refused:
        releases(mirror, objects).stored(Tool.TERRAFORM, WANTED, START)
    assert not refused.value.retry_is_safe
    assert objects.list("tools/") == []


def test_a_subkey_that_the_primary_key_did_not_certify_counts_for_nothing(keys, tmp_path):
    """The key is read from the mirror too, and only its fingerprint is known beforehand."""
    parts = {}
    for owner in ("operator", "other"):
        folder = tmp_path / owner
        folder.mkdir()
        (folder / "all").write_bytes(keys.public(owner, armored=False))
        subprocess.run(["gpgsplit", "all"], cwd=folder, check=True)
        parts[owner] = [path.read_bytes() for path in sorted(folder.glob("0000*"))]
    forged = b"".join(parts["operator"][:3] + parts["other"][3:])
    content = b"checksums"
    verify(content, keys.sign("other", content), keys.public("other"), keys.fingerprints["other"])
    with pytest.raises(PreparationFailed, match="Bad public key"):
        verify(content, keys.sign("other", content), forged, keys.fingerprints["operator"])


def test_a_release_for_another_machine_is_named(keys, objects):
    mirror = Mirror(keys, platform="linux_arm64")
    mirror.publish("terraform", "1.14.2", b"x")
    with pytest.raises(PreparationFailed, match="no release for linux_amd64"):
        releases(mirror, objects).stored(Tool.TERRAFORM, WANTED, START)


def test_a_mirror_out_of_reach_may_be_asked_again(mirror, objects):
    mirror.down = True
    with pytest.raises(Throttled, match="cannot be reached"):
        releases(mirror, objects).stored(Tool.TERRAFORM, WANTED, START)


def test_terragrunt_needs_a_key_of_the_operator(mirror, objects):
    with pytest.raises(PreparationFailed, match="names one in tool_sources"):
        ToolReleases(objects, mirror).stored(Tool.TERRAGRUNT, WANTED, START)


@pytest.mark.parametrize(
    "index",
    [
        b'{"versions": {"1.2.3": {}, "nonsense": {}}}',
        b'{"versions": [{"id": "1.2.3"}, {"id": 7}]}',
        b'[{"tag_name": "v1.2.3"}, {"tag_name": "alpha"}]',
        b'["1.2.3", 7, null, [], {"id": [], "tag_name": {}}]',
    ],
)
def test_every_publishers_list_is_read(mirror, objects, index):
    mirror.content["terraform/index.json"] = index
    assert releases(mirror, objects).versions(Tool.TERRAFORM) == [Version.parse("1.2.3")]


@pytest.mark.parametrize("index", [b"<html>", b'{"versions": 7}', b"[" * 100_000])
def test_what_is_no_list_is_refused(mirror, objects, index):
    mirror.content["terraform/index.json"] = index
    with pytest.raises(PreparationFailed, match="is not a list of versions"):
        releases(mirror, objects).versions(Tool.TERRAFORM)


def test_publishers_are_read_over_https_and_known_by_their_keys():
    known = [publisher(tool, None) for tool in Tool]
    assert all(entry.address.startswith("https://") and entry.index.startswith("https://") for entry in known)
    assert [entry.fingerprint is not None for entry in known] == [True, True, False]


HCL = """
# terraform { required_version = "9" }
/* terraform { required_version = "8" } */
variable "x" { default = "terraform { required_version = \\"7\\" }" }
locals { y = "${f("}{", { a = "terraform {" })}" }
resource "a" "b" { text = <<-EOT
  terraform { required_version = "6" }
  EOT
}
terraform {
  required_providers { aws = { required_version = "5" } }
  required_version = ">= 1.5, < 2.0" # a comment with a "quote
}
other_terraform { required_version = "4" }
terraform { required_version="~> 1.11.0" }
"""


def test_required_version_is_found_where_terraform_reads_it():
    assert required_versions(HCL) == [">= 1.5, < 2.0", "~> 1.11.0"]
    assert required_versions(HCL.replace("\n", "\r\n")) == [">= 1.5, < 2.0", "~> 1.11.0"]


@pytest.mark.parametrize(
    "text", ["{" * 500_000, '"' * 500_001, '"${' * 200_000, "<<A\n" * 200_000, "/*" * 500_000, "}" * 9]
)
def test_broken_files_end_the_search(text):
    assert required_versions(text) == []


def test_required_version_is_found_in_json():
    assert required_versions_of_json('{"terraform": {"required_version": ">= 1"}}') == [">= 1"]
    assert required_versions_of_json('{"terraform": [{"required_version": ">= 1"}, {"backend": {}}]}') == [">= 1"]
    assert [required_versions_of_json(text) for text in ("", "[]", '{"terraform": "x"}', "[" * 100_000)] == [[]] * 4


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_nearest_version_file_counts_and_only_the_root_modules_files(tmp_path):
    (tmp_path / "tree/live/net").mkdir(parents=True)
    tree = write(tmp_path / "tree", **{".terraform-version": "# ours\n\n1.10.0 # pinned\n", "main.tf": HCL})
    write(tree / "live", **{".terraform-version": "v1.11.0", ".opentofu-version": "1.9.0"})
    write(tree / "live/net", **{"a.tf": 'terraform { required_version = ">= 1" }', "b.tofu": "", "c.txt": HCL})
    assert folder_versions(tree, "live/net") == FolderVersions(
        {
            Tool.TERRAFORM: Written("live/.terraform-version", "v1.11.0"),
            Tool.OPENTOFU: Written("live/.opentofu-version", "1.9.0"),
        },
        (Written("live/net/a.tf", ">= 1"),),
        (Written("live/net/a.tf", ">= 1"),),
        has_tofu=True,
    )
    assert folder_versions(tree, None).files == {Tool.TERRAFORM: Written(".terraform-version", "1.10.0")}
    assert folder_versions(tree, "absent").files[Tool.TERRAFORM].text == "1.10.0"


@pytest.mark.parametrize(
    ("files", "terraform", "opentofu"),
    [
        ({"a.tf": "1", "b.tf": "2"}, ["1", "2"], ["1", "2"]),
        ({"a.tf": "1", "override.tf": "2"}, ["2"], ["2"]),
        ({"z.tf": "1", "a_override.tf": "2", "b_override.tf": "3"}, ["3"], ["3"]),
        ({"a.tf": "1", "override.tf": None}, ["1"], ["1"]),
        ({"z.tf": "1", "a_override.tf.json": "2"}, ["2"], ["2"]),
        ({"versions.tf": "1", "versions.tofu": "2"}, ["1"], ["2"]),
        ({"versions.tf.json": "1", "versions.tofu.json": "2", "a.tf": "3"}, ["3", "1"], ["3", "2"]),
        ({"versions.tf": "1", "override.tofu": "2"}, ["1"], ["2"]),
        ({"a.tf": "1", ".b.tf": "2", "._a.tf": "3", "c.tf~": "4"}, ["1"], ["1"]),
    ],
)
def test_the_files_that_each_tool_reads_count(tmp_path, files, terraform, opentofu):
    for name, version in files.items():
        block = {"required_version": version} if version else {"backend": {"local": {}}}
        hcl = f'required_version = "{version}"' if version else 'backend "local" {}'
        text = json.dumps({"terraform": block}) if name.endswith("json") else f"terraform {{\n  {hcl}\n}}\n"
        (tmp_path / name).write_text(text)
    found = folder_versions(tmp_path, None)
    assert [each.text for each in found.constraints_of(Tool.TERRAFORM)] == terraform
    assert [each.text for each in found.constraints_of(Tool.OPENTOFU)] == opentofu


def test_nothing_outside_the_tree_is_read(tmp_path):
    write(tmp_path, secret="planted-text", **{"outside__main.tf": HCL})
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / ".terraform-version").symlink_to(tmp_path / "secret")
    (tree / "a/.terraform-version").symlink_to("../../secret")
    (tree / "a/main.tf").symlink_to(tmp_path / "outside/main.tf")
    (tree / "loop").symlink_to("loop")
    (tree / "out").symlink_to(tmp_path / "outside")
    for folder in (None, "a", "loop", "out", ".."):
        assert folder_versions(tree, folder) == FolderVersions()


def test_the_images_own_tools_say_their_versions(tmp_path):
    for name, text in {
        "terraform": "Terraform v1.11.4\\non linux_amd64",
        "terragrunt": "terragrunt version 0.99.2",
    }.items():
        write(tmp_path, **{name: f"#!/bin/sh\nprintf '{text}'\n"})
        (tmp_path / name).chmod(0o755)
    own = OwnTools(str(tmp_path))
    assert own.usual() is Tool.TERRAFORM
    assert [own.version(tool) for tool in Tool] == [Version.parse("1.11.4"), None, Version.parse("0.99.2")]
    (tmp_path / "terraform").unlink()
    assert OwnTools(str(tmp_path)).usual() is None


@pytest.fixture
def http_server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.handle(self)

        def log_message(self, *_): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{server.server_port}/x"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def answering(server, *answers):
    """Answer each request with the next of ``answers``."""
    left = list(answers)

    def handle(handler):
        status, body = left.pop(0)
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.handle = handle


def test_failures_that_may_pass_are_repeated(http_server):
    waits = []
    downloads = HttpDownloads(wait=waits.append)
    answering(http_server, (503, b""), (429, b""), (200, b"content"))
    assert downloads.read(http_server.url, most=10) == b"content"
    assert waits == [0.5, 2.0]
    answering(http_server, *[(500, b"")] * 3)
    with pytest.raises(Throttled, match="answered 500"):
        downloads.read(http_server.url, most=10)
    answering(http_server, (404, b""))
    with pytest.raises(NotFound):
        downloads.read(http_server.url, most=10)
    answering(http_server, (200, b"too much content"))
    with pytest.raises(PortFailed, match="more than 10 bytes"):
        downloads.read(http_server.url, most=10)
    answering(http_server, *[(500, b"")] * 3)
    with pytest.raises(PortFailed, match="--tool-sources") as final:
        HttpDownloads(again=False, wait=waits.append).read(http_server.url, most=10)
    assert not final.value.retry_is_safe


def test_an_address_without_a_server_may_be_asked_again():
    with pytest.raises(Throttled, match="cannot be reached"):
        HttpDownloads(wait=lambda _: None).read("http://127.0.0.1:1/x", most=10)


class Own(OwnTools):
    """An image with Terraform 1.11.4."""

    def usual(self):
        return Tool.TERRAFORM

    def version(self, tool):
        return Version.parse("1.11.4") if tool is Tool.TERRAFORM else None


def prepared(mirror, objects, orders, files, **fields):
    """Resolve the tools of orders in a tree; return them as texts, and the problems."""
    stored = stored_job(orders, git_repo="https://example.com/a/b", commit_hash="a" * 40)
    (source,) = {code_source(stored.job, order) for order in stored.job.orders}
    found = {(source, order.git_folder or ""): files for order in stored.job.orders}
    problems = []
    settings = ToolSettings(sources=sources(mirror), **fields)
    tools = JobTools(ToolReleases(objects, mirror, "linux_amd64"), Own(""), lambda now: settings)
    resolved = tools.resolve(stored.job, found, START, problems)
    return [[f"{tool.tool} {tool.version}" for tool in resolved[index]] for index in sorted(resolved)], problems


def asks(terraform=None, opentofu=None, required=None, **fields):
    named = {Tool.TERRAFORM: (".terraform-version", terraform), Tool.OPENTOFU: (".opentofu-version", opentofu)}
    return FolderVersions(
        {tool: Written(path, text) for tool, (path, text) in named.items() if text},
        *[(Written("main.tf", required),) if required else ()] * 2,
        **fields,
    )


@pytest.mark.parametrize(
    ("tools", "folder", "expected"),
    [
        ({}, asks(), []),
        ({"terraform": "1.14.2"}, asks(terraform="1.10.0", required="~> 1.13.0"), ["terraform 1.14.2"]),
        ({}, asks(terraform="1.13.0", required="~> 1.14.0"), ["terraform 1.13.0"]),
        ({}, asks(required="~> 1.13.0"), ["terraform 1.13.0"]),
        ({}, asks(required=">= 1.5"), []),
        ({"terraform": "1.11.4"}, asks(), []),
        ({}, asks(terraform="1.11.4", required="~> 1.14.0"), []),
        ({}, asks(terraform="latest"), ["terraform 1.14.2"]),
        ({}, asks(terraform="latest-allowed", required="< 1.14"), ["terraform 1.13.0"]),
        ({}, asks(terraform="min-required", required="> 1.11.4"), ["terraform 1.13.0"]),
        ({}, asks(opentofu="1.10.6", required="~> 1.14.0"), ["opentofu 1.10.6"]),
        ({}, asks(required=">= 1.5", has_tofu=True), ["opentofu 1.10.6"]),
        ({"opentofu": "1.10.6"}, asks(terraform="1.13.0"), ["terraform 1.13.0", "opentofu 1.10.6"]),
    ],
)
def test_an_order_comes_before_files_and_these_before_required_version(keys, objects, tools, folder, expected):
    mirror = Mirror(keys)
    for tool, version in (("terraform", "1.13.0"), ("terraform", "1.14.2"), ("opentofu", "1.10.6")):
        mirror.publish(tool, version, b"x")
    assert prepared(mirror, objects, [{"tools": tools}], folder) == ([expected], [])


def test_every_problem_is_named_at_once(mirror, objects):
    orders = [{"order_name": "a", "tools": {"terraform": "9.9.9"}}, {"order_name": "b", "tools": {"opentofu": "1.0.0"}}]
    resolved, problems = prepared(mirror, objects, orders, asks(terraform="newest", required="nonsense"))
    assert resolved == [[], []]
    assert [problem.split(":")[0] for problem in problems] == [
        "required_version in main.tf",
        "required_version in main.tf",
        "terraform of .terraform-version",
        "terraform 9.9.9 is not at https",
        "opentofu 1.0.0 is not at https",
    ]


def test_a_mirror_out_of_reach_is_no_problem_of_the_job(mirror, objects):
    mirror.down = True
    with pytest.raises(Throttled):
        prepared(mirror, objects, [{"tools": {"terraform": "1.14.2"}}], asks())


def test_the_list_of_versions_is_read_once_for_all_orders(mirror, objects):
    orders = [{"tools": {"terraform": "latest"}} for _ in range(50)]
    resolved, problems = prepared(mirror, objects, orders, asks())
    assert (resolved, problems) == ([["terraform 1.14.2"]] * 50, [])
    assert mirror.asked.count("terraform/index.json") == 1
    assert len([path for path in mirror.asked if path.endswith(".zip")]) == 1


def test_the_functions_own_version_does_not_count_for_builds_with_another_image(keys, objects):
    mirror = Mirror(keys)
    mirror.publish("terraform", "1.11.4", b"x")
    orders = [{"execution_target": target, "tools": {"terraform": "1.11.4"}} for target in ("lambda", "codebuild")]
    assert prepared(mirror, objects, orders, asks()) == ([[], []], [])
    assert prepared(mirror, objects, orders, asks(), builds_have_own_image=True) == ([[], ["terraform 1.11.4"]], [])
