"""What goes wrong is said at once, all of it, in the operator's terms, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "pipelines"))
import variable_types  # noqa: E402

SCRIPTS = sorted(path.name for path in (ROOT / "pipelines").iterdir() if path.is_file() and os.access(path, os.X_OK))


def run(script, *arguments, **environment):
    return subprocess.run(
        [ROOT / "pipelines" / script, *arguments],
        env={"PATH": "/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        timeout=1700,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_how_it_is_used(script):
    done = run(script, "--help")
    assert done.returncode == 0
    assert f"pipelines/{script}" in done.stdout
    assert "--plan" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_problem_is_said_at_once(script):
    done = run(script, "--stack", "Bad_Name", "--region", "nowhere", "--what")
    assert done.returncode == 2
    for part in ("Bad_Name", "nowhere", "unknown argument: --what", "nothing was changed"):
        assert part in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["A", "ab", "a b", "jobs", "a--b", "stack-", "1st", "x" * 23, "a'b", "stäck"])
def test_a_bad_stack_name_is_named_with_the_rule(name):
    done = run("deploy", "--stack", name, "--region", "eu-central-1")
    assert done.returncode == 2
    assert f"'{name}' is not a valid stack name: use 3 to 22 lower-case letters" in done.stderr


@pytest.mark.parametrize("name", ["nowhere", "eu", "EU-central-1", "eu-central", "eu_central_1", "eu-central-1 "])
def test_a_bad_region_is_named_with_an_example(name):
    done = run("deploy", "--region", name)
    assert done.returncode == 2
    assert f"'{name}' is not an AWS region (example: eu-central-1;" in done.stderr


@pytest.mark.parametrize("name", ["eusc-de-east-1", "us-gov-west-1", "us-isob-east-1", "ap-southeast-12"])
def test_regions_of_every_partition_are_regions(name):
    assert "is not an AWS region" not in run("deploy", "--region", name, "--what").stderr


@pytest.mark.parametrize("stage", ["bootstrap", "ecr", "deploy"])
def test_the_stages_know_the_regions_that_the_scripts_know(stage):
    (pattern,) = re.findall(r'"\$region" =~ (\S+) \]\]', (ROOT / "pipelines/settings.sh").read_text("utf-8"))
    assert f'regex("{pattern}", var.region)' in (ROOT / "terraform" / stage / "variables.tf").read_text("utf-8")


def test_a_missing_region_is_a_problem():
    assert "no AWS region is set (example: eu-central-1;" in run("deploy").stderr


def test_missing_tools_are_named():
    done = run("deploy", "--region", "eu-central-1")
    assert done.returncode == 2
    assert "terraform is not on PATH" in done.stderr
    assert "uv is not on PATH" in done.stderr
    assert "run pipelines/build" in done.stderr


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_terraform_that_does_not_run_is_a_problem(tmp_path):
    """A version manager's program ends so in a folder that it has no version for."""
    program(tmp_path / "terraform", 'echo "No version is set for command terraform" >&2; exit 126')
    done = run("ecr", "--what", "--region", "eu-central-1", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 2
    assert "terraform does not run: No version is set for command terraform" in done.stderr
    assert "unknown argument: --what" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_checkout_without_its_packages_is_a_problem(script, tmp_path):
    program(tmp_path / "uv", 'echo "ModuleNotFoundError: No module named boto3" >&2; exit 1')
    done = run(script, "--region", "eu-central-1", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 2
    assert f"the Python packages of this checkout are not installed: run 'uv sync' in {ROOT}" in done.stderr
    assert "ModuleNotFoundError" not in done.stderr


def test_the_search_path_of_cd_moves_no_script():
    """With CDPATH in the environment, cd prints where it goes, or goes elsewhere."""
    prints_root = ["bash", "-c", 'source pipelines/settings.sh; printf %s "$root"']
    environment = {"PATH": "/usr/bin:/bin", "CDPATH": "."}
    done = subprocess.run(prints_root, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.stdout == str(ROOT)
    done = subprocess.run([".ci/full", "what"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_wrong_file_of_variables_hides_no_other_problem(tmp_path):
    (tmp_path / "uv").write_text('#!/bin/sh\nshift 3\nexec "$@"\n')
    (tmp_path / "uv").chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "more.json").write_text("[]")
    done = run(
        "deploy",
        *("--region", "eu-central-1", "--image", "none", "--variables", str(tmp_path / "more.json")),
        PATH=f"{tmp_path}:/usr/bin:/bin",
    )
    assert done.returncode == 2
    assert "more.json must contain one JSON object" in done.stderr
    assert "run pipelines/build" in done.stderr


@pytest.mark.parametrize(
    ("host", "is_refused"),
    [
        ("123456789012.dkr.ecr.eu-north-1.amazonaws.com", True),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", False),
        ("registry.example:5000", False),
    ],
)
def test_an_image_of_another_region_is_a_problem(host, is_refused):
    done = run("deploy", "--region", "eu-central-1", "--image", f"{host}/acme@sha256:{'a' * 64}")
    assert done.returncode == 2
    assert ("the image is in the region eu-north-1" in done.stderr) == is_refused


def test_a_flag_without_its_value_is_a_problem():
    assert "--image needs a value" in run("deploy", "--region", "eu-central-1", "--image").stderr


@pytest.mark.parametrize(
    ("script", "flag"),
    [("deploy", "--variables"), ("deploy", "--image"), ("build", "--repository"), ("teardown", "--archive")],
)
def test_a_flag_with_an_empty_value_is_a_problem(script, flag):
    """The caller's variable is not set: without its variables a deployment would take settings away."""
    done = run(script, "--region", "eu-central-1", flag, "")
    assert done.returncode == 2
    assert f"the value of {flag} is empty" in done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "next_step"),
    [
        ("deploy", ("--image", f"registry.example/acme@sha256:{'a' * 64}"), "run pipelines/build --architecture arm64"),
        ("build", ("--repository", "registry.example/acme", "--architecture", "arm64"), "build another commit"),
    ],
)
def test_an_image_for_another_architecture_is_refused_with_what_helps_there(tmp_path, script, arguments, next_step):
    """What helps a deployment is what the build has just been called with, and the tag of its commit is taken."""
    program(
        tmp_path / "uv",
        """case "$*" in
          *"state.py account") echo 123456789012 ;;
          *variables.py* | *preflight.py*) echo '{"architecture": "arm64"}' ;;
          *"registry.py digest"*) echo sha256:0 ;;
          *"image.py check"*" arm64") echo "the image is built for x86_64 and not for arm64" >&2; exit 2 ;;
          *"python -c "*) ;;
          *) echo "unexpected: $*" >&2; exit 9 ;;
        esac""",
    )
    program(tmp_path / "terraform", 'echo \'{"terraform_version": "1.11.4"}\'')
    program(tmp_path / "docker", "exit 0")
    path = f"{tmp_path}:/usr/bin:/bin"
    done = run(script, *arguments, PATH=path, AWS_REGION="eu-central-1", IAC_CI_UNPINNED="yes", IAC_CI_STACK="acme")
    assert done.returncode == 2, done.stderr
    assert "built for x86_64 and not for arm64" in done.stderr
    assert f"{script}: " in done.stderr
    assert next_step in done.stderr
    assert "Nothing was changed." in done.stderr


ALWAYS_FILLED = {"problems", "platforms", "sums", "deploy_contents", "target"}
"""Arrays that have an element where they are expanded."""


def test_the_scripts_run_with_the_bash_of_macos():
    """It is 3.2: it has no mapfile and no maps, and an empty array counts as a variable that is not set."""
    for path in [ROOT / "pipelines" / name for name in SCRIPTS] + sorted((ROOT / "pipelines").glob("*.sh")):
        text = path.read_text("utf-8")
        assert re.findall(r"\b(?:mapfile|readarray|(?:declare|local) -A)\b", text) == [], path
        guarded = re.sub(r'\$\{(\w+)\[@\]\+"\$\{\1\[@\]\}"\}', "", text)
        assert set(re.findall(r'"\$\{(\w+)\[@\][^}]*\}"', guarded)) <= ALWAYS_FILLED, path


@pytest.mark.local_cloud
def test_without_credentials_nothing_happens(operator):
    done = operator.run("ecr", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_EC2_METADATA_DISABLED="true")
    assert done.returncode == 3
    assert "check your credentials. Nothing was changed." in done.stderr


@pytest.mark.local_cloud
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is not valid JSON: line 1, column 2"),
        ("[]", "must contain one JSON object"),
        ("\xff", "is not UTF-8 text"),
        ('{"stack": "x", "webhook_secret": "y"}', "stack: remove it; the script sets it; webhook_secret"),
        ('{"role_allow_lists": {}}', "is not a variable of the deploy stage; did you mean role_allow_list?"),
        ('{"role_allow_list": {"*": [], "*": ["**"]}}', "*: in one object of the file of variables more than once"),
    ],
)
def test_a_wrong_file_of_variables_is_refused(operator, tmp_path, content, why):
    path = tmp_path / "more.json"
    path.write_text(content, "latin-1")
    done = operator.run("deploy", "--variables", str(path))
    assert done.returncode == 2
    assert why in done.stderr


def test_the_types_of_all_variables_are_read():
    """Each type in the file says object, map, list or set as often as what was read does."""
    read = variable_types.types(ROOT / "terraform/deploy")
    text = (ROOT / "terraform/deploy/variables.tf").read_text("utf-8")
    assert read.keys() == set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))

    def count(kind):
        entries = kind.values() if isinstance(kind, dict) else kind if isinstance(kind, list) else ()
        return (isinstance(kind, dict), isinstance(kind, list)), *(found for entry in entries for found in count(entry))

    counted = [found for kind in read.values() for found in count(kind)]
    assert sum(is_object for is_object, _ in counted) == text.count("object({")
    assert sum(is_collection for _, is_collection in counted) == len(re.findall(r"\b(?:map|list|set)\(", text))
    assert read["tags"] == [None]
    assert read["connections"][0]["require"]["approved"].keys() == {"count", "people", "teams", "code_owners"}


@pytest.mark.parametrize(
    ("name", "value", "problems"),
    [
        ("connections", [{"trusted_acounts": []}], ["connections[0].trusted_acounts", "mean trusted_accounts?"]),
        ("connections", [{}, {"require": {"approved": {"counts": 2}}}], ["connections[1].require.approved.counts"]),
        ("code_hosts", {"git.acme.com": {"url": ""}}, ["code_hosts.git.acme.com.url: is not an attribute there"]),
        ("worker_network", {"subnets": []}, ["worker_network.subnets", "did you mean subnet_ids?"]),
        ("connections", [{"require": {"approved": {"count": 2}, "checks": ["x"]}, "branches": None}], []),
        ("tags", {"any": "name"}, []),
        ("secret_allow_list", {"api": ["a/*"]}, []),
        # Terraform refuses it and says why.
        ("connections", {"repositories": []}, []),
        ("connections", "none", []),
        ("worker_network", None, []),
    ],
)
def test_a_misspelt_attribute_is_refused(tmp_path, name, value, problems):
    path = tmp_path / "more.json"
    path.write_text(json.dumps({name: value}))
    in_environment = {f"TF_VAR_{name}": json.dumps(value)}
    for done in (merged(path), merged(**in_environment)):
        assert done.returncode == (1 if problems else 0), done.stderr
        assert all(problem in done.stderr for problem in problems)
    # The file comes first.
    path.write_text(json.dumps({name: None}))
    assert merged(path, **in_environment).returncode == 0


@pytest.mark.parametrize("value", ['[{repositories = ["https://git.acme.com/a"]}]', "acme", ""])
def test_what_is_no_json_in_the_environment_is_left_to_terraform(value):
    done = merged(TF_VAR_connections=value)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_of_variables_may_begin_with_a_mark_of_its_encoding(tmp_path):
    """PowerShell writes one, and jobs may have it."""
    path = tmp_path / "more.json"
    path.write_text('{"max_parallel": 7}', "utf-8-sig")
    done = merged(path)
    assert (done.returncode, json.loads(done.stdout or "{}").get("max_parallel")) == (0, 7), done.stderr


def merged(*path, **environment):
    return subprocess.run(
        [sys.executable, ROOT / "pipelines/variables.py", "acme", "eu-central-1", "image", *path],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def _is_shell(path):
    return not path.read_text("utf-8").startswith("#!/usr/bin/env python3")


def test_the_scripts_are_clean_to_shellcheck():
    scripts = [ROOT / "pipelines" / name for name in SCRIPTS] + sorted((ROOT / "pipelines").glob("*.sh"))
    scripts += sorted(path for path in (ROOT / ".ci").iterdir() if path.is_file() and _is_shell(path))
    done = subprocess.run(["shellcheck", "-x", "-P", "SCRIPTDIR", *scripts], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
