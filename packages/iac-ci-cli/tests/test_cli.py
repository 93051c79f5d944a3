from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_cli import approval_commands, jobs
from iac_ci_cli.code import files_of, pack_code
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.render import summary
from iac_ci_cli.text import plain
from iac_ci_cli.validation import Kind, kind_of
from iac_ci_common.errors import InputProblems
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import START, order_row, run_row

JOB = {"username": "tests", "orders": [{"cmds": ["true"], "timeout": 60}]}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for name, content in {
        "main.tf": "", ".gitignore": "*.log\n/build/\n", "x.log": "", "build/out": "", "sub/keep": "",
        "sub/.gitignore": "secret\n", "sub/secret": "", "sub/build/in": "",
    }.items():  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "link").symlink_to("main.tf")
    return root


EXPECTED = [".gitignore", "link", "main.tf", "sub/.gitignore", "sub/build/in", "sub/keep"]


def test_what_git_ignores_is_not_packed_inside_a_work_tree_and_outside(tree):
    assert files_of(tree) == EXPECTED
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    assert files_of(tree) == EXPECTED


def test_what_holds_secrets_and_providers_is_sent_only_when_it_is_asked_for(tree):
    for name in (".env", "sub/.env", ".terraform/providers/aws", "sub/.terraform/x", ".env.example"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
    assert files_of(tree) == sorted([*EXPECTED, ".env.example"])
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    subprocess.run(["git", "-C", str(tree), "add", "--force", "."], check=True)
    assert files_of(tree) == sorted([*EXPECTED, ".env.example", "build/out", "sub/secret", "x.log"])
    (tree / ".iac-ci-ignore").write_text("!sub/.env\n*.log\nsub/build/\n/build\nsecret\n")
    kept = [name for name in EXPECTED if not name.startswith("sub/build")]
    assert files_of(tree) == sorted([*kept, ".env.example", ".iac-ci-ignore", "sub/.env"])


def test_submodules_are_packed_with_their_files_or_refused(tree, tmp_path):
    def git(folder, *arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "protocol.file.allow=always"]
        subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)

    module = tmp_path / "module"
    module.mkdir()
    (module / "net.tf").write_text("x")
    for folder in (module, tree):
        git(folder, "init", "--quiet")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", "one")
    git(tree, "submodule", "add", str(module), "modules/net")
    assert files_of(tree) == sorted([*EXPECTED, ".gitmodules", "modules/net/net.tf"])
    git(tree, "submodule", "deinit", "--force", "modules/net")
    with pytest.raises(CommandFailed, match=r"'modules/net' is not checked out; run git submodule update --init"):
        pack_code(tree)
    (tree / ".iac-ci-ignore").write_text("modules/\n")
    assert files_of(tree) == sorted([*EXPECTED, ".gitmodules", ".iac-ci-ignore"])


def test_a_pointer_of_lfs_is_refused(tree):
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 1\n"
    (tree / "sub" / "large.zip").write_text(pointer)
    (tree / "example.txt").write_text(pointer)
    (tree / ".gitattributes").write_text("*.zip filter=lfs\n")
    with pytest.raises(CommandFailed, match=r"'sub/large.zip' is a pointer of Git LFS without its content"):
        pack_code(tree)
    (tree / ".iac-ci-ignore").write_text("*.zip\n")
    assert "example.txt" in files_of(tree)


def test_a_pointer_of_lfs_is_refused_outside_git_too(tree):
    (tree / "large.zip").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 1\n")
    with pytest.raises(CommandFailed, match=r"'large.zip' is a pointer of Git LFS without its content"):
        pack_code(tree)
    (tree / ".iac-ci-ignore").write_text("*.zip\n")
    assert "large.zip" not in files_of(tree)


def test_content_of_git_annex_is_refused(tree):
    (tree / "large.zip").symlink_to(".git/annex/objects/aa/bb/SHA256E-s1--a/SHA256E-s1--a")
    with pytest.raises(CommandFailed, match=r"'large.zip' stands for content of git-annex"):
        pack_code(tree)


def test_what_a_sparse_checkout_leaves_out_is_refused_and_what_was_deleted_is_not(tree):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
        subprocess.run(["git", *identity, "-C", str(tree), *arguments], check=True, capture_output=True)

    (tree / "modules").mkdir()
    (tree / "modules" / "main.tf").write_text("x")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    git("sparse-checkout", "set", "sub")
    with pytest.raises(CommandFailed, match=r"'modules/main.tf' is left out by a sparse checkout"):
        pack_code(tree)
    (tree / ".iac-ci-ignore").write_text("modules/\n")
    assert "modules/main.tf" not in files_of(tree)
    (tree / ".iac-ci-ignore").unlink()
    git("sparse-checkout", "disable")
    (tree / "modules" / "main.tf").unlink()
    assert "modules/main.tf" not in files_of(tree)


def test_a_repository_in_the_repository_is_packed_with_its_files(tree):
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    inner = tree / "modules" / "net"
    inner.mkdir(parents=True)
    (inner / "main.tf").write_text("x")
    subprocess.run(["git", "init", "--quiet", str(inner)], check=True)
    assert "modules/net/main.tf" in files_of(tree)


def test_a_nearer_gitignore_comes_before_one_above_inside_git_and_outside(tree):
    (tree / "sub" / ".gitignore").write_text("!keep.log\n")
    (tree / "sub" / "keep.log").write_text("x")
    (tree / "sub" / "other.log").write_text("x")
    outside = files_of(tree)
    assert "sub/keep.log" in outside
    assert "sub/other.log" not in outside
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    assert files_of(tree) == outside


def test_a_repository_that_git_refuses_is_not_packed_without_git(tree, monkeypatch):
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    (tree / ".git" / "config").write_text("[core\n")
    with pytest.raises(CommandFailed, match=r"git cannot list its files: .*bad config"):
        pack_code(tree)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CommandFailed, match="FileNotFoundError; install git"):
        pack_code(tree)


def test_a_hook_of_another_repository_changes_nothing(tree, tmp_path, monkeypatch):
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    expected = files_of(tree)
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "other")], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    assert files_of(tree) == expected


def test_a_link_to_cached_providers_is_not_sent(tree):
    (tree / ".terraform").symlink_to("/var/cache/terraform")
    assert files_of(tree) == EXPECTED


def test_the_same_folder_has_the_same_digest(tree):
    first, digest = pack_code(tree)
    os.utime(tree / "main.tf", (0, 0))
    assert pack_code(tree)[1] == digest
    with zipfile.ZipFile(io.BytesIO(first)) as zipped:
        assert sorted(zipped.namelist()) == EXPECTED


def test_a_folder_that_cannot_be_packed_says_why(tree):
    (tree / "bad").symlink_to("/etc/passwd")
    with pytest.raises(CommandFailed, match="outside"):
        pack_code(tree)
    with pytest.raises(CommandFailed, match="not a folder"):
        pack_code(tree / "nothing")


def test_code_is_named_where_an_order_has_none():
    body = {**JOB, "orders": [{}, {"git_repo": "x"}, {"s3_location": "s3://own/key"}]}
    named = json.loads(jobs.name_code(json.dumps(body).encode(), "s3://b/k"))["orders"]
    assert [order.get("s3_location") for order in named] == ["s3://b/k", None, "s3://own/key"]
    with pytest.raises(InputProblems):
        jobs.name_code(b"[]", "s3://b/k")


@given(st.text())
def test_nothing_that_is_shown_commands_a_terminal(text):
    shown = plain(text)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)
    assert "\x7f" not in shown
    assert "\u202e" not in shown


def test_colours_and_titles_are_taken_out():
    assert plain("\x1b[31mred\x1b[0m \x1b]0;title\x07end\r\n") == "red end\n"
    assert plain("\x1b[1mbold\x1b(B\x1b[m \x1b=end\x1b7\n") == "bold end\n"
    assert plain("\x1b      key\n") == "      key\n"


def test_the_summary_says_how_it_ended():
    run = run_row(status=RunState.TIMED_OUT, finished_at=START, reason="the run's time is up")
    text = summary(run, [order_row(1, status=OrderState.SUCCEEDED), order_row(2, status=OrderState.CANCELLED)])
    assert "timed out" in text
    assert "1 cancelled, 1 succeeded" in text


def iac_ci(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from iac_ci_cli.main import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_a_valid_job_and_a_bad_one(tmp_path: Path):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(JOB))
    bad.write_text(json.dumps({**JOB, "job_timeout": 1, "x": 2}))
    assert iac_ci("validate", str(good)).returncode == ExitCode.SUCCEEDED
    refused = iac_ci("validate", str(bad))
    assert refused.returncode == ExitCode.BAD_INPUT
    assert "x: unknown field 'x'" in refused.stderr
    assert "Traceback" not in refused.stderr
    answer = json.loads(iac_ci("validate", "--json", str(bad)).stdout)
    assert not answer["valid"]
    assert answer["problems"][0]["where"] == "x"


CONFIGURATION = "version: 1\njobs: {go: {on: {command: go}, orders: [{name: a, cmds: [x], dependencies: [b]}]}}\n"


@pytest.mark.parametrize("name", [".iac-ci.yml", ".iac-ci.yaml", "other.yml", "no-suffix"])
def test_a_configuration_is_known_by_its_name_or_by_what_it_holds(tmp_path, name):
    (tmp_path / name).write_text(CONFIGURATION)
    done = iac_ci("validate", "--json", str(tmp_path / name))
    report = json.loads(done.stdout)
    assert (done.returncode, report["kind"]) == (ExitCode.BAD_INPUT, "configuration")
    assert report["problems"] == [
        {
            "where": "line 2: jobs.go.orders[0].dependencies",
            "what": "unknown field 'dependencies'; did you mean 'depends_on'?",
        },
        {"where": "line 2: jobs.go.orders[0].dependencies[0]", "what": "unknown order 'b'"},
    ]


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        (".iac-ci.yml", b"", Kind.CONFIGURATION),
        ("x.yaml", b"{}", Kind.CONFIGURATION),
        ("job.json", b"version: 1", Kind.JOB),
        ("-", b"\xef\xbb\xbf \n{", Kind.JOB),
        ("-", b"[1]", Kind.JOB),
        ("-", b"# ours\nversion: 1\n", Kind.CONFIGURATION),
        ("-", b"jobs:\n", Kind.CONFIGURATION),
        ("-", b"projects:\n  - find: '**'\n", Kind.CONFIGURATION),
        ("-", b"workflows: {}\n", Kind.CONFIGURATION),
        ("-", b"drift:\n", Kind.CONFIGURATION),
        ("-", b"username: me\n", Kind.JOB),
        ("-", b"", Kind.JOB),
        ("-", b"hello", Kind.JOB),
    ],
)
def test_jobs_and_configurations_are_told_apart(name, body, kind):
    assert kind_of(name, body) is kind


def test_a_configuration_under_a_name_that_the_engine_does_not_read_says_so(tmp_path):
    (tmp_path / ".iac-ci.yaml").write_text(CONFIGURATION.replace("dependencies: [b]", "depends_on: []"))
    done = iac_ci("validate", str(tmp_path))
    assert done.returncode == ExitCode.SUCCEEDED
    assert "rename .iac-ci.yaml" in done.stderr
    assert "Not checked: " in done.stdout


def test_a_folder_with_code_is_checked_as_it_is_sent(tmp_path):
    (tmp_path / "code").mkdir()
    order = {"cmds": ["true"], "timeout": 60, "git_folder": "network"}
    (tmp_path / "job.json").write_text(json.dumps({"username": "tests", "orders": [order]}))
    done = iac_ci("validate", str(tmp_path))
    assert done.returncode == ExitCode.SUCCEEDED, done.stderr
    assert f"Filled in when it is sent: orders[0].s3_location, from the folder {tmp_path / 'code'}" in done.stdout
    assert "Not checked: the settings of a stack" in done.stdout
    alone = iac_ci("validate", str(tmp_path / "job.json"))
    assert alone.returncode == ExitCode.BAD_INPUT
    assert "orders[0].git_folder: needs a git_repo or an s3_location" in alone.stderr
    assert f"Name the folder {tmp_path}" in alone.stderr
    (tmp_path / "other.json").write_text(json.dumps({"username": "tests", "orders": [{"cmds": [], "timeout": 60}]}))
    assert "Name the folder" not in iac_ci("validate", str(tmp_path / "other.json")).stderr
    assert iac_ci("validate", str(tmp_path / "job.json"), "--code", str(tmp_path / "code")).returncode == 0
    assert iac_ci("validate", str(tmp_path), "--code", "/nothing").returncode == ExitCode.BAD_INPUT


def test_code_never_hides_that_a_job_is_ambiguous():
    twice = b'{"username": "a", "username": "b", "orders": [{"cmds": [], "timeout": 1}]}'
    with pytest.raises(InputProblems) as caught:
        jobs.name_code(twice, jobs.PACKED)
    assert [problem.where for problem in caught.value.problems] == ["body", "orders[0].cmds"]


class Stack:
    """As much of a connection as sending code needs."""

    class Internal(dict):
        def exists(self, key):
            return key in self

        def put(self, key, content, content_type):
            self[key] = content

    class names:  # noqa: N801 - stands for an attribute
        internal_bucket = "internal"

    def __init__(self):
        self.internal = self.Internal()


def test_code_is_sent_where_an_order_needs_it_and_only_there(tree):
    stack = Stack()
    own = {**JOB, "orders": [{**JOB["orders"][0], "s3_location": "s3://own/key"}]}
    jobs.with_code(json.dumps(own).encode(), tree, stack)
    assert not stack.internal
    sent = json.loads(jobs.with_code(json.dumps(JOB).encode(), tree, stack))
    (key,) = stack.internal
    assert sent["orders"][0]["s3_location"] == f"s3://internal/{key}"


def test_a_folders_own_code_is_sent_with_it(tmp_path):
    assert jobs.code_folder(tmp_path, None) is None
    (tmp_path / "code").mkdir()
    assert jobs.code_folder(tmp_path, None) == tmp_path / "code"
    assert jobs.code_folder(tmp_path, tmp_path) == tmp_path


ODD = {
    "binary": bytes(range(256)),
    "empty": b"",
    "huge": b" " * 3_000_001,
    "deep": b"[" * 100_000,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "fields twice and NaN": b'{"a": NaN, "a": 1}',
    "lone surrogates": b'{"\\ud800": "\\ud800"}',
    "deep YAML": b"version: " + b"[" * 100_000,
    "huge YAML": b"version: 1\n" + b"#" * 300_000,
    "binary YAML": b"version: \xff\x00",
}


def test_no_file_brings_a_traceback(tmp_path):
    names = []
    for number, content in enumerate(ODD.values()):
        names.append(str(tmp_path / f"{number}"))
        Path(names[-1]).write_bytes(content)
    done = iac_ci("validate", "--json", *names)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "Traceback" not in done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [bool(report["problems"]) for report in reports] == [True] * len(ODD)


@pytest.mark.parametrize("name", ["", "missing.json", "a\udcff.json", "x" * 300])
def test_what_cannot_be_read_is_said_plainly_in_any_locale(tmp_path, name):
    program = "from iac_ci_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "validate", str(tmp_path / name)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.startswith(f"iac-ci: {tmp_path}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("submit", ""), ("validate", ""), ("validate", "x.json", ""), ("validate", "x.json", "--code", "")],
    ids=" ".join,
)
def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch, arguments):
    (tmp_path / "job.json").write_text(json.dumps(JOB), "utf-8")
    monkeypatch.chdir(tmp_path)
    done = iac_ci(*arguments)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "is empty; name a file or a folder" in done.stderr
    assert done.stdout == ""


def test_a_wait_for_standard_input_is_named():
    program = "from iac_ci_cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "validate", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline() == "Reading standard input …\n"
        output, _ = process.communicate(json.dumps(JOB))
    assert process.returncode == 0
    assert output.startswith("standard input is a valid job")


def test_a_configuration_beside_a_job_is_named_as_not_checked(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(JOB), "utf-8")
    (tmp_path / ".iac-ci.yml").write_text("nonsense", "utf-8")
    assert (
        f"Not checked: {tmp_path / '.iac-ci.yml'}: name it to check it too."
        in iac_ci("validate", str(tmp_path)).stdout.splitlines()
    )
    assert "name it" not in iac_ci("validate", str(tmp_path / "job.json")).stdout


def test_the_files_of_a_code_folder_are_named_as_not_checked(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps(JOB), "utf-8")
    assert "links" not in iac_ci("validate", str(tmp_path)).stdout
    (tmp_path / "code").mkdir()
    assert (
        f"Not checked: the files of {tmp_path / 'code'}, such as links that lead out of it."
        in iac_ci("validate", str(tmp_path)).stdout.splitlines()
    )


def test_a_configuration_in_place_of_a_job_is_told(tmp_path):
    (tmp_path / "a pull request" / "base").mkdir(parents=True)
    configuration = tmp_path / "a pull request" / "base" / ".iac-ci.yml"
    configuration.write_text("version: 1", "utf-8")
    for path, message, hint in (
        (configuration, "is a repository's configuration and not a job", f"iac-ci validate '{configuration}'"),
        (tmp_path / "a pull request", "cannot be read", f"iac-ci local pr '{tmp_path / 'a pull request'}'"),
        (tmp_path, "cannot be read", ""),
        (tmp_path / ("x" * 5000), "cannot be read", ""),
    ):
        with pytest.raises(CommandFailed, match=message) as failed:
            jobs.read_job(path)
        assert failed.value.exit_code is ExitCode.BAD_INPUT
        assert failed.value.hint.endswith(hint)
        assert bool(failed.value.hint) is bool(hint)


def test_a_file_that_is_not_there_is_said_plainly():
    done = iac_ci("validate", "/nothing.json")
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.startswith("iac-ci: /nothing.json cannot be read")


def test_without_a_local_cloud_the_next_step_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    done = iac_ci("status", "20260101T000000-0123456789ab", "--local")
    assert done.returncode == ExitCode.UNREACHABLE
    assert "iac-ci local up" in done.stderr


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": "x", "problems": [{"where": "a", "what": "b"}]}', InputProblems),
        (401, b'{"error": "unsigned"}', CommandFailed),
        (413, b'{"message": "too large"}', CommandFailed),
        (502, b"<html>", CommandFailed),
        (500, b"[]", CommandFailed),
    ],
)
def test_refusals_are_told_apart(status, body, kind):
    assert isinstance(jobs._refused(status, body), kind)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "Forbidden"}', "Forbidden"),
        (b'{"error": "it has ended"}', "it has ended"),
        (b"[]", "the answer is not iac-ci's"),
    ],
)
def test_an_approval_that_is_refused_has_the_reason_of_whoever_refused_it(body, message):
    assert approval_commands._refused(403, body).message == f"the order was not answered (HTTP 403): {message}"


def test_a_job_does_not_grow_when_its_code_is_named():
    body = json.dumps(
        {"username": "tests", "orders": [{"cmds": ["echo " + "é" * 5000], "timeout": 60}]}, ensure_ascii=False
    ).encode()
    assert len(jobs.name_code(body, "s3://bucket/key")) < len(body) + 50
