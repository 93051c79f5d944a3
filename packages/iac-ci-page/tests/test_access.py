"""Who may see a run, and what a link is worth."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common import capabilities, keys
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.capabilities import Kind
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.page_links import PageLinks
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row

DATA = ("", "state", "graph", "events", "log", "download")


def test_a_link_is_traded_for_a_cookie_and_the_clean_address(world):
    world.begin([order_row(1)])
    link = world.link()
    answer = world.open(link)
    cookie = answer.headers["Set-Cookie"]
    assert (answer.status, answer.headers["Location"]) == (303, f"../{RUN_ID}")
    assert cookie.endswith("; HttpOnly; Secure; SameSite=Lax")
    assert "Path" not in cookie, "the browser takes the folder of /runs/<run_id>/open: this run's page alone"
    assert link.rpartition("=")[2] not in cookie
    assert world.get().status == 200
    assert all(world.key not in str(part) for part in (answer, world.get().body))
    assert answer.as_proxy()["headers"]["Referrer-Policy"] == "no-referrer"


REFUSED = {
    "an expired link": lambda world: world.link(seconds=-1),
    "a link to another run": lambda world: world.link(world.other_run).replace(world.other_run, RUN_ID),
    "a link of another stack": lambda world: world.link(key="another key with more than thirty-two letters"),
    "a longer life": lambda world: world.link().replace("key=", "key=9"),
    "another generation": lambda world: world.link().replace(".1.", ".2."),
    "a session": lambda world: "https://ci.example/runs/" + RUN_ID + "/open?key=" + capabilities.make(
        world.key, Kind.SESSION, RUN_ID, expires_at=START + timedelta(hours=1), generation=1),
    "nothing": lambda world: f"https://ci.example/runs/{RUN_ID}/open?key=.",
    "another script's digits": lambda world: world.link().replace(".1.", ".\u0661."),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_links(world, name):
    world.begin([order_row(1)])
    answer = world.open(REFUSED[name](world))
    assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
    assert world.get().status == 403


def test_without_a_cookie_nothing_is_read(world, monkeypatch):
    def read(run_id):
        raise AssertionError("a request without a capability read rows")

    monkeypatch.setattr(world.runs, "read", read)
    for part in DATA:
        assert world.get(part).status == 403
    for cookie in ("iac_ci_run=", "iac_ci_run=1.1.x", f"iac_ci_run={world.link().rpartition('=')[2]}"):
        world.cookies = [cookie]
        assert world.get("state").status == 403, "a link is no session"


def test_a_raised_generation_ends_links_and_open_pages(world):
    world.begin([order_row(1)])
    world.objects.put(keys.log(RUN_ID, "0001"), b"a log\n")
    world.open(world.link())
    assert [world.get(part, order="0001").status for part in DATA] == [200] * 5 + [303]
    world.connect(2)
    world.clock.advance(seconds=301)
    assert [world.get(part, order="0001").status for part in DATA] == [403] * 6
    assert world.open(world.link(generation=1)).status == 303, "the row that knows the connection is not read for it"
    assert world.get().status == 403
    world.open(world.link(generation=2))
    assert world.get().status == 200


def test_a_removed_connection_ends_links(world):
    world.begin([order_row(1)])
    world.open(world.link())
    world.set(world.connections, "[]")
    world.clock.advance(seconds=301)
    assert world.get().status == 403


def test_a_run_without_a_connection_has_the_generation_0(world):
    world.begin([order_row(1)], report=None)
    world.open(world.link(generation=1))
    assert world.get().status == 403
    world.open(world.link(generation=0))
    assert world.get().status == 200


def test_a_session_lasts_no_longer_than_its_link_and_twelve_hours(world):
    world.begin([order_row(1)], deadline=START + timedelta(days=1), expires_at=START + timedelta(days=2))
    for seconds, lasts in ((600, 600), (48 * 3600, 12 * 3600)):
        start = world.clock.now()
        assert f"Max-Age={lasts};" in world.open(world.link(seconds=seconds)).headers["Set-Cookie"]
        world.clock.advance(seconds=lasts - 1)
        assert world.get().status == 200
        world.clock.advance(seconds=1)
        assert world.get().status == 403
        assert world.clock.now() - start == timedelta(seconds=lasts)


@pytest.mark.parametrize("key", ["", "none", "k" * 31])
def test_without_a_long_key_nothing_opens(world, key):
    world.begin([order_row(1)])
    link = world.link()
    world.set(world.key_location, key)
    assert world.open(link).status == 403
    links = PageLinks("https://ci.example/runs", world.key_location, SharedSecrets(world.secrets))
    assert links.of(world.run, START) is None


def test_a_report_has_a_link_only_if_the_host_called_the_repository_private(world):
    world.begin([order_row(1)])
    links = PageLinks("https://ci.example/live/runs/", world.key_location, SharedSecrets(world.secrets))
    made = links.of(world.run, START)
    assert made is not None
    assert made.startswith(f"https://ci.example/live/runs/{RUN_ID}/open?key=")
    world.open(made.replace("/live/", "/"))
    assert world.get().status == 200
    unknown = ReportTarget(repository="https://github.com/acme/infra", number=7)
    assert links.of(run_row(report=unknown), START) is None
    assert links.of(run_row(), START) is None
    for without in (
        PageLinks("", world.key_location, links.secrets),
        PageLinks("https://ci.example", None, links.secrets),
    ):
        assert without.of(world.run, START) is None


@pytest.mark.parametrize("run_id", ["", "..", "x", RUN_ID + "\n", "20260101T000000-0123456789ab%2f"])
def test_another_address_is_no_page(world, run_id):
    assert world.get(run_id=run_id).status == 404


def test_a_run_that_is_still_prepared_is_a_page_that_loads_itself_again(world):
    world.open(world.link(seconds=7200))
    early = world.get()
    assert (early.status, "is being prepared" in early.body, early.headers.get("Refresh")) == (404, True, "3")
    world.clock.advance(seconds=1000)
    late = world.get()
    assert (late.status, "No such run" in late.body, "Refresh" in late.headers) == (404, True, False)


def test_a_run_that_is_gone_is_a_page_that_says_so(world):
    world.open(world.link())
    assert world.get().status == 404
    world.begin([order_row(1)])
    assert world.get().status == 200
    world.clock.advance(seconds=26 * 3600)
    world.open(world.link())
    assert world.get().status == 404, "a row that has expired counts as deleted"
