"""What the page shows, and that nothing of a run becomes markup."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from iac_ci_common import keys
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.event import Event
from iac_ci_common.models.plan_text import PlannedResource, PlanText
from iac_ci_common.models.result import Reporter, Result
from iac_ci_common.models.rows import JobScope, ReportTarget, RequirementTick
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, order_row, run_row
from iac_ci_page import handler, wiring
from iac_ci_page.graph import ROWS, layout
from iac_ci_page.http import POLICY
from iac_ci_page.logs import MAX_LOG_BYTES
from iac_ci_page.render import ASSETS
from iac_ci_page.view import MAX_EVENTS, STATES, event_rows, order_facts, run_view

EVIL = "</td></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{7*7}}\u202e"


class Elements(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def ended(num: int = 1, **fields):
    moments = {"dispatched_at": START, "started_at": START, "ended_at": START + timedelta(seconds=9)}
    return order_row(num, **({"status": OrderState.FAILED} | moments | fields))


def result(**fields) -> bytes:
    values = {"run_id": RUN_ID, "order_num": "0001", "status": OrderState.FAILED, "reported_by": Reporter.WORKER}
    return Result(**(values | {"ended_at": START} | fields)).model_dump_json().encode()


def test_hostile_texts_stay_texts(world):
    tick = RequirementTick(command=EVIL, standing=EVIL, text=EVIL)
    scope = JobScope(base=EVIL, target=EVIL, requirements=(tick,))
    report = ReportTarget(repository="https://github.com/acme/infra", number=7, scope=scope, link_generation=1)
    world.begin([ended(reason=EVIL, changes_unknown=True)], reason=EVIL, job_name=EVIL, actor=EVIL, report=report)
    plan = PlanText(resources=(PlannedResource(address=EVIL, action=EVIL, text=f"- {EVIL}"),), warnings=(EVIL,))
    world.objects.put(keys.result(RUN_ID, "0001"), result(plan=plan, failed_command=EVIL, reason=EVIL))
    event = Event(trace_id=TRACE_ID, run_id=RUN_ID, order_num="0001", order_name="order-1", kind=EVIL, at=START,
                  reason=EVIL, expires_at=START + timedelta(days=1))  # fmt: skip
    world.runs.record([event])
    world.open(world.link())
    for page in (world.get(), world.get(order="0001")):
        assert page.status == 200
        assert "alert(1)" in page.body
        assert "\u202e" not in page.body
        seen = Elements(page.body).seen
        assert [attributes["src"] for tag, attributes in seen if tag == "script"] != []
        assert all(set(attributes) <= {"src", "defer"} for tag, attributes in seen if tag == "script")
        assert not any(tag in {"img", "style", "iframe", "base", "form"} for tag, _ in seen)
        assert not any(name.startswith("on") or name == "style" for _, attributes in seen for name in attributes)
        assert "49" not in page.body.partition("<main>")[2].partition("Accepted")[0]


def test_what_could_hide_or_reverse_text_is_a_sign(world):
    reason = "a\u202eb\u200bc\x1bd\x9be\u2028f\tg\nh"
    world.begin([ended(reason=reason)], reason=reason)
    world.open(world.link())
    seen = reason.translate(dict.fromkeys(map(ord, "\u202e\u200b\x1b\x9b\u2028"), "\ufffd"))
    state = json.loads(world.get("state").body)
    assert state["reason"] == state["orders"][0][4].rstrip() == seen
    assert f'<p id="reason">{seen}</p>' in world.get().body


def event(number: int, **fields) -> Event:
    values = {"trace_id": TRACE_ID, "run_id": RUN_ID, "order_num": "0001", "order_name": "order-1", "kind": "queued"}
    at = START + timedelta(seconds=number)
    return Event(**(values | {"at": at, "expires_at": START + timedelta(days=1)} | fields))


@pytest.mark.parametrize(
    ("count", "first"),
    [
        (MAX_EVENTS, "queued"),
        (MAX_EVENTS + 1, "1 earlier event is not shown"),
        (MAX_EVENTS + 7, "7 earlier events are not shown"),
    ],
)
def test_earlier_events_that_are_left_out_are_counted(count, first):
    rows = event_rows([event(number) for number in range(count)])
    assert rows[0][2] == first
    assert [kind for _, _, kind, _ in rows[1:]] == ["queued"] * (len(rows) - 1)
    assert len(event_rows([event(0), event(1, order_num="0002")], "0002")) == 1


@pytest.mark.parametrize(("reason", "shown"), [("x" * 300, "x" * 300), ("x" * 301, "x" * 299 + "…")])
def test_a_reason_that_is_cut_says_so(reason, shown):
    assert event_rows([event(0, reason=reason)])[0][3] == shown
    assert run_view(run_row(), [ended(reason=reason)]).orders[0].why == shown


def test_orders_that_wait_for_a_free_worker_have_their_place_in_line():
    orders = [
        order_row(1, status=OrderState.RUNNING, dispatched_at=START),
        order_row(2),
        order_row(3, waiting_for="run 1, first in line"),
        order_row(4, after=[2]),
        order_row(5),
        order_row(6, approval={"by": ["ann"]}),
    ]
    shown = {order.num: order.why for order in run_view(run_row(max_parallel=1), orders).orders}
    assert shown == {
        "0001": "",
        "0002": "a free worker, 1 of 2 in line",
        "0003": "run 1, first in line",
        "0004": "order-2",
        "0005": "a free worker, 2 of 2 in line",
        "0006": "an approval",
    }
    assert ("Waits for", shown["0005"]) in order_facts(orders[4], orders)


def test_requirements_of_applying_are_facts_of_the_run():
    ticks = (
        RequirementTick(command="/iac-ci apply", standing="met", text="approved by ann"),
        RequirementTick(command="/iac-ci apply", standing="not known", text="mergeable"),
    )
    report = ReportTarget(repository="https://github.com/acme/infra", scope=JobScope(base="main", requirements=ticks))
    facts = run_view(run_row(report=report), []).facts
    assert [text for name, text in facts if name == "Required by /iac-ci apply"] == [
        "met: approved by ann",
        "not known: mergeable",
    ]


def test_the_policy_allows_the_pages_own_files_alone():
    assert "unsafe" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "http" not in POLICY
    assert "require-trusted-types-for 'script'" in POLICY


def test_pages_load_their_own_files_and_nothing_of_a_third_party(world):
    world.begin([order_row(1)])
    world.open(world.link())
    loaded = {
        attributes.get("src") or attributes.get("href")
        for page in (world.get(), world.get(order="0001"))
        for tag, attributes in Elements(page.body).seen
        if tag in {"script", "link"}
    }
    names = {str(address).partition("?")[0] for address in loaded}
    assert names == {f"{RUN_ID}/{name}" for name in ASSETS}
    for name in ASSETS:
        answer = world.get(name)
        assert answer.status == 200
        for word in ("innerHTML", "insertAdjacent", "document.write", "eval(", "http://", "https://", "url("):
            assert word not in answer.body.replace("http://www.w3.org/2000/svg", ""), (name, word)


def test_a_poll_without_news_is_empty(world):
    world.begin([order_row(1), order_row(2, after=[1])])
    world.open(world.link())
    first = json.loads(world.get("state").body)
    assert [STATES[order[0]] for order in first["orders"]] == ["queued", "queued"]
    assert first["orders"][1][4] == "order-1"
    assert world.get("state", version=first["version"]).status == 204
    assert json.loads(world.get("graph").body) == {"nodes": [[0, 0], [1, 0]], "edges": [[0, 1]], "left_out": 0}


def test_a_thousand_orders_are_small(world):
    orders = [
        ended(
            number,
            after=[number - 1] if number % 10 else [],
            order_name=f"apply-region-{number}",
            changes=Changes(operation=Operation.APPLIED, add=number % 7),
            status=OrderState.SUCCEEDED,
        )
        for number in range(1, 1001)
    ]
    world.begin(orders, status=RunState.SUCCEEDED, finished_at=START + timedelta(minutes=9))
    world.open(world.link())
    parts = ["", "graph", "page.css", "run.js"]
    total = sum(len(world.get(part).body.encode()) for part in parts)
    assert total < 200_000
    assert json.loads(world.get("state").body)["version"] in world.get().body, "the script begins without a poll"


def test_columns_are_levels_and_high_ones_continue():
    orders = [order_row(1)] + [order_row(number, after=[1]) for number in range(2, 2 + ROWS + 5)]
    orders.append(order_row(90, after=[2, 3]))
    placed = layout(orders).places
    assert placed["0001"] == (0, 0)
    assert {column for column, _ in placed.values()} == {0, 1, 2, 3}
    assert placed["0090"][0] == 3
    assert len(set(placed.values())) == len(orders)


def log(world, **query):
    answer = json.loads(world.get("log", order="0001", **query).body)
    return base64.b64decode(answer.pop("data")), answer


def test_a_running_orders_log_is_read_in_parts_without_gaps(world):
    running = order_row(1, status=OrderState.RUNNING, started_at=START)
    world.begin([running])
    world.open(world.link())
    assert log(world) == (b"", {"part": 0, "offset": 0, "last": False, "cut": False})
    world.objects.put(keys.live_part(RUN_ID, "0001", 0), "$ plan\nµ".encode()[:-1])
    assert log(world) == (b"$ plan\n\xc2", {"part": 1, "offset": 8, "last": False, "cut": False})
    world.objects.put(keys.live_part(RUN_ID, "0001", 1), b"\xb5 two\n")
    world.objects.put(keys.live_part(RUN_ID, "0001", 0, 2), b"another attempt")
    assert log(world, part="1", offset="8") == (b"\xb5 two\n", {"part": 2, "offset": 14, "last": False, "cut": False})


def test_an_ended_orders_log_continues_with_the_whole_one(world):
    world.begin([ended()])
    world.open(world.link())
    world.objects.put(keys.log(RUN_ID, "0001"), b"$ plan\nall of it\n")
    assert log(world, part="1", offset="7") == (b"all of it\n", {"part": 1, "offset": 17, "last": True, "cut": False})


def test_a_log_that_was_not_stored_shows_the_results_end_of_it(world):
    world.begin([ended()])
    world.open(world.link())
    world.objects.put(keys.result(RUN_ID, "0001"), result(log_tail="the end\n"))
    assert log(world)[0] == b"the end\n"


def in_result(log):
    return result(log_tail=log.decode(), log_bytes=len(log))


def test_a_short_log_comes_out_of_the_result(world):
    world.begin([ended()])
    world.open(world.link())
    whole = "$ plan\nzwölf\n".encode()
    world.objects.put(keys.result(RUN_ID, "0001"), in_result(whole))
    assert log(world) == (whole, {"part": 0, "offset": 14, "last": True, "cut": False})
    assert log(world, offset="7")[0] == "zwölf\n".encode()


def test_a_short_log_is_a_download_without_an_object(world):
    world.begin([ended()])
    world.open(world.link())
    world.objects.put(keys.result(RUN_ID, "0001"), in_result("zwölf\x1b[0m\n".encode()))
    answer = world.get("download", order="0001")
    assert (answer.status, answer.body) == (200, "zwölf\x1b[0m\n")
    headers = answer.as_proxy()["headers"]
    assert headers["Content-Disposition"] == f'attachment; filename="{RUN_ID}-0001.log"'
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_download_of_control_characters_fits_a_functions_answer(world):
    world.begin([ended()])
    world.open(world.link())
    world.objects.put(keys.live_part(RUN_ID, "0001", 0), b"\x1b" * 1024 * 1024)
    answer = world.get("download", order="0001")
    assert answer.body.endswith("prints it\n")
    assert len(json.dumps(answer.as_proxy())) < 6 * 1024 * 1024


def test_what_a_dead_worker_has_sent_is_a_download_too(world, monkeypatch):
    world.begin([ended()])
    world.open(world.link())
    assert world.get("download", order="0001").status == 404
    for number in range(2):
        world.objects.put(keys.live_part(RUN_ID, "0001", number), b"part\n")
    assert world.get("download", order="0001").body == "part\npart\n"
    monkeypatch.setattr("iac_ci_page.act.MAX_TEXT_BYTES", 7)
    left_out = f"[iac-ci] the rest is left out; `iac-ci logs {RUN_ID} 0001` prints it\n"
    assert world.get("download", order="0001").body == f"part\npa\n{left_out}"


def test_a_long_log_is_a_download_of_minutes(world):
    world.begin([ended()])
    world.open(world.link())
    world.objects.put(keys.log(RUN_ID, "0001"), b"x" * (MAX_LOG_BYTES + 5))
    data, state = log(world)
    assert (len(data), state["cut"], state["last"]) == (MAX_LOG_BYTES, True, True)
    answer = world.get("download", order="0001")
    assert answer.status == 303
    url = answer.headers["Location"]
    assert world.objects.use_url(url) == b"x" * (MAX_LOG_BYTES + 5)
    assert "until=" + "2026-01-01T00%3A05" in url
    assert answer.body == ""


def test_saved_and_kept_files_and_outputs_are_never_read(world, monkeypatch):
    world.begin([ended()])
    world.open(world.link())
    read: list[str] = []
    real = world.objects.get
    monkeypatch.setattr(world.objects, "get", lambda key, **how: read.append(key) or real(key, **how))
    for part in ("", "state", "graph", "events", "log", "download"):
        world.get(part, order="0001", attempt="1")
    world.get(order="0001")
    assert read
    assert all(key.startswith(("tmp/logs/", "tmp/live/", "tmp/callbacks/")) for key in read)


def test_the_page_calls_only_ports_that_read(world, monkeypatch):
    writes = ("apply", "insert", "record", "request_cancel", "request_stop", "follow", "next_watchdog")
    world.begin([ended()])
    world.objects.put(keys.log(RUN_ID, "0001"), b"all of it\n")
    for name in writes:
        monkeypatch.setattr(world.runs, name, None)
    for name in ("put", "create", "delete", "presign_put"):
        monkeypatch.setattr(world.objects, name, None)
    world.open(world.link())
    for part in ("", "state", "graph", "events", "log", "download", *ASSETS):
        assert world.get(part, order="0001").status in {200, 303}


@pytest.mark.parametrize("query", [{"order": "0000"}, {"order": "../1"}, {"order": "0002"}, {"order": ""}])
def test_an_unknown_order_is_said(world, query):
    world.begin([ended()])
    world.open(world.link())
    for part in ("", "log", "download"):
        answer = world.get(part, **query)
        assert (answer.status, answer.content_type.partition(";")[0]) == (404, "text/plain" if part else "text/html")
    assert world.get("anything").status == 404


def test_neither_a_link_nor_a_cookie_is_logged(world, monkeypatch, capsys):
    def fail(run_id):
        raise RuntimeError(world.cookies[0])

    world.begin([ended()])
    world.open(world.link())
    monkeypatch.setattr(wiring, "page", lambda: world.page)
    monkeypatch.setattr(wiring, "logger", lambda: world.logger)
    secret = world.cookies[0].partition("=")[2]
    event = {"pathParameters": {"run_id": RUN_ID}, "queryStringParameters": {"key": secret},
             "headers": {"cookie": world.cookies[0]}}  # fmt: skip
    assert handler.handler(event, None)["statusCode"] == 200
    monkeypatch.setattr(world.runs, "read", fail)
    answer = handler.handler(event, None)
    assert answer["statusCode"] == 500
    assert world.logger.lines
    for text in (repr(world.logger.lines), answer["body"], capsys.readouterr().out):
        assert secret not in text
