"""A page over ports in memory, and a person's browser that keeps its cookie."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from iac_ci_common import capabilities
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.locations import parse_location
from iac_ci_common.models.rows import ReportTarget
from iac_ci_common.testing import FakeClock, MemoryLogger, MemoryObjects, MemoryRuns, MemorySecrets
from iac_ci_common.testing.samples import RUN_ID, START, run_row
from iac_ci_page.access import Access
from iac_ci_page.act import Page, PagePorts
from iac_ci_page.http import COOKIE, Response, read_request

KEY = "a page key that has more than thirty-two characters"
KEY_LOCATION, CONNECTIONS = "ssm:/iac-ci/acme/page-key", "ssm:/iac-ci/acme/connections"
REPOSITORY = "https://github.com/acme/infra"
CONNECTION = {"repositories": [REPOSITORY], "webhook_secrets": ["ssm:/w"], "token_location": "ssm:/t"}


@dataclass
class World:
    """One run, and its page."""

    key: str = KEY
    key_location: str = KEY_LOCATION
    connections: str = CONNECTIONS
    other_run: str = "20260101T000000-ba9876543210"
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    runs: MemoryRuns = field(default_factory=MemoryRuns)
    secrets: MemorySecrets = field(default_factory=MemorySecrets)
    cookies: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objects = MemoryObjects(self.clock)
        self.logger = MemoryLogger()
        self.set(KEY_LOCATION, KEY)
        self.connect(1)
        access = Access(KEY_LOCATION, CONNECTIONS, SharedSecrets(self.secrets))
        self.page = Page(PagePorts(self.clock, self.runs, self.objects, access, self.logger))

    def set(self, location: str, value: str) -> None:
        self.secrets.values[parse_location(location)] = value

    def connect(self, generation: int) -> None:
        self.set(CONNECTIONS, json.dumps([CONNECTION | {"link_generation": generation}]))

    def begin(self, orders: Any, **fields: Any) -> None:
        report = ReportTarget(repository=REPOSITORY, number=7, pull_request=7, link_generation=1)
        self.run = run_row(
            **({"report": report, "order_count": len(orders), "source": "github.com/acme/infra"} | fields)
        )
        self.runs.insert(self.run, orders, [])

    def link(self, run_id: str = RUN_ID, *, key: str = KEY, seconds: float = 600, generation: int = 1) -> str:
        ends = self.clock.now() + timedelta(seconds=seconds)
        return capabilities.link("https://ci.example/runs", key, run_id, expires_at=ends, generation=generation)

    def get(self, below: str = "", *, run_id: str = RUN_ID, **query: str) -> Response:
        event = {
            "pathParameters": {"run_id": run_id, **({"part": below} if below else {})},
            "queryStringParameters": query or None,
            "headers": {"Cookie": "; ".join(["theme=dark", *self.cookies])},
        }
        return self.page.answer(read_request(event))

    def open(self, link: str) -> Response:
        found = re.fullmatch(r"https://ci\.example/runs/([^/]+)/open\?key=(.+)", link)
        assert found is not None
        answer = self.get("open", run_id=found[1], key=found[2])
        if "Set-Cookie" in answer.headers:
            self.cookies = [answer.headers["Set-Cookie"].partition(";")[0]]
            assert self.cookies[0].startswith(f"{COOKIE}=")
        return answer


@pytest.fixture
def world() -> World:
    return World()
