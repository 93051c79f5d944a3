"""The benchmark runs, and its workloads are the jobs that they are called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench import aws_calls, bill, cold_runs, start, workloads
from bench.serial_calls import serial_calls

from iac_ci_common.models.job import Job

ROOT = Path(__file__).resolve().parent.parent


WORKLOADS = workloads.read()


@pytest.mark.local_cloud
def test_cold_wide_runs_are_measured():
    """As ``uv run python -m bench.cold_runs`` does, with fewer runs and orders."""
    command = [sys.executable, "-m", "bench.cold_runs", "--runs", "2", "--orders", "2", "--load", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert [(run["found"], run["succeeded"]) for run in measured] == [(0, True)] * 2
    assert all(15 <= sum(run["calls"]) <= 80 and run["seconds"] > 0 for run in measured)


def test_the_slowest_cold_run_is_compared_with_the_median():
    runs = [cold_runs.ColdRun(0, True, seconds, (200, 0, 35)) for seconds in (8.0, 10.0, 25.0)]
    calls, compared = cold_runs.summary(runs, 2).splitlines()
    assert calls == "the slowest run's 235 calls of AWS: 200 from 0 s, 35 from 20 s"
    assert compared == (
        "3 of 3 cold wide runs succeeded with a load of 2: 10.0 s in the median, 22.0 s for nine of ten, "
        "25.0 s at most (2.5 times the median)"
    )


def test_a_pass_ends_with_a_write_that_leaves_the_lock():
    def leaves(operation, **request):
        return aws_calls.leaves_lock(
            aws_calls.Call("orchestrator", "dynamodb", operation), json.dumps(request).encode()
        )

    release = {"UpdateExpression": "SET answered = :doorbell REMOVE #owner, lease_until, rung"}
    assert leaves("UpdateItem", **release)
    assert leaves("TransactWriteItems", TransactItems=[{"Put": {}}, {"Update": release}])
    assert not leaves("UpdateItem", UpdateExpression="SET #owner = :owner ADD doorbell :one")
    assert not leaves("TransactWriteItems", TransactItems=[{"ConditionCheck": {}}])
    assert not leaves("Query")


@pytest.mark.local_cloud
def test_the_smallest_workload_is_measured():
    command = [sys.executable, "-m", "bench", "single", "--rounds", "1", "--json", "--event-delay", "0.5", "1.5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stderr
    (measured,) = json.loads(done.stdout)
    assert measured["orders"] == 1
    assert measured["events"] == 2
    # A pass whose write is refused, because the order ended before, reads the rows once more.
    repeated = max(measured["passes"] - measured["events"], 0)
    assert measured["passes"] >= 1
    assert repeated <= 1
    assert 20 <= measured["calls_per_order"] <= 35 + 10 * repeated
    assert 4 <= measured["serial_calls"] <= measured["calls_per_order"]
    # Two events, each half a second late at least.
    assert measured["wall_seconds"] >= 1
    assert {row["caller"] for row in measured["calls"]} >= {"init-job", "orchestrator", "worker"}
    assert all(measured["functions"][name]["peak_mb"] > 10 for name in ("init-job", "orchestrator", "worker"))
    assert measured["functions"]["orchestrator"]["calls"] >= 1
    assert 0 < sum(measured["bill_usd"].values()) < 0.01


def test_finding_projects_is_measured():
    command = [sys.executable, "-m", "bench.projects"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert (measured["projects"], measured["planned"]) == (300, 8)
    assert measured["ratio"] > 0


CLIENTS = {
    "init-job": "dynamodb lambda s3 stepfunctions",
    "orchestrator": "dynamodb events lambda s3 stepfunctions",
    "watchdog-check": "dynamodb lambda s3",
    # It asks the broker only for orders that need more than they were started with.
    "worker": "",
    "broker": "dynamodb s3",
    "page": "dynamodb s3",
}
"""The clients that each function has made before its first event."""


@pytest.mark.parametrize("name", start.FUNCTIONS)
def test_a_function_builds_its_parts_while_it_is_initialised(name):
    started = start.start(name)
    assert " ".join(started.clients) == CLIENTS[name]
    assert min(started.seconds, started.megabytes, started.modules) > 0


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_a_workload_is_a_job_of_its_shape(workload, tmp_path):
    job = Job.model_validate(workload.job(gate=tmp_path / "gate"))
    assert len(job.orders) * workload.runs == workload.all_orders
    edges = sum(len(order.dependencies) for order in job.orders)
    layers = workload.orders // workload.width if workload.width else 0
    assert (
        edges
        == {
            "independent": 0,
            "chain": workload.orders - 1,
            "layers": (layers - 1) * workload.width**2,
        }[workload.shape]
    )


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "named"),
    [
        ("POST", "/", "", {"x-amz-target": "DynamoDB_20120810.Query", "user-agent": "Boto3 app/orchestrator"},
         ("orchestrator", "dynamodb", "Query")),
        ("POST", "/", "", {"x-amz-target": "AWSStepFunctions.StartExecution"},
         ("outside", "stepfunctions", "StartExecution")),
        ("POST", "/2015-03-31/functions/one/invocations", "", {}, ("outside", "lambda", "Invoke")),
        ("PUT", "/bucket/a/key", "X-Amz-Signature=0", {}, ("worker", "s3", "PutObject")),
        ("GET", "/bucket", "list-type=2", {"user-agent": "app/init-job"}, ("init-job", "s3", "ListObjectsV2")),
        ("POST", "/bucket", "delete", {}, ("outside", "s3", "DeleteObjects")),
    ],
)  # fmt: skip
def test_a_request_is_named(method, path, query, headers, named):
    assert aws_calls.name(method, path, query, headers) == aws_calls.Call(*named)


def test_calls_that_overlap_count_once_and_other_callers_do_not():
    trace = [
        {"caller": caller, "began": began, "ended": ended}
        for caller, began, ended in (
            ("init-job", 0, 1), ("init-job", 2, 4), ("init-job", 2, 5), ("outside", 5, 6), ("worker", 6, 7),
            ("worker", 6.5, 8), ("orchestrator", 9, 10),
        )
    ]  # fmt: skip
    assert serial_calls(trace, {"init-job", "worker", "orchestrator"}) == 4
    assert serial_calls([], {"worker"}) == 0


def test_the_cloud_s_own_requests_are_no_aws_calls():
    assert aws_calls.name("GET", "/_ministack/ready", "", {}) is None


def test_a_bill_has_a_dated_price_with_a_source_for_all_that_is_used():
    prices = json.loads(bill.FILE.read_text("utf-8"))["prices"]
    used = bill.quantities([], {}, {}, requests=2_000_000)
    assert set(used) == set(prices)
    assert all(price["date"] and price["source"] for price in prices.values())
    # Two million requests at 3.50 a million, and four transitions for each at 25 a million.
    assert sum(bill.bill(used).values()) == pytest.approx(7.0 + 200.0)
