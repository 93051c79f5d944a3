"""Credentials of a role live as long as their order, reach its commands only, and show nowhere."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from datetime import timedelta
from urllib.parse import urlsplit

import botocore.session
import pytest

from iac_ci_common.errors import PortFailed, TradeRefused
from iac_ci_common.models.trade import Refusal, RoleCredentials, TradeAnswer
from iac_ci_common.redaction import Redactor
from iac_ci_common.testing import FakeClock, MemoryLogger
from iac_ci_common.testing.samples import START
from iac_ci_worker.credentials_delivery import role_variables
from iac_ci_worker.credentials_endpoint import CredentialsServer, new_token
from iac_ci_worker.role_credentials import RENEW_SECONDS, LivingCredentials

HOUR = 3600


class Issuer:
    """Gives a session of an hour for each trade, and fails when told to."""

    can_trade = True

    def __init__(self, clock):
        self.clock, self.number, self.fails = clock, 0, None

    def session(self):
        self.number += 1
        return RoleCredentials(
            access_key_id=f"ASIASESSION{self.number}",
            secret_access_key=f"planted-secret-{self.number}",
            session_token=f"planted-token-{self.number}",
            expires_at=self.clock.now() + timedelta(seconds=HOUR),
        )

    def trade(self, *, renews):
        assert renews
        if isinstance(self.fails, Exception):
            raise self.fails
        return TradeAnswer(credentials_failure=self.fails) if self.fails else TradeAnswer(credentials=self.session())


class Endpoint:
    def __init__(self, tmp_path):
        self.clock = FakeClock(START)
        self.issuer, self.redactor, self.logger = Issuer(self.clock), Redactor([]), MemoryLogger()
        self.credentials = LivingCredentials(
            self.issuer.session(), self.issuer, self.clock, self.logger, mask=self.redactor.add
        )
        self.token, self.file = new_token(), tmp_path / "token"
        self.file.write_text(self.token)
        self.server = CredentialsServer(self.token, role=self.credentials)
        self.variables = role_variables(self.server, self.file)

    def serving(self):
        return self.server.serving()

    @property
    def url(self):
        return self.variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"]

    def get(self, **headers):
        request = urllib.request.Request(self.url, headers={"Authorization": self.token, **headers})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def sdk(self, monkeypatch):
        """Return the credentials of the AWS SDK, whose clock is this endpoint's."""
        for name, value in (self.variables | {"AWS_EC2_METADATA_DISABLED": "true"}).items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("botocore.credentials._local_now", self.clock.now)
        found = botocore.session.Session().get_credentials()
        assert found.method == "container-role"
        found._time_fetcher = self.clock.now
        return found


@pytest.fixture
def endpoint(tmp_path):
    made = Endpoint(tmp_path)
    with made.serving():
        yield made
    made.file.unlink()


def test_an_sdk_has_living_credentials_in_each_minute_of_eight_hours(endpoint, monkeypatch):
    """Eight hours in scaled time: the real AWS SDK for Python, whose clock is the test's."""
    sdk = endpoint.sdk(monkeypatch)
    seen = {}
    for _ in range(8 * 60):
        frozen = sdk.get_frozen_credentials()
        number = int(frozen.access_key.removeprefix("ASIASESSION"))
        seen.setdefault(number, endpoint.clock.now())
        assert endpoint.clock.now() < seen[number] + timedelta(seconds=HOUR), "no session is used after its end"
        assert frozen.secret_key == f"planted-secret-{number}"
        endpoint.clock.advance(60)
    assert len(seen) == endpoint.issuer.number, "each session was used"
    assert 8 <= len(seen) <= 11
    for number in range(2, endpoint.issuer.number + 1):
        assert endpoint.redactor.text(f"planted-secret-{number} planted-token-{number}") == "*** ***"


def test_credentials_are_renewed_before_an_sdk_asks_for_others(endpoint):
    endpoint.clock.advance(HOUR - RENEW_SECONDS - 1)
    assert (endpoint.credentials.due, endpoint.get()["AccessKeyId"]) == (False, "ASIASESSION1")
    endpoint.clock.advance(1)
    assert (endpoint.credentials.due, endpoint.get()["AccessKeyId"]) == (True, "ASIASESSION2")
    assert endpoint.get()["Expiration"] == "2026-01-01T01:45:00Z"


@pytest.mark.parametrize(
    "failure",
    ["the role is no longer granted", PortFailed("no answer"), TradeRefused("over", refusal=Refusal.ENDED)],
)
def test_without_new_credentials_the_old_ones_go_on_until_their_end(endpoint, failure):
    endpoint.clock.advance(HOUR - 60)
    endpoint.issuer.fails = failure
    assert endpoint.get()["AccessKeyId"] == "ASIASESSION1"
    assert not endpoint.credentials.due, "commands may ask at any rate, and the broker is not asked at that rate"
    endpoint.clock.advance(60)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        endpoint.get()
    endpoint.issuer.fails = None
    endpoint.clock.advance(60)
    assert endpoint.get()["AccessKeyId"] == "ASIASESSION2"


def test_only_the_orders_token_gets_credentials(endpoint):
    for header in ("", "wrong", f"Bearer {endpoint.token}", endpoint.token[:-1], "\xfc"):
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            endpoint.get(Authorization=header)
        body = json.loads(refused.value.read())
        assert "`credentials: environment`" in body["message"]
        assert "planted" not in str(body)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        endpoint.get(Host="attacker.example")


def test_the_endpoint_listens_on_loopback_and_ends_with_the_order(tmp_path):
    made = Endpoint(tmp_path)
    with made.serving():
        assert urlsplit(made.url).hostname == "127.0.0.1"
        made.get()
        assert made.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == made.file.read_text()
    with pytest.raises(urllib.error.URLError):
        made.get()
    assert not [thread for thread in threading.enumerate() if thread.name == "credentials"]
    made.file.unlink()


def test_connections_that_ask_nothing_do_not_take_the_workers_descriptors(endpoint):
    address = urlsplit(endpoint.url)
    idle = [socket.create_connection((address.hostname, address.port)) for _ in range(16)]
    waiting = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    waiting.request("GET", address.path, headers={"Authorization": endpoint.token})
    for one in idle:
        one.close()
    assert waiting.getresponse().status == 200
    waiting.close()
