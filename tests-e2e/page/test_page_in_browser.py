"""The page of a run in a real browser: hostile texts, keyboard, widths and schemes, a hidden tab.

``IAC_CI_PICTURES`` names a folder that keeps the screenshots.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from diagram.chromium import Page, chromium
from diagram.test_browser import LOW_CONTRAST

from iac_ci_common import keys
from iac_ci_common.models.plan_text import PlannedResource, PlanText
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.models.rows import JobScope, ReportTarget
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, order_row, run_row
from iac_ci_local.testing import wait_until
from page.stand import PREFIX, Stand, stand

EVIL = "</script></td><script>window.evil=1</script><img src=x onerror=window.evil=2>\"'`javascript:evil()\u202e"
ESCAPES = "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07\x1b[31mred\x1b[0m\x1b[2J\r"


@pytest.fixture(scope="module")
def browser():
    with chromium() as page:
        yield page


@pytest.fixture
def place():
    with stand() as made:
        yield made


def complaints(page: Page) -> list[dict]:
    page.run("0")
    return [event for event in page.events if event.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}]


def moments(start: datetime, num: int) -> dict[str, datetime]:
    began = start + timedelta(seconds=num)
    return {"dispatched_at": began, "started_at": began, "ended_at": began + timedelta(seconds=9)}


def hostile(made: Stand) -> str:
    now = datetime.now(UTC)
    scope = JobScope(base=EVIL, target=EVIL)
    report = ReportTarget(repository=f"https://github.com/acme/{EVIL}", number=7, scope=scope)
    order = order_row(1, status=OrderState.FAILED, reason=EVIL, **moments(now, 0))
    link = made.begin(
        run_row(accepted_at=now, status=RunState.FAILED, reason=EVIL, job_name=EVIL, actor=EVIL, report=report), [order]
    )
    plan = PlanText(resources=(PlannedResource(address=EVIL, action="delete", text=f"- {EVIL}\n{ESCAPES}"),))
    result = Result(run_id=RUN_ID, order_num="0001", status=OrderState.FAILED, reported_by=Reporter.WORKER,
                    ended_at=now, plan=plan, failed_command=EVIL)  # fmt: skip
    made.objects.put(keys.result(RUN_ID, "0001"), result.model_dump_json().encode())
    lines = ["$ plan", EVIL, ESCAPES, *(f"line {number}" for number in range(200))]
    made.objects.put(keys.log(RUN_ID, "0001"), "\n".join(lines).encode())
    return link


def test_a_hostile_run_is_harmless(browser, place):
    browser.show(width=1000)
    browser.go(hostile(place))
    page = f"{place.address}{PREFIX}{RUN_ID}"
    assert browser.run("location.href") == page, "the address is clean"
    cookies = browser.call("Network.getCookies", urls=[page])["cookies"]
    (cookie,) = [one for one in cookies if one["name"] == "iac_ci_run"]
    assert cookie["path"] == f"{PREFIX}{RUN_ID}"
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
    assert browser.call("Network.getCookies", urls=[f"{place.address}{PREFIX}x"])["cookies"] == []
    wait_until(lambda: browser.run("document.querySelectorAll('#graph a').length === 1"))
    shown = [browser.run("document.body.innerText")]
    first = complaints(browser)
    browser.go(f"{page}?order=0001#L50")
    wait_until(lambda: browser.run("document.querySelectorAll('.log .line').length === 203"))
    shown.append(browser.run("document.body.innerText"))
    for text in shown:
        assert "window.evil=1" in text, "it is shown as text"
    assert browser.run("window.evil === undefined && document.querySelectorAll('main img, main script').length") == 0
    assert browser.run("document.querySelectorAll('a[href^=javascript], a[href*=evil]').length") == 0
    assert "click" in browser.run("document.getElementById('L3').innerText")
    assert "\x1b" not in browser.run("document.getElementById('log').textContent")
    assert browser.run("document.querySelector('.here').id") == "L50", "a link to a line shows it"
    assert [*first, *complaints(browser)] == []
    requested = {
        event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"
    }
    assert all(url.startswith(place.address) for url in requested)
    print("hostile run: texts stay texts, no complaint of the browser, no request to another host")


def test_a_log_is_searched_folded_and_used_by_keyboard(browser, place):
    link = hostile(place)
    browser.go(link)
    browser.go(f"{place.address}{PREFIX}{RUN_ID}?order=0001")
    wait_until(lambda: browser.run("document.querySelectorAll('.log .line').length === 203"))
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    browser.press("Enter")
    assert browser.run("location.hash") == "#log-title"
    browser.run("document.getElementById('find').focus()")
    browser.call("Input.insertText", text="line 19")
    assert browser.run("document.getElementById('found').textContent") == "11 lines"
    assert browser.run("document.querySelector('.here').textContent") == "23line 19"
    browser.press("Enter")
    assert browser.run("document.querySelector('.here').textContent") == "194line 190"
    assert browser.run("document.querySelectorAll('.log details[open]').length") == 1
    browser.run("document.getElementById('fold').focus()")
    browser.press("Space")
    assert browser.run("document.querySelectorAll('.log details[open]').length") == 0
    browser.run("location.hash = '#L100'")
    wait_until(lambda: browser.run("document.querySelector('.here').id === 'L100'"))
    assert browser.run("document.getElementById('L100').checkVisibility()") is True


def test_a_log_of_a_million_lines_shows_its_beginning(browser, place):
    now = datetime.now(UTC)
    browser.go(place.begin(run_row(accepted_at=now), [order_row(1, status=OrderState.SUCCEEDED, **moments(now, 0))]))
    place.objects.put(keys.log(RUN_ID, "0001"), b"\n" * 1_000_000)
    browser.go(f"{place.address}{PREFIX}{RUN_ID}?order=0001")
    wait_until(lambda: "lines are shown" in browser.run("document.getElementById('note').textContent"))
    assert browser.run("document.querySelectorAll('.log .line').length") == 50_000
    assert browser.run("document.getElementById('download').checkVisibility()") is True
    place.objects.put(keys.log(RUN_ID, "0001"), b"0" * 1_000_000)
    browser.go(f"{place.address}{PREFIX}{RUN_ID}?order=0001&attempt=1")
    wait_until(lambda: browser.run("document.querySelectorAll('.log .line').length") == 1)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth") is True


@pytest.mark.parametrize(("width", "dark"), [(400, False), (400, True), (1400, False), (1400, True)])
def test_a_thousand_orders_are_usable(browser, place, width, dark):
    now = datetime.now(UTC)
    orders = [
        order_row(num, order_name=f"region-{num}", after=[num - 1] if num % 10 else [],
                  status=OrderState.SUCCEEDED if num % 7 else OrderState.FAILED, **moments(now, num % 60))
        for num in range(1, 1001)
    ]  # fmt: skip
    browser.show(width=width, dark=dark)
    browser.go(place.begin(run_row(accepted_at=now, status=RunState.FAILED), orders))
    wait_until(lambda: browser.run("document.querySelectorAll('#graph a').length === 1000"))
    assert browser.run("document.documentElement.scrollWidth <= innerWidth") is True
    assert browser.run(LOW_CONTRAST.replace("body *", "body :not(tbody *, svg *)")) == []
    marks = "[...document.querySelectorAll('#graph path.mark')].map((one) => one.outerHTML)"
    assert browser.run(f"new Set({marks}).size") == 2, "a shape for each state"
    cells = "[...document.querySelectorAll('#orders td:nth-child(2)')]"
    signs = f"{cells}.map((one) => getComputedStyle(one, '::before').content)"
    assert browser.run(f"[...new Set({signs})]") == ['"●"', '"✖"']
    browser.run("document.getElementById('find').focus()")
    browser.call("Input.insertText", text="region-779")
    visible = "[...document.querySelectorAll('#orders tbody tr')].filter((one) => one.checkVisibility()).length"
    assert browser.run(visible) == 1
    assert complaints(browser) == []


def test_a_hidden_tab_does_not_poll(browser, place):
    link = place.begin(run_row(accepted_at=datetime.now(UTC)), [order_row(1)])
    hidden = "Object.defineProperty(document, 'hidden', {get: () => window.isHidden === true, configurable: true})"
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=hidden)["identifier"]
    try:
        browser.go(link)

        def polls() -> int:
            return sum(one.startswith("state") for one in place.requested)

        wait_until(lambda: polls() >= 1)
        change = "window.isHidden = {}; document.dispatchEvent(new Event('visibilitychange'))"
        browser.run(change.format("true"))
        browser.run("fetch(location.pathname + '/graph').then(() => 0)")
        before = polls()
        # The browser's own clock runs ahead: a minute of timers.
        browser.call("Emulation.setVirtualTimePolicy", policy="advance", budget=60_000)
        wait_until(lambda: "Emulation.virtualTimeBudgetExpired" in events(browser))
        assert polls() == before
        browser.run(change.format("false"))
        wait_until(lambda: polls() > before)
        print(f"hidden tab: no poll in a minute, {polls() - before} at once when it is shown")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
        browser.call("Emulation.setVirtualTimePolicy", policy="advance")


def events(page: Page) -> set[str]:
    page.run("0")
    return {event.get("method", "") for event in page.events}


def test_the_page_follows_a_change_without_a_reload(browser, place):
    now = datetime.now(UTC)
    browser.go(place.begin(run_row(accepted_at=now), [order_row(1), order_row(2, after=[1])]))
    browser.run("window.isSamePage = true")
    before = place.runs.order_rows[RUN_ID]["0001"]
    place.runs.order_rows[RUN_ID]["0001"] = before.model_copy(
        update={"status": OrderState.TIMED_OUT, "reason": EVIL, **moments(now, 0)}
    )
    wait_until(lambda: browser.run("document.querySelector('#orders tbody tr').className") == "timed_out")
    cells = browser.run("[...document.querySelector('#orders tbody tr').cells].map((one) => one.textContent)")
    assert cells[1:5] == ["timed out", "", "9.0 s", EVIL.replace("\u202e", "\ufffd")]
    assert browser.run("window.isSamePage") is True
    marked = "[...document.querySelectorAll('#graph a')].map((one) => one.getAttribute('class'))"
    assert browser.run(marked) == ["timed_out", "queued"]
