"""The files that Terraform and the local cloud share are whole, consistent and least-privileged."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from iac_ci_common import keys, limits
from iac_ci_common.execution_life import build_seconds
from iac_ci_local.names import StackNames, placeholder_values
from iac_ci_local.stack import without_encryption_context
from iac_ci_local.templates import StackFiles, StackFilesError, placeholders, render, stack_folder

FOLDER = stack_folder()
TEMPLATES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json"))
POLICIES = [name for name in TEMPLATES if name.startswith("policies/")]
OPTIONAL = {
    "code_bucket": "somebody-elses-code",
    "target_role_arn": "arn:aws:iam::210987654321:role/deploy",
    "secrets_key_arn": "arn:aws:kms:us-east-1:123456789012:key/other",
}
NAMES = StackNames("demo", "123456789012")
VALUES = placeholder_values(
    NAMES, kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/one", log_level="INFO", max_parallel=4
)
FILES = StackFiles(FOLDER, VALUES | OPTIONAL)


def statements(name: str) -> list[dict[str, object]]:
    return FILES.read(name)["Statement"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_renders_to_json_without_placeholders(name: str) -> None:
    rendered = json.dumps(FILES.read(name))
    assert "${" not in rendered


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_is_json_before_it_is_rendered(name: str) -> None:
    json.loads((FOLDER / name).read_text("utf-8"))


def test_every_placeholder_is_explained_in_the_readme() -> None:
    used = frozenset().union(*(placeholders((FOLDER / name).read_text("utf-8")) for name in TEMPLATES))
    readme = (FOLDER / "README.md").read_text("utf-8")
    table = "\n".join(line for line in readme.splitlines() if line.startswith("| `"))
    assert {name for name in used if f"`{name}`" not in table} == set()
    assert used <= VALUES.keys() | OPTIONAL.keys()


@pytest.mark.source_tree
def test_the_package_carries_every_file_of_the_source_tree() -> None:
    candidates = (parent / "terraform/deploy/stack" for parent in Path(__file__).parents)
    source = next(folder for folder in candidates if folder.is_dir())
    theirs = {path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    ours = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    assert ours == theirs


def test_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(StackFilesError, match="nowhere"):
        render('{"a": "${nowhere}"}', {})


def test_values_are_escaped_and_jsonpath_is_left_alone() -> None:
    assert render('{"a": "${value}", "b.$": "$.run_id"}', {"value": '{"*": ["*"]}'}) == {
        "a": '{"*": ["*"]}',
        "b.$": "$.run_id",
    }


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_allows_whole_services(name: str) -> None:
    for statement in statements(name):
        # One policy takes rights away again: from what runs inside of a function that AWS itself needs them for.
        assert statement["Effect"] == ("Deny" if statement["Sid"] == "ButNotFromInsideTheFunction" else "Allow")
        assert isinstance(statement["Action"], list)
        for action in statement["Action"]:
            assert re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action), action


@pytest.mark.parametrize("name", POLICIES)
def test_a_wildcard_resource_stands_only_where_aws_has_no_narrower_form(name: str) -> None:
    wild = {statement["Sid"] for statement in statements(name) if statement["Resource"] == "*"}
    allowed = {
        "policies/worker-build.json": {"LogInToRegistry"},
        "policies/watchdog-state-machine.json": {"DeliverLogs"},
        "policies/worker-network.json": {"HoldNetworkInterfaces", "ButNotFromInsideTheFunction"},
    }
    assert wild == allowed.get(name, set())
    for statement in statements(name):
        if statement["Resource"] != "*":
            assert all(resource.startswith("arn:aws:") for resource in statement["Resource"])
            assert not any(resource.endswith((":*:*", ":::*")) for resource in statement["Resource"])


def test_workers_may_use_no_key_and_nothing_in_storage() -> None:
    for name in ("policies/worker.json", "policies/worker-build.json"):
        for statement in statements(name):
            assert {action.partition(":")[0] for action in statement["Action"]} <= {"logs", "ecr", "lambda"}


def test_only_the_broker_unseals_and_assumes_roles() -> None:
    by_action: dict[str, set[str]] = {}
    for name in POLICIES:
        for statement in statements(name):
            for action in statement["Action"]:
                if action.startswith("sts:") or (
                    action.startswith("kms:") and VALUES["kms_key_arn"] in statement["Resource"]
                ):
                    by_action.setdefault(action, set()).add(name)
    assert by_action == {
        "kms:Encrypt": {"policies/init-job.json", "policies/broker.json"},
        "kms:Decrypt": {"policies/broker.json"},
        **{
            f"sts:{action}": {"policies/broker-target-roles.json"}
            for action in ("AssumeRole", "SetSourceIdentity", "TagSession")
        },
    }


def test_the_key_is_used_with_the_context_of_this_stack_a_source_and_a_run() -> None:
    mine = {
        "StringEquals": {"kms:EncryptionContext:iac-ci-stack": "demo"},
        "StringLike": {"kms:EncryptionContext:iac-ci-source": "*", "kms:EncryptionContext:iac-ci-run": "*"},
    }
    before = {
        "Null": {"kms:EncryptionContext:iac-ci-stack": "true"},
        "StringLike": {"kms:EncryptionContext:iac-ci-run": "*"},
    }
    handed_on = {
        "StringEquals": {"kms:EncryptionContext:iac-ci-stack": "demo"},
        "StringLike": {"kms:EncryptionContext:iac-ci-source": "*", "kms:EncryptionContext:iac-ci-scope": "*"},
    }
    conditions = [
        statement["Condition"]
        for name in ("policies/init-job.json", "policies/broker.json")
        for statement in statements(name)
        if {"kms:Encrypt", "kms:Decrypt"} & set(statement["Action"])
    ]
    assert conditions == [mine, mine, handed_on, before]


def test_only_workers_may_invoke_the_broker_and_it_has_no_url() -> None:
    broker = NAMES.function_arn("broker")
    callers = {
        name
        for name in POLICIES
        for statement in statements(name)
        if "lambda:InvokeFunction" in statement["Action"] and broker in statement["Resource"]
    }
    assert callers == {"policies/worker.json", "policies/worker-build.json"}
    assert FILES.read("api.json")["function"] != "broker"


def test_the_page_may_only_read_and_reads_no_file_that_an_order_saved() -> None:
    allowed = {statement["Sid"]: statement for statement in statements("policies/page.json")}
    own = {"KeepFailedEvents", "WriteOwnLog"}
    actions = {action for sid, one in allowed.items() if sid not in own for action in one["Action"]}
    assert actions == {"dynamodb:Query", "s3:GetObject", "s3:ListBucket", "ssm:GetParameter"}
    read = [resource.partition("/")[2] for resource in allowed["ReadResultsAndLogs"]["Resource"]]
    assert read == ["tmp/callbacks/runs/*/result.json", "tmp/live/*", "tmp/logs/*.log"]
    run = ("20260101T000000-0123456789ab", "0001")
    for key in (keys.outputs(*run), keys.files(*run), keys.kept(*run), keys.package(*run), keys.job(run[0])):
        assert not any(fnmatchcase(key, pattern) for pattern in read)
    assert FILES.read("api.json")["page"]["function"] == "page"
    assert [one["Resource"] for one in statements("policies/page-api.json")] == [[NAMES.function_arn("page")]]


def test_only_init_reads_the_jobs_secrets() -> None:
    for name in POLICIES:
        for statement in statements(name):
            if {"ssm:GetParameter", "secretsmanager:GetSecretValue"} & set(statement["Action"]):
                own = ("parameter/iac-ci/demo/sources/", "parameter/iac-ci/demo/connections")
                narrow = {
                    "policies/orchestrator.json": ("jobs/tokens/", "parameter/iac-ci/demo/page-key"),
                    "policies/page.json": ("parameter/iac-ci/demo/page-key", "parameter/iac-ci/demo/connections"),
                    "policies/broker.json": ("jobs/tokens/", *own),
                }.get(name, ())
                assert name == "policies/init-job.json" or all(
                    any(part in resource for part in narrow) for resource in statement["Resource"]
                )


COMMIT_JOB = keys.commit_job("github.com/acme/infra", "a" * 40, "iac-ci/plan")
"""Both functions report what they know about a job on a commit."""

PLANS = [keys.plan_record("github.com/acme/infra", 7, "a" * 64), keys.project_state("a" * 64)]
"""The orchestrator enters plans and applies, and init reads them."""

GROUPS = [keys.named_group("github.com/acme/infra", "deploy"), keys.project_group("a" * 64)]
"""The orchestrator takes and leaves concurrency groups, and init frees them for people."""

LOCK_KEYS = {
    "policies/init-job.json": [
        *PLANS,
        *GROUPS,
        keys.delivery("github", "id/1"),
        keys.pull_request_ledger("github.com/acme/infra", 7),
        keys.branch_ledger("github.com/acme/infra", "main"),
        keys.schedule_ledger("github.com/acme/infra"),
        COMMIT_JOB,
    ],
    "policies/orchestrator.json": [keys.run_lock("20260101T000000-0123456789ab"), COMMIT_JOB, *PLANS, *GROUPS],
    "policies/watchdog-check.json": [keys.run_lock("20260101T000000-0123456789ab")],
    "policies/broker.json": [keys.ticket_chain("20260101T000000-0123456789ab", "0001", "1")],
}


@pytest.mark.parametrize("name", POLICIES)
def test_each_function_reaches_only_its_own_keys_of_the_locks_table(name: str) -> None:
    """No function can forge another's lock, ledger or delivery."""
    patterns: set[str] = set()
    for statement in statements(name):
        if any(resource.endswith("table/demo-locks") for resource in statement["Resource"]):
            allowed = {"BatchGetItem", "GetItem", "PutItem", "UpdateItem"}
            assert {action.removeprefix("dynamodb:") for action in statement["Action"]} <= allowed
            ((operator, condition),) = statement["Condition"].items()
            assert operator == "ForAllValues:StringLike"
            patterns.update(condition.pop("dynamodb:LeadingKeys"))
            assert not condition
    own = LOCK_KEYS.get(name, [])
    for key in {key for several in LOCK_KEYS.values() for key in several}:
        assert any(fnmatchcase(key, pattern) for pattern in patterns) == (key in own), key
    assert all(any(fnmatchcase(key, pattern) for key in own) for pattern in patterns) or name not in LOCK_KEYS


def test_every_role_has_a_policy_and_every_function_a_role_and_a_dead_letter() -> None:
    roles = FILES.read("roles.json")["roles"]
    functions = FILES.read("functions.json")["functions"]
    assert all((FOLDER / role["policy"]).is_file() for role in roles.values())
    for function in functions.values():
        assert function["role"] in roles
        assert function["recursive_loop"] == "Allow"
        failure = function["asynchronous"]["on_failure"]
        assert failure.get("function") in {*functions, None}
        assert failure.get("function") or failure.get("queue")
    assert functions["worker"]["asynchronous"]["maximum_retry_attempts"] == 0
    assert functions["worker"]["timeout_seconds"] == limits.WORKER_LAMBDA_SECONDS
    assert functions["worker"]["asynchronous"]["maximum_retry_attempts"] == 0
    assert functions["orchestrator"]["timeout_seconds"] == limits.ORCHESTRATOR_SECONDS


def test_the_notification_filters_what_the_keys_say() -> None:
    notification = FILES.read("buckets.json")["buckets"]["internal"]["notification"]
    assert notification["prefix"] == keys.CALLBACK_PREFIX
    assert notification["suffix"] == keys.RESULT_SUFFIX


def test_the_body_limit_is_the_engines() -> None:
    assert FILES.read("api.json")["maximum_body_bytes"] == limits.MAX_BODY_BYTES


def test_a_watchdog_outlives_the_longest_job_within_its_history() -> None:
    machine = FILES.read("watchdog.asl.json")
    states = machine["States"]
    retries = sum(retry["MaxAttempts"] for retry in states["Check"]["Retry"])
    worst_poll = 2 + 1 + 3 * (1 + retries) + 1
    polls = machine["TimeoutSeconds"] // states["Wait"]["Seconds"]
    assert polls * worst_poll < 25_000
    assert machine["TimeoutSeconds"] > limits.MAX_JOB_SECONDS + 3600
    assert {catch["Next"] for catch in states["Check"]["Catch"]} == {"Wait"}
    assert states["Ended"]["Default"] == "Wait"


def test_builds_have_time_for_the_longest_order() -> None:
    project = FILES.read("builds.json")["projects"]["worker"]
    longest = build_seconds(limits.MAX_CODEBUILD_ORDER_SECONDS, limits.MAX_STOP_GRACE_SECONDS)
    assert project["timeout_minutes"] * 60 >= longest


@pytest.mark.parametrize("name", POLICIES)
def test_the_local_cloud_changes_nothing_but_the_encryption_context(name: str) -> None:
    policy = FILES.read(name)
    local = without_encryption_context(policy)
    assert local["Version"] == policy["Version"]
    for before, after in zip(policy["Statement"], local["Statement"], strict=True):
        context = before.get("Condition", {}).get("StringLike", {})
        if any(key.startswith("kms:EncryptionContext:") for key in context):
            assert after == {key: value for key, value in before.items() if key != "Condition"}
        else:
            assert after == before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackFilesError, match=r"functions\.json"):
        StackFiles(tmp_path, VALUES).read("functions.json")
