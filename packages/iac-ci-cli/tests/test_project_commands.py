"""The commands ``expand`` and ``scaffold`` on checkouts, run as users run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from iac_ci_triggers.configuration import read_configuration

FILES = {
    "live/a/backend.tf": 'terraform { backend "s3" {} }\n',
    "live/it's/backend.tf": 'terraform { backend "s3" {} }\n',
    "live/a/dev.tfvars": "",
}


@pytest.fixture
def checkout(tmp_path):
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def run(*arguments):
    program = Path(sys.executable).with_name("iac-ci")
    return subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)


def test_a_scaffold_is_valid_and_finds_the_projects(checkout):
    done = run("scaffold", checkout)
    assert done.returncode == 0, done.stderr
    written = checkout / ".iac-ci.yml"
    assert read_configuration(written.read_bytes()).projects[0].find == ["live/**/backend.tf"]
    assert "#   live/a: dev.tfvars" in written.read_text()
    expanded = run("expand", checkout)
    assert len(read_configuration(expanded.stdout.encode()).jobs["plan"].orders) == 2
    again = run("scaffold", checkout)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


def test_a_scaffold_shows_names_as_they_are_and_what_it_leaves_out(tmp_path):
    for number, name in enumerate(("lib/über", "lib/😀", 'lib/q"d', "lib/l\u2028s")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / f"{number}.tf").write_text('terraform { backend "s3" {} }')
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "main.tf").write_text("")
    os.mkfifo(tmp_path / "main.tf")
    done = run("scaffold", tmp_path, "--to", "-")
    assert yaml.safe_load(done.stdout)
    for line in ("#   lib/über", "#   lib/😀", '- folder: "lib/😀"', "#   plain: no backend, unlike others"):
        assert line in done.stdout
    assert "\u2028" not in done.stdout
    assert "Left out: plain: no backend, unlike others" in done.stderr


def test_a_checkout_without_projects_or_with_another_name_of_the_file_is_told_the_way_on(tmp_path):
    (tmp_path / "README.md").write_text("no project\n")
    assert "iac-ci scaffold writes one" in run("expand", tmp_path).stderr
    (tmp_path / ".iac-ci.yaml").write_text("version: 1\n")
    assert "The engine reads .iac-ci.yml only: rename .iac-ci.yaml." in run("expand", tmp_path).stderr
    done = run("scaffold", tmp_path)
    assert (done.returncode, "No project found; write your own patterns." in done.stderr) == (0, True)


def test_a_folder_in_place_of_the_configuration_is_said(tmp_path):
    (tmp_path / ".iac-ci.yml").mkdir()
    for command in ("validate", "expand"):
        done = run(command, tmp_path)
        assert (done.returncode, ".iac-ci.yml cannot be read: Is a directory" in done.stderr) == (2, True)


def test_a_file_of_atlantis_is_converted_with_its_remarks(checkout):
    (checkout / "atlantis.yaml").write_text("version: 3\nautomerge: true\nprojects: [{dir: live/a}, {dir: live/x}]\n")
    done = run("scaffold", checkout, "--from", checkout / "atlantis.yaml", "--to", "-")
    assert done.returncode == 0, done.stderr
    assert [rule.folder for rule in read_configuration(done.stdout.encode()).projects] == ["live/a", "live/x"]
    (checkout / "two.yaml").write_text("version: 3\nprojects: [{dir: live/a}]\n---\nprojects: [{dir: live/x}]\n")
    assert "line 4: a second document" in run("scaffold", checkout, "--from", checkout / "two.yaml", "--to", "-").stderr
    for said in (done.stderr, done.stdout):
        assert "line 2: automerge became merge_when_applied" in said
        assert "line 3: the folder 'live/x' does not exist" in said


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["expand", "{}"], "has no .iac-ci.yml"),
        (["expand", "{}/none"], "is not a folder"),
        (["scaffold", "{}", "--from", "{}/none"], "cannot be read"),
        (["scaffold", "{}", "--to", "{}/none/x"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_bad_input(checkout, arguments, problem):
    done = run(*(argument.format(checkout) for argument in arguments))
    assert done.returncode == 2
    assert problem in done.stderr


UNNAMED = """version: 1
jobs:
  plan:
    on: {pull_request: {}}
    orders:
      - {name: blue, folder: live, cmds: [x], save: [f], plan: {file: f}}
      - {name: green, folder: live, cmds: [x], save: [f], plan: {file: f}}
"""


def test_orders_that_may_plan_one_state_are_named(tmp_path):
    (tmp_path / ".iac-ci.yml").write_text(UNNAMED, "utf-8")
    words = "whether blue, green plan one state in the folder live: without `workspace` each counts as the plan of"
    valid = run("validate", str(tmp_path))
    assert (valid.returncode, f"Not checked: {words} another state" in valid.stdout) == (0, True)
    assert f"# not known: {words} another state" in run("expand", str(tmp_path)).stdout
    (tmp_path / ".iac-ci.yml").write_text(UNNAMED.replace("{file: f}", "{file: f, workspace: default}"), "utf-8")
    assert "one state" not in run("validate", str(tmp_path)).stdout + run("expand", str(tmp_path)).stdout


def test_a_submodule_is_read_as_the_engine_reads_it(checkout):
    """Its files are in another repository: no project is found in it, and it need not be checked out."""
    git = ["git", "-C", str(checkout), "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    parts = checkout / "live" / "parts"
    for place in (checkout, parts):
        place.mkdir(exist_ok=True)
        subprocess.run(["git", "init", "-q", "-b", "main", str(place)], check=True)
    (parts / "backend.tf").write_text('terraform { backend "s3" {} }\n')
    inner = ["git", "-C", str(parts), *git[3:]]
    for command in ([*inner, "add", "."], [*inner, "commit", "-q", "-m", "parts"], [*git, "add", "."]):
        subprocess.run(command, check=True, capture_output=True)
    (checkout / ".iac-ci.yml").write_text('version: 1\nprojects: [{find: "live/**/backend.tf"}]\n')
    checked_out = run("expand", checkout)
    assert checked_out.returncode == 0, checked_out.stderr
    assert [order.folder for order in read_configuration(checked_out.stdout.encode()).jobs["plan"].orders] == [
        "live/a",
        "live/it's",
    ]
    for path in sorted(parts.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert run("expand", checkout).stdout == checked_out.stdout


def test_a_folder_inside_of_a_repository_is_said(checkout):
    subprocess.run(["git", "init", "-q", str(checkout)], check=True)
    done = run("scaffold", checkout / "live", "--to", "-")
    assert done.returncode == 0
    assert "live is live of its repository. The engine reads .iac-ci.yml of the repository's root" in done.stderr
    assert "repository's root" not in run("scaffold", checkout, "--to", "-").stderr


def test_a_file_that_cannot_be_written_whole_is_not_left(checkout):
    """As on a full disk. The next call would refuse to write over it."""
    program = Path(sys.executable).with_name("iac-ci")
    limited = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", str(program), "scaffold", str(checkout)]
    done = subprocess.run(limited, capture_output=True, text=True)
    assert (done.returncode, "cannot be written: File too large" in done.stderr) == (2, True), done.stderr
    assert not (checkout / ".iac-ci.yml").exists()
    assert run("scaffold", checkout).returncode == 0


def git(folder, *arguments):
    author = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
    subprocess.run(["git", "-C", str(folder), *author, *arguments], check=True, capture_output=True)


def test_commits_that_a_clone_does_not_have_are_told_with_the_way_to_get_them(checkout):
    git(checkout, "init", "--initial-branch", "main")
    run("scaffold", checkout)
    git(checkout, "add", "--all")
    git(checkout, "commit", "--message", "one")
    unknown = run("expand", checkout, "--since", "origin/main")
    assert (unknown.returncode, "'origin/main' is no commit of the repository of" in unknown.stderr) == (2, True)
    git(checkout, "checkout", "--orphan", "other")
    git(checkout, "commit", "--message", "two")
    apart = run("expand", checkout, "--since", "main")
    assert (apart.returncode, "have no commit in common" in apart.stderr) == (2, True)
    for done in (unknown, apart):
        assert "`git fetch --unshallow` fetches the others." in done.stderr


def test_a_hook_of_another_repository_changes_nothing(checkout, tmp_path_factory, monkeypatch):
    git(checkout, "init")
    run("scaffold", checkout)
    git(checkout, "add", "--all")
    git(checkout, "commit", "--message", "one")
    (checkout / "live/a/backend.tf").write_text('terraform { backend "local" {} }\n')
    expected = run("expand", checkout, "--since", "HEAD").stdout
    assert "live/a" in expected
    other = tmp_path_factory.mktemp("other")
    git(other, "init")
    git(other, "commit", "--allow-empty", "--message", "one")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert run("expand", checkout, "--since", "HEAD").stdout == expected
