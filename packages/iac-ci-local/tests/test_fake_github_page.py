"""The page of a pull request on the local code host."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import requests

from iac_ci_local.fake_hosts.activity import Activity
from iac_ci_local.fake_hosts.deliveries import Deliveries
from iac_ci_local.fake_hosts.page import PullRequestPages
from iac_ci_local.fake_hosts.project import Person, Project
from iac_ci_local.fake_hosts.repository import HostedRepository
from iac_ci_local.fake_hosts.server import CodeHostServer

AUTHOR = Person(7, "author")
ENGINE = Person(8, "engine[bot]")
SECONDS = 120
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def project(tmp_path) -> Project:
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {"main.tf": b"# base\n", "old.tf": b"1\n2\n3\n"}, "base")
    repository.commit(
        "a<b>", {f"{EVIL}.tf": b"# head\n", "old.tf": None, "new & old.tf": b"1\n2\n3\n"}, "head", start="main"
    )
    made = Project("demo", "pets", repository, {"t": AUTHOR, "e": ENGINE}, {"author": "write", "engine[bot]": "write"})
    made.open_pull_request(title=f"Title {EVIL}", author=AUTHOR, head_branch="a<b>", base_branch="main")
    return made


@pytest.fixture
def deliveries() -> Deliveries:
    # Nobody listens there: that, too, is shown.
    return Deliveries("http://127.0.0.1:1/webhook", "secret")


@pytest.fixture
def host(project, deliveries) -> Iterator[CodeHostServer]:
    def pages(host):
        return PullRequestPages(
            project, Activity(project, host.url, deliveries), deliveries, lambda number: {"pushed.tf": b"# more\n"}
        )

    with CodeHostServer(project, pages=pages) as running:
        yield running


@pytest.fixture(autouse=True)
def browser(host, monkeypatch) -> requests.Session:
    """Open the page with its key, and use that browser's cookie for every request of the test."""
    session = requests.Session()
    monkeypatch.setattr(requests, "get", session.get)
    monkeypatch.setattr(requests, "post", session.post)
    monkeypatch.setattr(requests, "request", session.request)
    session.get(f"{place(host)}?key={host._pages.key}", timeout=SECONDS)
    return session


def place(host):
    return f"{host.url}/demo/pets/pull/1"


def get(host, path=""):
    return requests.get(f"{place(host)}{path}", timeout=SECONDS)


def send(host, path, **form):
    proof = re.search(r'name="proof" value="([^"]+)"', get(host).text)[1]
    return requests.post(f"{place(host)}{path}", data={"proof": proof, **form}, timeout=SECONDS, allow_redirects=False)


def test_the_page_shows_the_pull_request_and_runs_nothing_of_it(host, project):
    project.write_comment(1, ENGINE, f"| a |\n|---|\n| {EVIL} |\n\n<details><summary>Log</summary>\n\nx\n\n</details>")
    head = project.repository.head("a<b>")
    project.set_status(head, ENGINE, state="pending", context=f"iac-ci {EVIL}", description=EVIL, target_url=None)
    answer = get(host)
    assert answer.status_code == 200
    assert EVIL not in answer.text
    for shown in ("Title &lt;script&gt;", "a&lt;b&gt;", "old.tf → new &amp; old.tf", "<details>", "<td>", "pending"):
        assert shown in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert set(re.findall(r"<script\b[^>]*>", answer.text)) == {'<script src="/-/page.js">'}


@pytest.mark.parametrize("key", ["", "guessed", "%00", "\u2028"])
def test_without_its_key_a_page_shows_and_does_nothing(host, project, deliveries, key):
    proof = host._pages._proof
    name = next(iter(host._pages._cookie.split()))
    with requests.Session() as stranger:
        if key:
            stranger.headers["Cookie"] = f"{name}={key}".encode().decode("latin-1")
        for path in ("", "/conversation", f"?key={key}"):
            answer = stranger.get(f"{place(host)}{path}", timeout=SECONDS)
            assert answer.status_code == 403
            assert proof not in answer.text
        for path in ("/comments", "/push"):
            form = {"proof": proof, "text": "/iac-ci apply", "person": "author"}
            assert stranger.post(f"{place(host)}{path}", data=form, timeout=SECONDS).status_code == 403
    assert (project.comments(1), deliveries.done) == ([], [])


def test_the_key_moves_from_the_address_to_a_cookie(host):
    with requests.Session() as reader:
        answer = reader.get(f"{place(host)}?key={host._pages.key}", timeout=SECONDS, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/demo/pets/pull/1")
        assert "HttpOnly; SameSite=Strict" in answer.headers["Set-Cookie"]
        page = reader.get(place(host), timeout=SECONDS)
        assert page.status_code == 200
        assert host._pages.key not in page.text


def test_the_page_loads_nothing_but_its_own_two_files(host):
    loaded = re.findall(r'(?:src|href)="([^"]+)"', get(host).text)
    assert sorted(loaded) == ["/-/page.css", "/-/page.js"]
    for path in loaded:
        file = requests.get(host.url + path, timeout=SECONDS)
        assert file.status_code == 200
        assert file.headers["X-Content-Type-Options"] == "nosniff"


def test_what_changes_changes_the_version(host, project):
    first = get(host, "/conversation").json()
    assert get(host, "/conversation").json() == first
    assert f'data-version="{first["version"]}"' in get(host).text
    written = project.write_comment(1, ENGINE, "queued")
    second = get(host, "/conversation").json()
    project.edit_comment(written.id, "**done**")
    third = get(host, "/conversation").json()
    assert len({first["version"], second["version"], third["version"]}) == 3
    assert "<strong>done</strong>" in third["html"]


def test_a_comment_is_written_and_its_webhook_sent(host, project, deliveries):
    answer = send(host, "/comments", text="/iac-ci plan\r\nnow", person="author")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/demo/pets/pull/1")
    assert [(comment.author, comment.body) for comment in project.comments(1)] == [(AUTHOR, "/iac-ci plan\nnow")]
    assert deliveries.wait_for(1, seconds=SECONDS)
    assert (deliveries.done[0].event, deliveries.done[0].action) == ("issue_comment", "created")
    assert "no answer: URLError" in get(host).text


def test_another_commit_is_pushed_and_its_webhook_sent(host, project, deliveries):
    before = project.repository.head("a<b>")
    assert send(host, "/push").status_code == 303
    assert project.repository.file("pushed.tf", "a<b>")[0] == b"# more\n"
    assert project.repository.head("a<b>") != before
    assert deliveries.wait_for(1, seconds=SECONDS)
    assert (deliveries.done[0].event, deliveries.done[0].action) == ("pull_request", "synchronize")


@pytest.mark.parametrize("path", ["/comments", "/push"])
def test_a_form_of_another_page_does_nothing(host, project, deliveries, path):
    head = project.repository.head("a<b>")
    form = {"proof": "guessed", "text": "/iac-ci apply", "person": "author"}
    assert requests.post(f"{place(host)}{path}", data=form, timeout=SECONDS).status_code == 403
    assert (project.comments(1), project.repository.head("a<b>"), deliveries.done) == ([], head, [])


@pytest.mark.parametrize("form", [{"text": " ", "person": "author"}, {"text": "x", "person": "nobody"}, {}])
def test_a_comment_of_nobody_or_of_nothing_is_refused(host, project, form):
    assert send(host, "/comments", **form).status_code == 422
    assert project.comments(1) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/comments", 405), ("POST", "", 405), ("DELETE", "", 405), ("GET", "/nothing", 404)],
)
def test_what_cannot_be_asked_is_refused(host, method, path, status):
    assert requests.request(method, f"{place(host)}{path}", timeout=SECONDS).status_code == status


def test_there_is_no_page_of_a_pull_request_that_is_none(host):
    assert requests.get(f"{host.url}/demo/pets/pull/2", timeout=SECONDS).status_code == 404
    assert requests.get(f"{host.url}/-/page.py", timeout=SECONDS).status_code == 404
