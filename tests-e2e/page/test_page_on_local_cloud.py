"""The page of a run on the local cloud: followed live in a browser, with the deployed policies, and flooded.

``IAC_CI_PICTURES`` names a folder that keeps the screenshots; docs/run-page.md shows those of
``IAC_CI_PICTURES=docs .ci/test tests-e2e/page/test_page_on_local_cloud.py``.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from diagram.chromium import Page, chromium
from selection import FULL

from iac_ci_common import capabilities
from iac_ci_common.states import RunState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import Speed
from iac_ci_local.testing import HANGS_SECONDS, folder_of_commands, runs, submit, wait_for_end, wait_until

VIEWS = [(1400, False), (1400, True), (400, False), (400, True)]
SECONDS = int(HANGS_SECONDS)
FLOOD = 400 if FULL else 150
"""Pages that are asked for at once, several times what the throttle lets through."""

pytestmark = pytest.mark.local_cloud


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud(speed=Speed(wait_scale=0.5, retry_seconds=0.1), max_parallel=4) as running:
        # A function that a busy machine runs too slowly ends at its time-out: 502.
        running.aws.client("lambda").update_function_configuration(
            FunctionName=running.stack.names.resource("page"), Timeout=SECONDS
        )
        yield running


def address(cloud: LocalCloud) -> str:
    """Return the URL of the pages, from the parameter that the command line reads."""
    name = f"/iac-ci/{cloud.stack.names.stack}/outputs"
    return json.loads(cloud.aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])["page_address"]


def link(cloud: LocalCloud, run_id: str) -> str:
    found = cloud.aws.client("ssm").get_parameter(Name=cloud.stack.names.page_key, WithDecryption=True)
    ends = datetime.now(UTC) + timedelta(hours=1)
    key = found["Parameter"]["Value"]
    return capabilities.link(address(cloud), key, run_id, expires_at=ends, generation=0)


def job(folder: Path) -> dict:
    """Return sixty orders in ten chains; from the third of each chain on they wait for a file."""
    waits = f"while [ ! -e {folder}/go ]; do sleep 0.1; done"
    return {
        "username": "mona",
        "flow_label": "apply",
        "orders": [
            {
                "order_name": f"{name}-{step}",
                "cmds": [f"echo applying {name} {step}", waits if step > 2 else "true"],
                "timeout": 500,
                "dependencies": [f"{name}-{step - 1}"] if step > 1 else [],
            }
            for name in ("network", "dns", "cluster", "queue", "cache", "search", "mail", "users", "billing", "site")
            for step in range(1, 7)
        ],
    }


def states(page: Page) -> Counter:
    return Counter(page.run("[...document.querySelectorAll('#orders tbody tr')].map((row) => row.className)"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_of_sixty_orders_is_followed_live(cloud, tmp_path):
    pictures = Path(os.environ.get("IAC_CI_PICTURES", tmp_path))
    with folder_of_commands() as folder, chromium() as page:
        run_id = submit(cloud, job(folder))
        wait_until(lambda: runs(cloud).read(run_id).run is not None, subject="the run's row")
        page.show(width=1400)
        page.go(link(cloud, run_id))
        wait_until(lambda: page.run("document.querySelectorAll('#graph a').length === 60"), subject="the graph")
        page.run("window.isSamePage = true")
        # As many orders as the stack lets run at once wait for the file, each after two of its chain.
        wait_until(lambda: states(page)["succeeded"] >= 8 and states(page)["running"] > 0, subject="the first orders")
        for width, dark in VIEWS:
            page.show(width=width, dark=dark)
            wait_until(
                lambda width=width: page.run(
                    f"document.querySelector('#timeline svg').getAttribute('width') <= {width}"
                )
            )
            assert page.run("document.documentElement.scrollWidth <= innerWidth")
            scheme = "dark" if dark else "light"
            (pictures / f"run-page-{width}-{scheme}.png").write_bytes(page.picture(whole=False))
        (folder / "go").touch()
        wait_until(lambda: states(page) == {"succeeded": 60}, subject="the end of all orders")
        wait_until(lambda: page.run("document.getElementById('state').textContent") == "succeeded")
        assert page.run("window.isSamePage") is True, "without a reload"
        assert wait_for_end(cloud, run_id).run.status is RunState.SUCCEEDED
        page.show(width=1400)
        page.run("document.querySelector('#orders tbody a').click()")
        # What folds the command's output, the command, and its output.
        wait_until(
            lambda: page.run("document.getElementById('log')?.textContent ?? ''").count("applying network 1") == 3,
            subject="the log",
        )
        complaints = [one for one in page.events if one.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}]
        assert complaints == []
    print(f"60 orders followed live to their end in one page, {len(VIEWS)} views")


@pytest.mark.timeout(1200)
def test_a_flood_of_pages_takes_nothing_from_the_webhook(cloud):
    run_id = submit(cloud, {"username": "mona", "orders": [{"order_name": "one", "cmds": ["true"], "timeout": 60}]})
    # A run that is accepted and not read yet has no page: 404.
    wait_until(lambda: runs(cloud).read(run_id).run is not None, subject="the run's row")
    opened = requests.get(link(cloud, run_id), timeout=SECONDS, allow_redirects=False)
    cookie = opened.headers["Set-Cookie"].partition(";")[0]

    def look(number: int) -> int:
        headers = {"Cookie": cookie} if number % 2 else {}
        return requests.get(f"{address_of_run}/state", headers=headers, timeout=SECONDS).status_code

    address_of_run = f"{address(cloud)}/{run_id}"
    with ThreadPoolExecutor(16) as pool:
        flood = [pool.submit(look, number) for number in range(FLOOD)]
        # While they come: every job is accepted.
        sent = [
            submit(cloud, {"username": f"mona-{n}", "orders": [{"order_name": "one", "cmds": ["true"], "timeout": 60}]})
            for n in range(5)
        ]
        answers = Counter(one.result() for one in flood)
    assert len(set(sent)) == 5
    assert set(answers) <= {200, 403, 429}
    for one in (run_id, *sent):
        assert wait_for_end(cloud, one).run.status is RunState.SUCCEEDED
    print(f"flood of {answers.total()} pages: {dict(answers)}; 5 of 5 webhooks accepted meanwhile")


def test_a_person_of_another_run_sees_nothing(cloud):
    first, second = (
        # The same request twice in one second would be one run.
        submit(cloud, {"username": name, "orders": [{"order_name": "one", "cmds": ["true"], "timeout": 60}]})
        for name in ("mona", "lisa")
    )
    for run_id in (first, second):
        wait_for_end(cloud, run_id)
    opened = requests.get(link(cloud, first), timeout=SECONDS, allow_redirects=False)
    cookie = {"Cookie": opened.headers["Set-Cookie"].partition(";")[0]}
    foreign = [requests.get(f"{address(cloud)}/{second}{part}", headers=cookie, timeout=SECONDS).status_code
               for part in ("", "/state", "/graph", "/events", "/log?order=0001", "/download?order=0001")]  # fmt: skip
    assert foreign == [403] * 6
    swapped = link(cloud, first).replace(first, second)
    assert requests.get(swapped, timeout=SECONDS, allow_redirects=False).status_code == 403
    logs = cloud.aws.log_tail()
    assert cookie["Cookie"].partition("=")[2] not in logs
    print("the cookie and the link of one run open no other: 7 of 7 refused")
