"""What the documents say that a stack costs is what the script computes from a plan."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from bench import bill
from bench.stack_cost import MEASURED

from terraform.stage import ROOT, SECRET

pytestmark = pytest.mark.slow

KEY = "arn:aws:kms:eu-central-1:123456789012:key/0123"


@pytest.fixture(scope="module")
def cost(stages, tmp_path_factory):
    stage = stages["deploy"].copy(tmp_path_factory.mktemp("cost") / "deploy")

    def computed(**variables):
        plan = stage.plan(webhook_secret=SECRET, **variables)
        done = subprocess.run(
            [sys.executable, "-m", "bench.stack_cost"], cwd=ROOT, input=json.dumps(plan), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return computed


def totals(output):
    return [float(amount) for amount in re.findall(r"^  in all +([\d.]+)$", output, re.MULTILINE)]


def test_the_documents_say_what_a_stack_costs(cost):
    output = cost()
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    assert f"```text\n{output}```\n" in page, output
    rest, orders = totals(output)
    (cheapest, same_orders) = totals(cost(kms_key_arn=KEY))
    assert same_orders == orders
    assert cheapest < rest
    assert f"costs ${rest:.2f} a month at rest" in page
    assert f"**The cheapest form** costs ${cheapest:.2f}" in page
    assert f"**1,000 orders** cost ${orders:.2f}" in page
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert (
        f"costs ${rest:.2f} a month at rest, ${cheapest:.2f} in its cheapest form, and ${orders:.2f} for 1,000 orders"
        in readme
    )
    with_dashboard, _ = totals(cost(dashboard="true"))
    assert with_dashboard == pytest.approx(rest + 3)


def test_every_resource_that_costs_without_use_is_counted(cost):
    output = cost(dashboard="true")
    assert re.search(r"^  1 dashboard at \$3\.00 +3\.0000", output, re.MULTILINE)
    assert re.search(r"^  23 alarms at \$0\.10 +2\.3000", output, re.MULTILINE)


def test_the_quantities_are_those_of_the_measured_run():
    row = re.search(
        r"^\| `wide-1000` \|.*\| ([\d.]+) \|$", (ROOT / "docs/performance.md").read_text("utf-8"), re.MULTILINE
    )
    measured = json.loads(MEASURED.read_text("utf-8"))["quantities"]
    assert sum(bill.bill(measured).values()) == pytest.approx(float(row[1]), abs=0.0005)


def test_what_is_no_plan_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "bench.stack_cost"], cwd=ROOT, input='{"a": 1}', capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no plan of terraform/deploy" in done.stderr
