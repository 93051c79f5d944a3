"""How the process ends, whatever its arguments, environment and streams are: no traceback, no library's own words."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec

import pytest

from iac_ci_cli import job_commands, process, progress, streams
from iac_ci_cli.aws_messages import aws_message
from iac_ci_cli.errors import CommandFailed, ExitCode
from iac_ci_cli.failures import Failure, failure_of
from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.answer import Accepted

RUN = "20260101T000000-0123456789ab"
PROGRAM = [sys.executable, "-c", "from iac_ci_cli.process import main; main()"]
LIBRARIES = ("Traceback", "typer", "click", "pydantic", "botocore", "boto3", "validation error", "errors.pydantic")


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """No AWS settings, no local cloud and no home."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "IAC_CI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def messages(capsys, *words):
    """Run a command line in this process; return its exit code and what it prints on standard error."""
    code = process.run(list(words))
    printed = capsys.readouterr()
    for word in LIBRARIES:
        assert word not in printed.err + printed.out
    return code, printed.err


PREFIX = (
    "a prefix of secrets: it begins and ends with a slash, has 1 to 10 levels, and does not begin with aws or ssm"
    " (example: /iac-ci/jobs/)"
)
STACK = "use 3 to 22 lower-case letters, digits and single hyphens, a letter first and no hyphen last (example: iac-ci)"
USAGE = [
    (["sumbit"], "unknown command 'sumbit'; did you mean 'submit'?"),
    (["frobnicate"], "unknown command 'frobnicate'"),
    (["--verson"], "unknown option --verson; did you mean '--version'?"),
    (["--stack", "x", "status", RUN], "unknown option --stack; write it after the command"),
    (["runs", "--limit", "many"], "option --limit: must be a whole number"),
    (["runs", "--limit", "0"], "option --limit: must be at least 1"),
    (["runs", "--limit", "1001"], "option --limit: must be at most 1000"),
    (["status"], "argument RUN is missing"),
    (["status", "../x"], "'../x' is not a valid run id (example: 20260131T235959-0123456789ab)"),
    (["status", RUN, "more"], "unexpected argument: more"),
    (["status", RUN, "--stak", "x"], "unknown option --stak; did you mean '--stack'?"),
    (["status", RUN, "-x"], "unknown option -x"),
    (["status", RUN, "--stack"], "option --stack needs a value"),
    (["status", RUN, "--json=yes"], "option --json takes no value"),
    (["status", RUN, "--stack", "a b"], f"option --stack: 'a b' is not a valid stack name: {STACK}"),
    (["status", RUN, "--stack", "UPPER"], f"option --stack: 'UPPER' is not a valid stack name: {STACK}"),
    (["status", RUN, "--stack", ""], f"option --stack: '' is not a valid stack name: {STACK}"),
    (["status", RUN, "--stack", "a\nb"], f"option --stack: 'a\\nb' is not a valid stack name: {STACK}"),
    (["status", RUN, "--stack", "é" * 9], f"option --stack: 'ééééééééé' is not a valid stack name: {STACK}"),
    (["status", RUN, "--stack", "a--b"], f"option --stack: 'a--b' is not a valid stack name: {STACK}"),
    (["status", RUN, "--stack", "x" * 999], f"option --stack: '{'x' * 60}' is not a valid stack name: {STACK}"),
    (["status", RUN, "--stack", "jobs"], "option --stack: 'jobs' is reserved; choose another name (example: iac-ci)"),
    (["status", RUN, "--cloud", "1"], "option --cloud: '1' is not an account number of 12 digits"),
    (["validate", "x", "--kind", "none"], "option --kind: 'none' is not one of 'job', 'configuration'"),
    *((["runs", option, empty], f"option {option}: is empty; leave it out to list all runs")
      for option in ("--repo", "--branch", "--project", "--actor") for empty in ("", " ", "/")),
    (["runs", "--since", "2999-01-01"], "'2999-01-01' is in the future"),
    (["validate", "x", "--source", ""], "option --source: is empty; write api, or the repository as host/path"),
    *((["validate", "x", "--secrets-prefix", prefix], f"option --secrets-prefix: {prefix!r} is not {PREFIX}")
      for prefix in ("", "/", "iac-ci/jobs/", "/iac-ci/jobs", "/a//b/", "/a b/", "/x" * 11 + "/", "/AWS/x/", "/ssm/")),
    (["files", RUN, "--to", ""], "option --to: is empty; name a file or a folder (. is the current one)"),
    (["scaffold", "--from", "/"], "/ cannot be read: Is a directory"),
    (["cancel", RUN, "--reason", " "], "a reason has 1 to 900 characters"),
    (["submit", "x", "--idempotency-key", "é\n"], "--idempotency-key has 1 to 200 letters, digits or _.:=+/-"),
    (["submit", "/nothing/job.json"], "/nothing/job.json cannot be read: No such file or directory"),
    (["submit", "/"], "/job.json cannot be read: No such file or directory"),
    (["submit", "x" * 5000], f"{'x' * 5000} cannot be read: File name too long"),
    (["submit", "/etc/passwd/x"], "/etc/passwd/x cannot be read: Not a directory"),
    (["submit", "a\0b"], "argument JOB: contains a NUL character, which no path has"),
    (["validate", "/"], "/ holds no job.json and no .iac-ci.yml"),
    (["validate", "/etc/passwd", "--code", "/nothing"], "/nothing is not a folder"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), USAGE, ids=[str(number) for number in range(len(USAGE))])
def test_wrong_arguments_are_refused_in_our_words(capsys, environment, words, message):
    code, printed = messages(capsys, *words)
    assert code == ExitCode.BAD_INPUT
    assert printed.splitlines()[0] == f"iac-ci: {message}"


def test_a_missing_package_is_no_wrong_spelling(capsys, environment, monkeypatch):
    monkeypatch.setattr("iac_ci_cli.command_group.entry_points", lambda **_: ())
    code, printed = messages(capsys, "local", "run", "x")
    assert code == ExitCode.BAD_INPUT
    assert "unknown command 'local'; it comes with the package iac-ci-local" in printed


def test_a_setting_of_the_environment_is_checked_like_the_option(capsys, environment, monkeypatch):
    monkeypatch.setenv("IAC_CI_STACK", "a b")
    code, printed = messages(capsys, "status", RUN)
    assert (code, "'a b' is not a valid stack name" in printed) == (ExitCode.BAD_INPUT, True)


REGION = {"AWS_REGION": "eu-central-1"}
KEYS = {**REGION, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_MAX_ATTEMPTS": "1"}
NOWHERE = {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
AWS = [
    ({}, "no AWS region is set", "AWS_REGION"),
    (REGION, "there are no AWS credentials", "aws sso login"),
    ({**REGION, "AWS_ACCESS_KEY_ID": "a"}, "the AWS credentials are incomplete", "both or neither"),
    ({**KEYS, "AWS_REGION": "a b"}, "the AWS region is not valid", "eu-central-1"),
    ({**REGION, "AWS_PROFILE": "none"}, "the AWS profile 'none' does not exist", "AWS_PROFILE"),
    (NOWHERE, "http://127.0.0.1:9/ does not answer", "AWS_ENDPOINT_URL"),
    ({**KEYS, "AWS_ENDPOINT_URL": "nonsense"}, "the AWS settings of this environment are not valid", "~/.aws"),
    ({**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:port"}, "the AWS settings of this environment", "~/.aws"),
    ({**KEYS, "AWS_MAX_ATTEMPTS": "many"}, "", "~/.aws"),
    ({**KEYS, "AWS_RETRY_MODE": "x"}, "", "~/.aws"),
    ({**KEYS, "AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "no AWS region is set", "AWS_REGION"),
    (
        {**REGION, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nothing/token"},
        "the AWS credentials could not be fetched: /nothing/token: No such file or directory",
        "AWS_…",
    ),
]


@pytest.mark.parametrize(("settings", "message", "hint"), AWS, ids=[str(number) for number in range(len(AWS))])
def test_what_keeps_aws_from_answering_is_explained(capsys, environment, monkeypatch, settings, message, hint):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code, printed = messages(capsys, "status", RUN)
    assert code == ExitCode.UNREACHABLE
    first, second = printed.splitlines()[-2:]
    assert message in first
    assert hint in second


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ExpiredTokenException", "reading x: the AWS credentials have expired"),
        ("AccessDeniedException", "reading x: the AWS credentials may not do this"),
        ("ThrottlingException", "reading x: AWS asks for fewer requests"),
        ("UnrecognizedClientException", "reading x: AWS does not know these credentials"),
        ("InvalidAccessKeyId", "reading x: AWS does not know these credentials"),
        ("InvalidToken", "reading x: AWS does not know these credentials"),
        ("RequestTimeTooSkewed", "reading x: this machine's clock differs from that of AWS"),
        ("ProvisionedThroughputExceededException", "reading x: AWS asks for fewer requests"),
        ("InternalServerError", "reading x: AWS has a fault of its own"),
        ("SomethingNew", "reading x: AWS refused: SomethingNew Its own words"),
    ],
)
def test_a_refusal_of_aws_keeps_what_was_done(code, message):
    from botocore.exceptions import ClientError

    answer = {"Error": {"Code": code, "Message": "Its own words"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    with pytest.raises(PortFailed) as caught, aws_errors("reading x"):
        raise ClientError(answer, "GetParameter")
    assert aws_message(caught.value)[0] == message


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        (
            "login_session = arn:aws:iam::123456789012:user/me",
            "the AWS login of this profile needs a library that is not installed",
            'eval "$(aws configure export-credentials --format env)"',
        ),
        ("role_arn = arn:aws:iam::123456789012:role/x\nsource_profile = gone", "are not valid", "get-caller-identity"),
        ("credential_process = echo no JSON", "the AWS settings of this environment are not valid", "~/.aws"),
    ],
)
def test_a_profile_that_gives_no_credentials_is_explained(capsys, environment, monkeypatch, settings, message, hint):
    (environment / "config").write_text(f"[profile mine]\n{settings}\n")
    for name, value in {**REGION, "AWS_PROFILE": "mine"}.items():
        monkeypatch.setenv(name, value)
    # The library that `aws login` needs may be installed here.
    monkeypatch.setattr("botocore.credentials.EC", None)
    code, printed = messages(capsys, "status", RUN)
    assert code == ExitCode.UNREACHABLE
    assert message in printed
    assert hint in printed


def test_the_missing_permission_is_named():
    from botocore.exceptions import ClientError

    said = (
        "User: arn:aws:sts::123456789012:assumed-role/dev/me is not authorized to perform: dynamodb:UpdateItem on"
        " resource: arn:aws:dynamodb:eu-west-1:123456789012:table/iac-ci-orders because no policy allows it"
    )
    error = ClientError({"Error": {"Code": "AccessDeniedException", "Message": said}}, "UpdateItem")
    assert aws_message(error)[0] == "the AWS credentials may not do this (dynamodb:UpdateItem)"


def test_a_region_that_is_not_enabled_is_a_reason_for_unknown_credentials():
    from botocore.exceptions import ClientError

    error = ClientError({"Error": {"Code": "InvalidClientTokenId", "Message": "m"}}, "GetCallerIdentity")
    assert "If the region is new to the account, enable it there." in aws_message(error)[1]


def test_an_error_that_aws_had_no_part_in_is_not_explained_as_one():
    assert aws_message(CommandFailed("x")) is None
    assert failure_of(PortFailed("the host answered 500")) == Failure("the host answered 500", ExitCode.UNREACHABLE)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("1 validation error for Job"), ExitCode.FAULT),
        (RecursionError(), ExitCode.FAULT),
        (MemoryError(), ExitCode.FAULT),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (OSError(errno.ENOSPC, "No space left on device"), ExitCode.OUTPUT_FAILED),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), ExitCode.BAD_INPUT),
    ],
)
def test_no_error_is_without_a_message_of_ours(error, code):
    failure = failure_of(error)
    assert failure.exit_code == code
    assert "validation" not in failure.message
    assert type(error).__name__ not in failure.message


@pytest.mark.parametrize("words", [["submit", "/nothing"], ["status", "x"], ["status"], ["nonsense"], ["status", RUN]])
def test_with_json_every_error_is_one_object_on_standard_output(capsys, environment, words):
    code = process.run([*words, "--json"])
    printed = capsys.readouterr()
    assert printed.err == ""
    answer = json.loads(printed.out)
    assert set(answer) == {"schema_version", "error", "hint", "problems", "exit_code"}
    assert answer["exit_code"] == code
    assert answer["error"]


def test_validate_reports_a_file_that_cannot_be_read_beside_the_others(capsys, environment):
    good = environment / "job.json"
    good.write_text(json.dumps({"username": "t", "orders": [{"cmds": ["true"], "timeout": 60}]}))
    assert process.run(["validate", "--json", "/nothing", str(good)]) == ExitCode.BAD_INPUT
    bad, fine = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (bad["valid"], bad["problems"][0]["where"], fine["valid"]) == (False, "file", True)


def run(*words, redirect="", environment=None, text=None):
    """Run a command line by a shell, as a process of its own; return its exit code and both streams."""
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirect}', "-", *PROGRAM, *words],
        env={"PATH": os.environ["PATH"], **(environment or {})},
        input=text,
        capture_output=True,
        timeout=120,
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


def test_a_full_device_is_reported(tmp_path):
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"username": "t", "orders": [{"cmds": ["true"], "timeout": 60}]}))
    for words in (["validate", str(job)], ["validate", "--json", str(job)], ["--help"]):
        code, _, err = run(*words, redirect=">/dev/full")
        assert code == ExitCode.OUTPUT_FAILED
        assert "the output could not be written: No space left on device" in err
    assert run("status", redirect="2>/dev/full")[0] == ExitCode.BAD_INPUT


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_end_nothing(redirect):
    code = ExitCode.OUTPUT_FAILED if ">&- " in f" {redirect} ".replace("2>&-", "") else ExitCode.SUCCEEDED
    assert run("--help", redirect=redirect)[0] == code
    assert run("status", redirect=redirect)[0] == ExitCode.BAD_INPUT


def test_output_that_nobody_can_have_is_no_success(tmp_path):
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"username": "t", "orders": [{"cmds": ["true"], "timeout": 60}]}))
    code, _, err = run("validate", str(job), redirect=">&-")
    assert code == ExitCode.OUTPUT_FAILED
    assert "the output could not be written: Bad file descriptor" in err


def test_the_id_of_an_accepted_run_reaches_the_user_all_the_same(monkeypatch, capsys):
    """``submit > /dev/full``: the run exists."""

    def full(text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(job_commands, "write", full)
    accepted = Accepted(run_id=RUN, trace_id="0" * 16, flow_id="t:x", done_endpt="s3://d/x")
    for as_json in (False, True):
        with pytest.raises(OSError, match="No space"):
            job_commands.report_accepted(None, accepted, wait=False, as_json=as_json)
        assert capsys.readouterr().err == f"Accepted as run {RUN}\n"


WITH_LOCAL = pytest.mark.skipif(find_spec("iac_ci_local") is None, reason="the command line is installed alone")


@pytest.mark.parametrize(
    "words",
    [
        ["-h"],
        ["validate", "-h"],
        ["submit", "--help"],
        pytest.param(["local", "-h"], marks=WITH_LOCAL),
        pytest.param(["local", "run", "--help"], marks=WITH_LOCAL),
    ],
)
def test_help_is_asked_for_in_two_ways_and_shows_no_values_of_flags(words):
    code, out, _ = run(*words)
    assert code == ExitCode.SUCCEEDED
    assert b"Usage: iac-ci" in out
    assert b"<bool>" not in out


def test_the_version_is_shown():
    code, out, _ = run("--version")
    assert (code, out) == (ExitCode.SUCCEEDED, f"iac-ci {version('iac-ci-cli')}\n".encode())


def test_a_closed_standard_input_is_reported():
    code, _, err = run("validate", "-", redirect="<&-")
    assert (code, err) == (ExitCode.BAD_INPUT, "iac-ci: standard input is closed\n")


def test_a_reader_that_ends_first_ends_the_command_silently():
    code, _, err = run("--help", redirect="| true; exit ${PIPESTATUS[0]}")
    assert code in {ExitCode.PIPE_CLOSED, ExitCode.SUCCEEDED}
    assert err == ""


ASCII = [
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "ascii:strict", "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "1"},
    {"LC_ALL": "nonsense", "COLUMNS": "-5", "LINES": "x"},
]


@pytest.mark.parametrize("settings", ASCII)
def test_every_text_can_be_written_in_every_locale(tmp_path, settings):
    (tmp_path / "ünï").mkdir()
    code, _, err = run("validate", str(tmp_path / "ünï"), environment=settings)
    assert code == ExitCode.BAD_INPUT
    assert "holds no job.json" in err
    assert run("--help", environment=settings)[0] == ExitCode.SUCCEEDED


@pytest.mark.parametrize("size", ["0", "00", ""])
def test_a_terminal_without_a_size_hides_nothing(size):
    settings = os.environ | {"COLUMNS": size, "LINES": size}
    done = subprocess.run([*PROGRAM, "submit", "--help"], env=settings, capture_output=True, text=True, timeout=600)
    assert "Send a job to a stack and print the run's id." in done.stdout


def test_signs_have_a_spelling_in_ascii():
    assert "… ✗ → · ─ ü".encode("ascii", errors=_handler()) == b"... x -> - - \\xfc"


def _handler():
    streams.prepare()
    return "iac-ci-ascii"


@pytest.mark.parametrize(
    ("command", "text"),
    [("submit", "nothing was sent"), ("validate", "nothing was changed")],
    ids=["submit", "validate"],
)
def test_ctrl_c_says_what_is_so(tmp_path, command, text):
    pipe = tmp_path / "job.json"
    os.mkfifo(pipe)
    started = subprocess.Popen([*PROGRAM, command, str(pipe)], stderr=subprocess.PIPE, text=True)
    with pipe.open("wb"):  # opens when the command reads
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=120)
    assert (started.returncode, err) == (ExitCode.INTERRUPTED, f"iac-ci: interrupted: {text}\n")


def test_ctrl_c_while_the_command_is_imported_has_no_traceback():
    hook = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from iac_ci_cli.process import main\n"
        "main(['--help'])\n"
    )
    done = subprocess.run([sys.executable, "-c", hook], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "iac-ci: interrupted: nothing was changed\n")


def test_progress_is_shown_after_two_seconds_and_not_with_json(capsys, monkeypatch):
    assert progress.FIRST_SECONDS == 2.0
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.0)
    until = time.monotonic() + 30
    with progress.progress("Reading the run"):
        err = ""
        while not err and time.monotonic() < until:
            err += capsys.readouterr().err
    assert err == "Reading the run …\n"
    with progress.progress("Reading the run", quiet=True):
        pass
    assert capsys.readouterr().err == ""


def test_a_command_imports_no_other_packages_commands():
    program = (
        "import sys; from iac_ci_cli import process; process.run(['status', 'x']);"
        "sys.exit(any(name.startswith('iac_ci_local') or name == 'boto3' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
