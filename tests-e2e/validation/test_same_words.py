"""``iac-ci validate`` reports what the webhook endpoint reports, word for word: the same bytes through both."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iac_ci_cli.errors import ExitCode
from iac_ci_cli.main import app
from iac_ci_common.limits import MAX_BODY_BYTES
from iac_ci_common.signature import HEADER, sign
from iac_ci_common.testing import MemoryLogger
from iac_ci_init import wiring
from iac_ci_init.handler import handler

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "packages" / "iac-ci-init" / "tests"))
from job_requests import Asked  # noqa: E402

ENTRIES = json.loads(Path(__file__).with_name("bad_jobs.json").read_text("utf-8"))
IAC_CI = [sys.executable, "-c", "from iac_ci_cli.main import main; main()"]


def body_of(entry) -> bytes:
    """Return the bytes of an entry: a job, a text that is none, or bytes that are no text."""
    if "base64" in entry:
        return base64.b64decode(entry["base64"])
    return entry["text"].encode() if "text" in entry else json.dumps(entry["job"]).encode()


def post(body: bytes, **fields):
    """Send bytes through the function's own handler, on ports in memory."""
    asked = Asked(**fields)
    event = {
        "headers": {HEADER: sign("secret", body, asked.clock.now())},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "job_intake", lambda: asked.intake)
        patch.setattr(wiring, "logger", MemoryLogger)
        answer = handler(event, None)
    assert answer["statusCode"] == 202 or asked.untouched
    return answer["statusCode"], json.loads(answer["body"])


def validate(body: bytes, *options: str):
    """Run the command in this process, on standard input; return its exit code, JSON and lines of text."""
    outcomes = []
    for more in (["--json"], []):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
            try:
                app(["validate", "-", "--kind", "job", *options, *more], standalone_mode=False)
            except SystemExit as ended:
                outcomes.append((ended.code, out.getvalue(), err.getvalue()))
            else:
                outcomes.append((0, out.getvalue(), err.getvalue()))
    return json.loads(outcomes[0][1]), outcomes[1][2].splitlines()[1:]


def lines(problems) -> list[str]:
    return [f"  {problem['where']}: {problem['what']}" for problem in problems]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    paths = [folder / f"{number:03d}.json" for number in range(len(ENTRIES))]
    for path, entry in zip(paths, ENTRIES, strict=True):
        path.write_bytes(body_of(entry))
    return paths


def test_there_are_enough_jobs_and_each_is_another():
    assert len({body_of(entry) for entry in ENTRIES}) == len(ENTRIES) >= 50


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry["name"] for entry in ENTRIES])
def test_the_endpoint_reports_what_is_expected(entry):
    status, answer = post(body_of(entry))
    assert (status, answer["problems"]) == (400, entry["problems"])


def test_the_command_reports_the_same_as_json_and_as_text(files):
    done = subprocess.run([*IAC_CI, "validate", "--json", *files], capture_output=True, text=True)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == ExitCode.BAD_INPUT, done.stderr
    assert [report["problems"] for report in reports] == [entry["problems"] for entry in ENTRIES]
    done = subprocess.run([*IAC_CI, "validate", *files], capture_output=True)
    assert done.returncode == ExitCode.BAD_INPUT
    expected = []
    for path, entry in zip(files, ENTRIES, strict=True):
        number = len(entry["problems"])
        expected += [f"{path}: the job has {number} problem{'s' if number > 1 else ''}:", *lines(entry["problems"])]
    assert done.stderr.decode().splitlines() == expected


@pytest.mark.parametrize("entry", ENTRIES[::20], ids=[entry["name"] for entry in ENTRIES[::20]])
def test_standard_input_is_read_like_a_file(entry):
    done = subprocess.run([*IAC_CI, "validate", "-", "--kind", "job"], input=body_of(entry), capture_output=True)
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr.decode().splitlines()[1:] == lines(entry["problems"])


def test_too_large_a_job_is_refused_in_the_same_words():
    status, answer = post(b" " * (MAX_BODY_BYTES + 1))
    report, _ = validate(b" " * (MAX_BODY_BYTES + 1))
    (problem,) = report["problems"]
    assert (status, answer["error"]) == (413, f"the {problem['where']} {problem['what']}")


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"secrets_prefix": "/team/"}, ["--secrets-prefix", "/team/"]),
        ({"secret_allow_list": {"api": ["a/*"]}}, ["--allow-secret", "a/*"]),
        ({"allow_file_repositories": True}, ["--local"]),
    ],
    ids=["prefix", "list", "local cloud"],
)
def test_what_a_stack_sets_otherwise_is_told_to_the_command(settings, options):
    order = {
        "cmds": ["true"],
        "timeout": 60,
        "git_repo": "file:///code",
        "commit_hash": "a" * 40,
        "ssm_paths": ["/team/x", "/iac-ci/jobs/a/x", "/iac-ci/jobs/b/x"],
    }
    body = json.dumps({"username": "tests", "orders": [order]}).encode()
    _, answer = post(body, **settings)
    _, usual = post(body)
    report, text = validate(body, *options)
    assert report["problems"] == answer["problems"] != usual["problems"]
    assert text == lines(answer["problems"])


# Whatever is made of a job.

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 90_000)
    | st.text(max_size=8)
    | st.sampled_from(["a", "b", "nope", "ssm:/prod/x", "file:///x", "../x", "\ud800", "a\x1b[1m\u202e", "x\ny"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("order_name", "name", "depends_on", "dependencies", "folder", "git_folder", "timeout", "timout", "cmds"),
        *("env_vars", "secrets", "git_repo", "commit_hash", "s3_location", "queue_id", "use_lambda", "ssm_paths"),
        *("execution_target", "assume_role", "must_succeed", "username", "orders", "presign_expiry", "job_timeout"),
    ]
) | st.text(max_size=6)
BASE = {
    "username": "tests",
    "orders": [
        {"order_name": "a", "cmds": ["true"], "timeout": 60},
        {"order_name": "b", "cmds": ["true"], "timeout": 60, "dependencies": ["a"]},
    ],
}
MUTATIONS = st.lists(st.tuples(st.sampled_from(["job", 0, 1]), NAMES, VALUES | st.just("remove it")), max_size=5)


def mutated(mutations) -> bytes:
    job = json.loads(json.dumps(BASE))
    for place, name, value in mutations:
        orders = job.get("orders")
        target = job
        if place != "job":
            target = orders[place] if isinstance(orders, list) and len(orders) > place else None
        if isinstance(target, dict):
            target[name] = value
            if value == "remove it":
                del target[name]
    return json.dumps(job).encode()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(MUTATIONS)
def test_whatever_becomes_of_a_job_both_say_the_same(mutations):
    body = mutated(mutations)
    status, answer = post(body)
    report, text = validate(body)
    assert status in {202, 400}
    assert report["valid"] == (status == 202)
    assert report["problems"] == answer.get("problems", [])
    assert text == lines(report["problems"])
    assert all((problem["where"] + problem["what"]).isprintable() for problem in report["problems"])


FAULTS = [
    ({"timeout": "60"}, ("{}.timeout", "must be a whole number without quotes, point or exponent")),
    ({"timeout": 541, "use_lambda": True}, ("{}.timeout", "is more than the 540 seconds that lambda allows")),
    ({"cmds": [" "]}, ("{}.cmds[0]", "is empty")),
    ({"colour": 1}, ("{}.colour", "unknown field 'colour'")),
    ({"depends_on": ["nope"]}, ("{}.depends_on[0]", "unknown order 'nope'")),
    ({"dependencies": ["nope"]}, ("{}.dependencies[0]", "unknown order 'nope'")),
    ({"git_folder": "x"}, ("{}.git_folder", "needs a git_repo or an s3_location")),
    ({"env_vars": {"LD_PRELOAD": "x"}}, ("{}.env_vars.LD_PRELOAD", "is reserved for the engine, ")),
    ({"ssm_paths": ["/prod/x"]}, ("{}.ssm_paths[0]", "does not begin with /iac-ci/jobs/, ")),
    ({"git_repo": "file:///x"}, ("{}.git_repo", "is file://, which works on the local cloud only")),
    ({"secrets": []}, ("{}.secrets", "must be a mapping")),
    ({"must_succeed": None}, ("{}.must_succeed", "has no value")),
]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(range(len(FAULTS))), min_size=1, max_size=6), st.booleans())
def test_no_fault_of_an_order_hides_one_of_another(chosen, in_a_cycle):
    orders = [{"cmds": ["true"], "timeout": 60, **FAULTS[number][0]} for number in chosen]
    expected = [(FAULTS[number][1][0].format(f"orders[{n}]"), FAULTS[number][1][1]) for n, number in enumerate(chosen)]
    if in_a_cycle:
        for name, other in (("x", "y"), ("y", "x")):
            orders.append({"order_name": name, "cmds": ["true"], "timeout": 60, "dependencies": [other]})
        expected.append(("orders", "dependency cycle: x → y → x"))
    _, answer = post(json.dumps({"username": "tests", "orders": orders}).encode())
    found = [(problem["where"], problem["what"]) for problem in answer["problems"]]
    for where, what in expected:
        assert any(place == where and said.startswith(what) for place, said in found), (where, what, found)
