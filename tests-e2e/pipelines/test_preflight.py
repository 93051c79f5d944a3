"""pipelines/deploy --check: what quotas, region and rights mean for a deployment, before it changes anything."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote

import boto3
import pytest
from botocore.stub import Stubber

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "pipelines"))
import deployer_rights  # noqa: E402
import preflight  # noqa: E402
from preflight import Facts, judge  # noqa: E402

VARIABLES = {"stack": "acme", "region": "eu-central-1", "image_uri": "x"}
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


@pytest.mark.parametrize(
    ("limit", "derived"), [(10, 5), (50, 25), (100, 50), (200, 100), (1000, 100), (5000, 100), (1, 1)]
)
def test_max_parallel_leaves_half_of_the_functions_to_the_engine(limit, derived):
    report = judge(Facts(concurrent_executions=limit), VARIABLES)
    assert report.derived == {"max_parallel": derived}
    assert report.problems == []


def test_what_is_reserved_for_others_is_not_there_for_the_stack():
    assert judge(Facts(concurrent_executions=1000, reserved_by_others=900), VARIABLES).derived == {"max_parallel": 50}


@pytest.mark.parametrize("value", [[], {}, 5, float("inf"), True, "text"])
def test_a_value_of_another_type_is_left_to_terraform(value):
    names = ("max_parallel", "worker_concurrency", "build_concurrency", "manage_api_gateway_account")
    facts = Facts(concurrent_executions=1000, concurrent_builds=10, api_role="r/other", api_role_known=True)
    judge(facts, VARIABLES | dict.fromkeys(names, value))


@pytest.mark.parametrize(
    ("file", "environment", "max_parallel"),
    [
        ({}, {}, 5),
        ({"max_parallel": 3}, {"TF_VAR_max_parallel": "4"}, 3),
        ({"max_parallel": "3"}, {}, "3"),
        ({"max_parallel": None}, {}, 5),
        ({}, {"TF_VAR_max_parallel": "4"}, None),
        ({}, {"TF_VAR_max_parallel": ""}, 5),
    ],
)
def test_a_variable_of_the_environment_is_not_derived(monkeypatch, capsys, file, environment, max_parallel):
    """A value in the file of variables would come before it."""
    monkeypatch.setattr(preflight, "read_facts", lambda *_, **__: Facts(concurrent_executions=10))
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(VARIABLES | file)))
    monkeypatch.setattr(sys, "argv", ["preflight.py"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    preflight.main()
    assert json.loads(capsys.readouterr().out).get("max_parallel") == max_parallel


@pytest.mark.parametrize(
    ("limits", "own", "reserved_by_others"),
    [
        ({"ConcurrentExecutions": 1000}, {}, 0),
        ({"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}, {}, 0),
        ({"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 100}, {}, 900),
        ({"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 100}, {"acme-worker": 200}, 700),
        (
            {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 700},
            {"acme-worker": 200, "acme-page": 100},
            0,
        ),
    ],
)
def test_what_the_stack_reserves_itself_is_not_of_others(monkeypatch, limits, own, reserved_by_others):
    functions = boto3.client("lambda", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(functions) as answers:
        answers.add_response("get_account_settings", {"AccountLimit": limits})
        if limits.get("UnreservedConcurrentExecutions", 1000) < 1000:
            for name in ("acme-worker", "acme-page"):
                asked = {"FunctionName": name}
                if name in own:
                    reserved = {"ReservedConcurrentExecutions": own[name]}
                    answers.add_response("get_function_concurrency", reserved, asked)
                else:
                    missing = "ResourceNotFoundException"
                    answers.add_client_error("get_function_concurrency", missing, expected_params=asked)
        monkeypatch.setattr(preflight, "_client", lambda *_: functions)
        assert preflight._functions("eu-central-1", "acme")["reserved_by_others"] == reserved_by_others
        answers.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("executions", "memory", "is_told"),
    [(10, 4096, True), (10, "10240", True), (10, 3008, False), (10, None, False), (1000, 4096, False)],
)
def test_memory_that_new_accounts_do_not_have_is_a_remark(executions, memory, is_told):
    report = judge(Facts(concurrent_executions=executions), {**VARIABLES, "worker_memory_mb": memory})
    told = [line for line in report.remarks if f"Lambda may refuse worker_memory_mb {memory}" in line]
    assert (len(told), report.problems) == (is_told, [])


def test_what_the_operator_set_stays():
    report = judge(Facts(concurrent_executions=10), {**VARIABLES, "max_parallel": 40})
    assert report.derived == {}
    assert "a run can keep the endpoint waiting; 5 or fewer leave room" in report.remarks[0]


@pytest.mark.parametrize(
    ("facts", "more", "problem"),
    [
        (Facts(concurrent_executions=10), {"worker_concurrency": 5}, "worker_concurrency 5 cannot be reserved"),
        (Facts(concurrent_executions=150), {"worker_concurrency": 51}, "keeps 100 unreserved"),
        (Facts(concurrent_executions=150), {"worker_concurrency": "51"}, "keeps 100 unreserved"),
        (Facts(concurrent_executions=10), {"page_concurrency": 1}, "page_concurrency 1 cannot be reserved"),
        (
            Facts(concurrent_executions=1000),
            {"worker_concurrency": 850, "page_concurrency": 60},
            "worker_concurrency 850 and page_concurrency 60 cannot be reserved",
        ),
        (
            Facts(concurrent_executions=1000, reserved_by_others=850),
            {"worker_concurrency": 60},
            "850 of them reserved for functions outside of this stack and keeps 100 unreserved",
        ),
        (
            Facts(concurrent_builds=1, builds_quota_code="L-1"),
            {"build_concurrency": 2},
            "build_concurrency 2 is more than this account's quota of concurrent builds, 1: CodeBuild refuses it.",
        ),
        (
            Facts(concurrent_builds=0, builds_quota_code="L-1"),
            {"build_concurrency": 1},
            "quota of concurrent builds, 0: CodeBuild refuses it. Remove the variable",
        ),
        (
            Facts(api_role="arn:aws:iam::1:role/other-api-logs", api_role_known=True),
            {"manage_api_gateway_account": True},
            "manage_api_gateway_account would replace it. Remove the variable",
        ),
        (Facts(missing_services=("codebuild",)), {}, "eu-central-1 has no codebuild"),
        (Facts(region_of_roles="eu-west-1"), {}, "a stack acme is in eu-west-1"),
        (Facts(missing_rights=("iam:CreateRole",)), {}, "the caller may not: iam:CreateRole"),
    ],
)
def test_what_cannot_work_is_a_problem(facts, more, problem):
    (found,) = judge(facts, {**VARIABLES, **more}).problems
    assert problem in found


@pytest.mark.parametrize(
    ("facts", "more"),
    [
        (Facts(concurrent_executions=150), {"worker_concurrency": 50}),
        (Facts(concurrent_executions=10), {"page_concurrency": 0}),
        (Facts(concurrent_executions=1000, reserved_by_others=850), {"worker_concurrency": 50}),
        # Terraform refuses it and says why.
        (Facts(concurrent_executions=10), {"worker_concurrency": "many", "max_parallel": [1]}),
        (
            Facts(api_role="arn:aws:iam::1:role/other-api-logs", api_role_known=True),
            {"manage_api_gateway_account": "false"},
        ),
        (Facts(concurrent_builds=2, builds_quota_code="L-1"), {"build_concurrency": 2}),
        (Facts(region_of_roles="eu-central-1"), {}),
        (Facts(missing_rights=()), {}),
        (Facts(), {"worker_concurrency": 5, "build_concurrency": 9}),
    ],
)
def test_what_works_or_is_not_known_is_none(facts, more):
    assert judge(facts, {**VARIABLES, **more}).problems == []


@pytest.mark.parametrize(("builds", "words"), [(0, "CodeBuild runs no build"), (1, "CodeBuild runs one build at once")])
def test_few_builds_are_named_with_their_quota(builds, words):
    report = judge(Facts(concurrent_builds=builds, builds_quota_code="L-9D07B6EF"), VARIABLES)
    assert words in report.remarks[0]
    assert "L-9D07B6EF" in report.remarks[0]
    assert report.problems == []


@pytest.mark.parametrize(
    ("role", "derived"),
    [
        (None, {}),
        ("arn:aws:iam::123456789012:role/acme-api-logs", {}),
        ("arn:aws:iam::123456789012:role/team/api-logs", {"manage_api_gateway_account": False}),
        ("arn:aws:iam::123456789012:role/other-acme-api-logs", {"manage_api_gateway_account": False}),
    ],
)
def test_a_role_of_the_account_that_others_set_stays(role, derived):
    report = judge(Facts(api_role=role, api_role_known=True), VARIABLES)
    assert (report.derived, report.problems) == (derived, [])


def test_both_lists_of_regions_without_a_setting_are_the_same():
    text = (ROOT / "terraform" / "deploy" / "stack.tf").read_text("utf-8")
    listed = json.loads(re.search(r"without_recursion_setting = (\[[^\]]*\])", text)[1])
    assert tuple(listed) == preflight.WITHOUT_RECURSION_SETTING


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1", "zz-new-1"])
def test_regions_have_what_the_stack_needs_as_far_as_botocore_knows(region):
    assert preflight._missing_services(region) == ()


OWN_POLICY = (ROOT / "terraform/deploy/stack/policies/init-job.json").read_text("utf-8")
POLICY = json.loads((ROOT / "pipelines" / "deployer-policy.json").read_text("utf-8"))


def listed(value):
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("action", sorted(deployer_rights.NEEDED))
def test_the_shipped_policy_allows_what_is_asked_for(action):
    resource = deployer_rights.needed("iac-ci", "eu-central-1", "123456789012", "aws")[action]
    assert any(
        any(fnmatchcase(action.lower(), pattern.lower()) for pattern in listed(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
        for statement in POLICY["Statement"]
        if "Condition" not in statement or action == "iam:PassRole"
    )


@pytest.mark.parametrize("restricted", [False, True])
def test_what_an_organisation_asks_of_roles_and_keys_is_simulated(monkeypatch, restricted):
    """A caller that may create roles with the boundary only, and no keys, may deploy with both of the operator's."""
    asked = {}

    class Aws:
        def get_caller_identity(self):
            return {"Arn": "arn:aws:iam::123456789012:user/me", "Account": "123456789012"}

        def simulate_principal_policy(self, *, ActionNames, ContextEntries, **_):  # noqa: N803
            found = {entry["ContextKeyName"]: entry["ContextKeyValues"] for entry in ContextEntries}
            asked[ActionNames[0]] = found
            creates_role = ActionNames[0] in {"iam:CreateRole", "iam:PutRolePolicy"}
            may = (
                found.get("iam:PermissionsBoundary") == [BOUNDARY]
                if creates_role
                else ActionNames[0] != "kms:CreateKey"
            )
            return {"EvaluationResults": [{"EvalDecision": "allowed" if may else "implicitDeny"}]}

    monkeypatch.setattr(deployer_rights.boto3, "client", lambda *_, **__: Aws())
    own = {"permissions_boundary_arn": BOUNDARY, "kms_key_arn": "arn:aws:kms:eu-central-1:123456789012:key/1"}
    refused = preflight._missing_rights(VARIABLES | (own if restricted else {}))
    assert refused == (() if restricted else ("iam:CreateRole", "iam:PutRolePolicy", "kms:CreateKey"))
    assert asked["lambda:CreateFunction"] == {"aws:RequestedRegion": ["eu-central-1"]}


def test_the_shipped_policy_fits_and_reaches_no_other_stack():
    # A managed policy has 6,144 characters without white space (AWS IAM User Guide, "IAM and AWS STS quotas").
    assert len(json.dumps(POLICY, separators=(",", ":"))) <= 6144
    changing = [statement for statement in POLICY["Statement"] if listed(statement["Resource"]) == ["*"]]
    allowed = {action for statement in changing if "Condition" not in statement for action in statement["Action"]}
    free = ("Describe", "Get", "List", "Simulate", "Validate")
    assert {action for action in allowed if not action.partition(":")[2].startswith(free)} == {
        "kms:CreateKey",
        "kms:TagResource",
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
    }


IDENTITY = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::123456789012:assumed-role/deployer/me</Arn><UserId>x</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
ROLE = """<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRoleResult><Role><Path>/ci/</Path>
<RoleName>deployer</RoleName><RoleId>r</RoleId><Arn>arn:aws:iam::123456789012:role/ci/deployer</Arn>
<CreateDate>2026-01-01T00:00:00Z</CreateDate></Role></GetRoleResult></GetRoleResponse>"""
ROLE_POLICY = """<GetRolePolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetRolePolicyResult>
<RoleName>acme-init-job</RoleName><PolicyName>init-job</PolicyName><PolicyDocument>{document}</PolicyDocument>
</GetRolePolicyResult></GetRolePolicyResponse>"""
DENIED = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
NO_ROLE = """<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>
<Code>NoSuchEntity</Code><Message>no role</Message></Error></ErrorResponse>"""
SIMULATED = """<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
<SimulatePrincipalPolicyResult><EvaluationResults><member><EvalActionName>{action}</EvalActionName>
<EvalDecision>{decision}</EvalDecision></member></EvaluationResults></SimulatePrincipalPolicyResult>
</SimulatePrincipalPolicyResponse>"""


@pytest.fixture
def account():
    """An account on loopback with the smallest quotas; ``settings`` changes what it answers."""
    settings = {
        "executions": 10,
        "builds": 0.0,
        "api_role": None,
        "denied": set(),
        "silent": False,
        "roles_in": None,
        "source": "ci/deployer",
    }
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, body, status=200):
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self):
            asked.append(self.path)
            if settings["silent"]:
                self.answer({"message": "no", "__type": "AccessDeniedException"}, 403)
            elif self.path.rstrip("/").endswith("/account-settings"):
                self.answer({"AccountLimit": {"ConcurrentExecutions": settings["executions"]}, "AccountUsage": {}})
            elif self.path == "/account":
                role = settings["api_role"]
                self.answer({"cloudwatchRoleArn": role} if role else {})
            else:
                self.answer({}, 404)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            target = self.headers.get("X-Amz-Target", "")
            action = parse_qs(body).get("Action", [""])[0]
            asked.append(target or action)
            if action == "GetCallerIdentity":
                self.answer(IDENTITY)
            elif settings["silent"]:
                self.answer(DENIED if action else {"__type": "AccessDeniedException"}, 403)
            elif action == "GetRole" and settings["source"] == "deployer":
                self.answer(DENIED, 403)
            elif action == "GetRole":
                self.answer(ROLE)
            elif action == "GetRolePolicy" and settings["roles_in"] is None:
                self.answer(NO_ROLE, 404)
            elif action == "GetRolePolicy":
                document = OWN_POLICY.replace("${region}", settings["roles_in"])
                self.answer(ROLE_POLICY.format(document=quote(document)))
            elif action == "SimulatePrincipalPolicy":
                wanted = parse_qs(body)["ActionNames.member.1"][0]
                assert parse_qs(body)["PolicySourceArn"] == [f"arn:aws:iam::123456789012:role/{settings['source']}"]
                decision = "implicitDeny" if wanted in settings["denied"] else "allowed"
                self.answer(SIMULATED.format(action=wanted, decision=decision))
            elif target.endswith(".ListServiceQuotas"):
                name = "Concurrently running builds for {} environment"
                quotas = [
                    ("Build projects", "L-1", 5000.0),
                    (name.format("Linux/2XLarge"), "L-2XL", 0.0),
                    (name.format("Linux/Small"), "L-9D07B6EF", settings["builds"]),
                ]
                self.answer({"Quotas": [{"QuotaName": n, "QuotaCode": c, "Value": v} for n, c, v in quotas]})
            else:
                self.answer({"__type": "ParameterNotFound"}, 400)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", settings, asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def check(operator, account):
    endpoint, settings, asked = account

    def run(**changes):
        settings.update(changes)
        return operator.run("deploy", "--check", "--region", "eu-central-1", AWS_ENDPOINT_URL=endpoint, IAC_CI_IMAGE="")

    return run, asked


@pytest.mark.local_cloud
def test_an_account_of_the_smallest_quotas_gets_a_stack_that_fits_it(check):
    run, asked = check
    done = run()
    assert done.returncode == 0, done.stderr
    assert "deploy --check: acme in eu-central-1, account 123456789012" in done.stderr
    assert "fine     Lambda runs 10 functions at once: max_parallel is 5" in done.stderr
    assert "fine     the caller may create and change the stack" in done.stderr
    assert "remark   CodeBuild runs no build in this account" in done.stderr
    assert "Service Quotas, CodeBuild, L-9D07B6EF" in done.stderr
    assert "nothing was changed" in done.stderr
    assert json.loads(done.stdout)["max_parallel"] == 5
    assert not [call for call in asked if call.startswith(("Put", "Create", "Update"))]


@pytest.mark.local_cloud
def test_the_quota_is_that_of_the_machine_of_builds(operator, account, tmp_path):
    variables = tmp_path / "variables.json"
    sizes = {"huge": "BUILD_GENERAL1_2XLARGE", "small": "BUILD_GENERAL1_SMALL", "unknown": "BUILD_GENERAL1_LARGE"}
    variables.write_text(json.dumps({"build_compute_type": "BUILD_GENERAL1_2XLARGE", "order_sizes": sizes}))
    environment = {"AWS_ENDPOINT_URL": account[0], "IAC_CI_VARIABLES": str(variables), "IAC_CI_IMAGE": ""}
    done = operator.run("deploy", "--check", "--region", "eu-central-1", **environment)
    assert "Service Quotas, CodeBuild, L-2XL" in done.stderr
    assert "remark   CodeBuild runs no build of the order size huge in this account" in done.stderr
    assert "order size unknown" not in done.stderr


@pytest.mark.local_cloud
def test_missing_rights_and_another_teams_role_are_seen(check):
    run, _ = check
    done = run(denied={"iam:CreateRole", "kms:CreateKey"}, api_role="arn:aws:iam::123456789012:role/their-logs")
    assert done.returncode == 2
    assert "problem  the caller may not: iam:CreateRole, kms:CreateKey" in done.stderr
    assert (
        "fine     API Gateway has the role arn:aws:iam::123456789012:role/their-logs already, which stays"
        in done.stderr
    )
    assert "Nothing was changed." in done.stderr


@pytest.mark.local_cloud
def test_a_caller_that_may_not_read_its_own_role_is_simulated_all_the_same(check):
    """The shipped policy allows it for the roles of stacks only."""
    run, _ = check
    done = run(source="deployer")
    assert "fine     the caller may create and change the stack" in done.stderr, done.stderr


@pytest.mark.local_cloud
@pytest.mark.parametrize(("region", "code"), [("eu-central-1", 0), ("eu-west-1", 2)])
def test_a_stack_of_this_name_in_another_region_is_seen(check, region, code):
    run, _ = check
    done = run(roles_in=region)
    assert done.returncode == code, done.stderr
    assert ("problem  a stack acme is in eu-west-1" in done.stderr) == (code == 2)
    assert "not known: the region" not in done.stderr


@pytest.mark.local_cloud
def test_what_aws_does_not_answer_stops_nothing_and_is_named(check):
    run, _ = check
    done = run(silent=True)
    assert done.returncode == 0, done.stderr
    for subject in ("how many functions", "how many builds", "the role of API", "the region of", "what the caller may"):
        assert f"remark   not known: {subject}" in done.stderr
    assert "max_parallel" not in json.loads(done.stdout)


@pytest.mark.local_cloud
def test_china_is_refused_by_name(operator):
    done = operator.run("deploy", "--check", "--region", "cn-north-1")
    assert done.returncode == 2
    assert "'cn-north-1' is in China, where iac-ci cannot be deployed" in done.stderr
