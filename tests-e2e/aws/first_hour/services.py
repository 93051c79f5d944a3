"""Steps that ask AWS's services themselves."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any

import urllib3
from botocore.exceptions import ClientError

from aws.first_hour.steps import Account, Seen, Step, Verdict, compare
from iac_ci_common import keys
from iac_ci_common.metrics import Metric


def quotas(account: Account) -> Seen:
    """Read the limits that a new account has."""
    limit = account.client("lambda").get_account_settings()["AccountLimit"]
    text = (
        f"{limit['ConcurrentExecutions']} concurrent executions, {limit['UnreservedConcurrentExecutions']} unreserved"
    )
    return compare(limit["ConcurrentExecutions"] >= 10, text)


def _object(name: str) -> str:
    """Return a key that the bucket's lifecycle removes."""
    return f"tmp/code/first-hour-{name}-{time.time_ns()}"


def _send(method: str, url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        answer = pool.request(method, url, headers=headers or {}, body=b"x" if method == "PUT" else None)
    body = answer.data.decode("utf-8", "replace")
    return answer.status, body.partition("<Code>")[2].partition("</Code>")[0]


def expired_url(account: Account) -> Seen:
    """Use a presigned URL after its end."""
    url = account.connection.internal.presign_put(_object("expired"), seconds=1, create_once=False)
    time.sleep(3)
    status, code = _send("PUT", url)
    return compare((status, code) == (403, "AccessDenied"), f"{status} {code}")


def sign_with_a_short_session(account: Account) -> Seen:
    """Sign a URL with a session of 15 minutes, for the step `dead-session`."""
    try:
        session = account.client("sts").get_session_token(DurationSeconds=900)["Credentials"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return Seen(Verdict.NOT_ANSWERED, f"{code}: only a user, not a role, may ask for a session token")
    import boto3

    s3 = boto3.client(
        "s3",
        region_name=account.region,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    bucket = account.connection.names.internal_bucket
    account.memory["url"] = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "tmp/code/none"}, ExpiresIn=7200
    )
    account.memory["session_ends"] = time.time() + 900
    return Seen(Verdict.AS_EXPECTED, "signed, valid for two hours by itself")


def dead_session(account: Account) -> Seen:
    """Use a URL whose session has ended."""
    if "url" not in account.memory:
        return Seen(Verdict.NOT_ANSWERED, "there is no URL: see the step `short-session`")
    if account.emulated:
        return Seen(Verdict.NOT_ANSWERED, "an emulator ends no session")
    time.sleep(max(0, account.memory["session_ends"] + 30 - time.time()))
    status, code = _send("GET", account.memory["url"])
    return compare((status, code) == (400, "ExpiredToken"), f"{status} {code}")


def create_once(account: Account) -> Seen:
    """Create one object from many sides at once."""
    url = account.connection.internal.presign_put(_object("once"), seconds=300, create_once=True)
    answers: list[tuple[int, str]] = []
    senders = [
        threading.Thread(target=lambda: answers.append(_send("PUT", url, {"If-None-Match": "*"}))) for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    statuses = [status for status, _ in answers]
    shown = ", ".join(f"{number} times {status} {code}".strip() for (status, code), number in Counter(answers).items())
    return compare(statuses.count(200) == 1 and set(statuses) <= {200, 409, 412}, shown)


def leading_keys(account: Account) -> Seen:
    """Ask IAM whether the orchestrator reaches its own keys of the locks table and no others."""
    table = account.client("dynamodb").describe_table(TableName=account.connection.names.locks_table)["Table"][
        "TableArn"
    ]
    role = account.client("iam").get_role(RoleName=account.name("orchestrator"))["Role"]["Arn"]
    decisions = {
        kind: _simulate(account, role, table, key)
        for kind, key in (
            ("own", keys.run_lock("20260101T000000-0123456789ab")),
            ("delivery", keys.delivery("github", "1")),
            ("ticket", keys.ticket_chain("20260101T000000-0123456789ab", "0001", "1")),
        )
    }
    text = ", ".join(f"{kind} {decision}" for kind, decision in decisions.items())
    return compare([one == "allowed" for one in decisions.values()] == [True, False, False], text)


def _simulate(account: Account, role: str, table: str, key: str) -> str:
    answer: dict[str, Any] = account.client("iam").simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=["dynamodb:UpdateItem"],
        ResourceArns=[table],
        ContextEntries=[
            {"ContextKeyName": "dynamodb:LeadingKeys", "ContextKeyValues": [key], "ContextKeyType": "stringList"}
        ],
    )
    return str(answer["EvaluationResults"][0]["EvalDecision"])


def log_lines(account: Account) -> Seen:
    """Find the lines of a run in CloudWatch Logs, in the form that the alarm's filter reads."""
    group = f"/aws/lambda/{account.name('watchdog-check')}"
    pattern = '{ ($.message = "watchdog repaired run") && ($.action = "nudge") }'
    line = json.dumps({"message": "watchdog repaired run", "action": "nudge", "level": "WARN"})
    logs = account.client("logs")
    matched = logs.test_metric_filter(filterPattern=pattern, logEventMessages=[line])["matches"]
    events = logs.filter_log_events(logGroupName=group, limit=20).get("events", [])
    return compare(len(matched) == 1 and bool(events), f"the filter matches, {len(events)} lines in {group}")


def dashboard_metrics(account: Account) -> Seen:
    """Look for the metrics that CloudWatch made of log lines."""
    functions = account.client("lambda")
    found = functions.get_function_configuration(FunctionName=account.name("orchestrator"))
    namespace = found["Environment"]["Variables"].get("IAC_CI_METRICS_NAMESPACE", "")
    if not namespace:
        return Seen(Verdict.NOT_ANSWERED, "the stack has no dashboard")
    account.wait(120)
    listed = account.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
    names = {metric["MetricName"] for metric in listed}
    expected = {Metric.RUNS_SUCCEEDED, Metric.SECONDS_TO_FIRST_COMMAND, Metric.OPEN_RUN_SECONDS, Metric.WAITING_ORDERS}
    return compare(expected <= names, f"{len(names)} metrics: {', '.join(sorted(names))}")


FIRST = (
    Step("quotas", "What may this account run at once?", "at least ten executions", quotas, 0.0, only_aws=True),
    Step(
        "short-session",
        "Can a session of 15 minutes sign a URL of two hours?",
        "yes: S3 notices the session's end only when the URL is used",
        sign_with_a_short_session,
        0.0,
    ),
)
LAST = (
    Step("expired-url", "What does S3 answer when a URL is over?", "403 AccessDenied", expired_url, 0.0, only_aws=True),
    Step(
        "create-once",
        "What do concurrent creations of one object get?",
        "one 200, else 412 or 409",
        create_once,
        0.0,
        only_aws=True,
    ),
    Step(
        "leading-keys",
        "Does IAM hold functions to their own keys of the locks table?",
        "allowed for locks of runs, denied for deliveries and tickets",
        leading_keys,
        0.0,
        only_aws=True,
    ),
    Step(
        "log-lines",
        "Do log lines reach CloudWatch in the form that its filters read?",
        "yes",
        log_lines,
        0.01,
        only_aws=True,
    ),
    Step(
        "dashboard-metrics",
        "Does CloudWatch make metrics of the lines?",
        "those of the runs of this hour",
        dashboard_metrics,
        0.05,
    ),
    Step("dead-session", "What does S3 answer when a URL's session has ended?", "400 ExpiredToken", dead_session, 0.0),
)
