"""One suite over both brokers: the function behind its AWS adapter, on real adapters, and the one in memory."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

import iac_ci_broker.handler
import iac_ci_broker.wiring
from iac_ci_broker.act import Broker, BrokerPorts
from iac_ci_broker.hand_on import HandOn
from iac_ci_broker.module_tokens import ModuleTokens
from iac_ci_broker.start import OrderStart
from iac_ci_common import keys, limits
from iac_ci_common.aws.broker import LambdaBroker
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.ticket_chains import DynamoTicketChains
from iac_ci_common.errors import PortFailed, SealingFailed, StoredUnreadable, Throttled
from iac_ci_common.granted import SourceGrants
from iac_ci_common.grants import Grants, part_of
from iac_ci_common.identity_context import IdentityContext, ScopeContext
from iac_ci_common.locations import parse_location
from iac_ci_common.models.manifest import ENCRYPTED_IDENTITY_NAME, IDENTITY_NAME, SEALED_NAME
from iac_ci_common.models.result import Claim, Reporter
from iac_ci_common.models.rows import OrderRow, ReportTarget
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.models.trade import Refusal, Trade
from iac_ci_common.packing import write
from iac_ci_common.ports import Transition
from iac_ci_common.sops import age_recipient
from iac_ci_common.states import OrderState
from iac_ci_common.testing import (
    FakeClock,
    MemoryBroker,
    MemoryLogger,
    MemoryObjects,
    MemoryRuns,
    MemorySealer,
    MemorySecrets,
    MemoryTargetRoles,
)
from iac_ci_common.testing.samples import RUN_ID, START, TRACE_ID, order_row, run_row
from iac_ci_common.testing.tables import make_table
from iac_ci_common.tickets import digest, new_ticket

SOURCE, ROLE = "github.com/acme/infra", "arn:aws:iam::210987654321:role/deploy"
SOURCES = "ssm:/iac-ci/acme/sources"
CONNECTIONS = "ssm:/iac-ci/acme/connections"
DISPATCH = str(int(START.timestamp() * 1000))
EXECUTION = f"{DISPATCH}:call:random"


class FunctionClient:
    """Lambda as far as the adapter sees it: the payload goes through the real handler, as JSON."""

    def __init__(self) -> None:
        self.lose: list[Exception] = []
        self.error: str | None = None

    def invoke(self, **asked: Any) -> dict[str, Any]:
        assert (asked["FunctionName"], asked["InvocationType"]) == ("the-broker", "RequestResponse")
        if self.error is not None:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(self.error.encode())}
        try:
            answer = iac_ci_broker.handler.handler(json.loads(asked["Payload"]), None)
        except StoredUnreadable as error:
            # As Lambda answers for an error of its function.
            failure = {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": ["line\n"] * 9}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(failure).encode())}
        if self.lose:
            raise self.lose.pop()
        return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(answer).encode())}


@dataclass
class World:
    """One running order and a broker."""

    clock: FakeClock
    runs: Any
    objects: Any
    broker: Any
    client: FunctionClient | None = None
    roles: Any = None
    parameters: Any = None
    ticket: str = field(default_factory=new_ticket)

    def begin(
        self,
        *,
        assume_role: str | None = None,
        package: dict[str, bytes] | None = None,
        earlier: OrderRow | None = None,
        git_credentials: tuple[str, ...] = (),
        **fields: Any,
    ) -> None:
        """Dispatch an order, with this package if there is one; it takes something of the order ``earlier``."""
        archive = io.BytesIO()
        write(archive, package or {"manifest.json": b"{}"})
        self.objects.put(keys.package(RUN_ID, "0001"), archive.getvalue())
        digest_of_package = hashlib.sha256(archive.getvalue()).hexdigest()
        order = order_row(1, code_sha256="c" * 64, package_sha256=digest_of_package, assume_role=assume_role)
        others = [earlier] if earlier is not None else []
        order = order.model_copy(
            update={"takes": tuple(row.order_num for row in others), "git_credentials": git_credentials}
        )
        self.run = run_row(**fields)
        self.runs.insert(self.run, [order, *others], [])
        self.order = order.model_copy(
            update={
                "status": OrderState.DISPATCHING,
                "dispatched_at": START,
                "order_deadline": START + timedelta(minutes=40),
                "tickets": (f"{DISPATCH}:{digest(self.ticket)}",),
            }
        )
        assert self.runs.apply([Transition(order, self.order)]) == ()

    def trade(self, ticket: str, following: str, **fields: Any) -> Any:
        values = {"run_id": RUN_ID, "order_num": "0001", "dispatch": DISPATCH, "execution": EXECUTION}
        return self.broker.trade(Trade(**(values | fields), ticket=ticket, next_sha256=digest(following)))

    def end(self) -> None:
        ended = self.order.model_copy(update={"status": OrderState.FAILED, "reason": "it is over"})
        assert self.runs.apply([Transition(self.order, ended)]) == ()


@pytest.fixture
def memory():
    clock = FakeClock(START)
    runs, objects = MemoryRuns(), MemoryObjects(clock)
    world = World(clock, runs, objects, MemoryBroker(runs, objects, clock, stack="acme"))
    world.begin()
    return world


@pytest.fixture
def aws(monkeypatch):
    clock = FakeClock(START)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
        s3.create_bucket(Bucket="internal")
        dynamodb = boto3.client("dynamodb")
        make_table(dynamodb, "orders", "run_id", "order_num")
        make_table(dynamodb, "events", "trace_id", "sort_key")
        make_table(dynamodb, "locks", "lock_key")
        runs, objects = DynamoRuns(dynamodb, "orders", "events"), S3Objects(s3, "internal")
        roles, parameters = MemoryTargetRoles(), MemorySecrets()
        hand_on = HandOn("acme", objects, MemorySealer())
        start = OrderStart("acme", objects, MemorySealer(), roles, SourceGrants(parameters, SOURCES), hand_on)
        ports = BrokerPorts(
            clock,
            runs,
            DynamoTicketChains(dynamodb, "locks"),
            objects,
            MemoryLogger(),
            start,
            ModuleTokens(parameters, CONNECTIONS, {}),
        )
        monkeypatch.setattr(iac_ci_broker.wiring, "broker", lambda: Broker(ports))
        client = FunctionClient()
        world = World(clock, runs, objects, LambdaBroker(lambda: client, "the-broker"), client)
        world.roles, world.parameters = roles, parameters
        world.begin()
        yield world


@pytest.fixture(params=["memory", "aws"])
def world(request):
    return request.getfixturevalue(request.param)


def test_a_ticket_is_traded_for_the_orders_terms_and_urls(world):
    answer = world.trade(world.ticket, new_ticket())
    assert (answer.refusal, answer.stop) == (None, None)
    assert (answer.trace_id, answer.timeout, answer.not_after) == (TRACE_ID, 60, START + timedelta(minutes=40))
    assert (answer.urls.log, answer.urls.result) == (None, None)


def path(url):
    return urlsplit(url).path.removeprefix("/internal").removeprefix("/")


def test_urls_are_for_the_orders_own_keys_only(world):
    urls = world.trade(
        world.ticket, new_ticket(), log_bytes=5, result_bytes=7, outputs_bytes=9, files_bytes=1, kept_bytes=2, parts=7
    ).urls
    place = (RUN_ID, "0001")
    assert [path(url) for url in urls.parts.urls] == [keys.live_part(*place, number) for number in range(7, 22)]
    assert {name: path(url) for name, url in urls if name not in {"schema_version", "parts", "tools"}} == {
        "package": keys.package(*place),
        "code": keys.code("c" * 64),
        "claim": keys.claim(*place),
        "claim_check": keys.claim(*place),
        "log": keys.log(*place),
        "result": keys.result(*place),
        "outputs": keys.outputs(*place),
        "files": keys.files(*place),
        "kept": keys.kept(*place),
    }


def test_the_same_pair_gets_the_same_answer(world):
    following = new_ticket()
    first, second = (world.trade(world.ticket, following, log_bytes=5) for _ in range(2))
    assert first.model_copy(update={"urls": None}) == second.model_copy(update={"urls": None})
    # Each URL is signed again.
    paths = [
        {name: url and str(url).partition("?")[0] for name, url in answer.urls.model_dump(exclude={"parts"}).items()}
        for answer in (first, second)
    ]
    assert paths[0] == paths[1]
    assert world.trade(following, new_ticket()).refusal is None


def test_a_used_ticket_gets_nothing(world):
    world.trade(world.ticket, new_ticket())
    for ticket in (world.ticket, new_ticket()):
        answer = world.trade(ticket, new_ticket())
        assert (answer.refusal, answer.urls, answer.trace_id) == (Refusal.USED, None, None)


def test_a_chain_goes_on_for_as_long_as_its_order(world):
    ticket = world.ticket
    for _ in range(5):
        following = new_ticket()
        world.clock.advance(60)
        assert world.trade(ticket, following).refusal is None
        ticket = following


@pytest.mark.parametrize(
    "fields",
    [{"dispatch": "1"}, {"order_num": "0002"}, {"order_num": "0000"}, {"run_id": "20260101T000000-ffffffffffff"}],
)
def test_what_is_not_known_is_refused(world, fields):
    assert world.trade(world.ticket, new_ticket(), **fields).refusal is Refusal.UNKNOWN


def test_an_ended_order_is_refused(world):
    following = new_ticket()
    world.trade(world.ticket, following)
    world.end()
    assert world.trade(following, new_ticket()).refusal is Refusal.ENDED


LAST_SECONDS = limits.DEFAULT_STOP_GRACE_SECONDS + limits.STOP_GRACE_SECONDS
"""How long after an order's deadline its worker may report."""


def test_time_that_is_over_is_refused(world):
    world.clock.advance(40 * 60 + LAST_SECONDS + 1)
    assert world.trade(world.ticket, new_ticket()).refusal is Refusal.ENDED


def test_a_stopped_order_asks_its_worker_to_stop_and_a_second_wish_to_hasten(world):
    world.runs.request_stop(RUN_ID, "wrong branch", order_num="0001")
    first, second = new_ticket(), new_ticket()
    answer = world.trade(world.ticket, first)
    assert (answer.stop, answer.stop_soon) == ("the order was stopped: wrong branch", False)
    world.runs.request_stop(RUN_ID, "now", order_num="0001", soon=True)
    answer = world.trade(first, second)
    assert (answer.stop, answer.stop_soon) == ("the order was stopped: wrong branch", True)


def test_a_stopped_run_asks_its_workers_to_stop(world):
    world.runs.request_stop(RUN_ID, "wrong branch")
    answer = world.trade(world.ticket, new_ticket())
    assert answer.stop == "the run was stopped: wrong branch"
    assert answer.urls is not None


def test_a_wish_to_follow_comes_with_the_answer_until_it_is_over(world):
    following = new_ticket()
    assert not world.trade(world.ticket, following).followed
    world.runs.follow(RUN_ID, START + timedelta(seconds=limits.FOLLOW_SECONDS))
    world.clock.advance(60)
    last = new_ticket()
    assert world.trade(following, last).followed
    world.clock.advance(limits.FOLLOW_SECONDS)
    assert not world.trade(last, new_ticket()).followed


@pytest.mark.parametrize("output", [True, False])
def test_workers_trade_more_often_while_a_person_waits(world, output):
    tickets = [world.ticket, *(new_ticket() for _ in range(3))]
    assert world.trade(*tickets[:2]).heartbeat_seconds == limits.HEARTBEAT_SECONDS
    world.runs.follow(RUN_ID, START + timedelta(seconds=limits.FOLLOW_SECONDS), output=output)
    answer = world.trade(*tickets[1:3])
    assert (answer.heartbeat_seconds, answer.followed) == (limits.WAITED_HEARTBEAT_SECONDS, output)
    world.clock.advance(limits.FOLLOW_SECONDS)
    assert world.trade(*tickets[2:4]).heartbeat_seconds == limits.HEARTBEAT_SECONDS


def test_an_upload_beyond_its_limit_gets_no_url(world):
    urls = world.trade(
        world.ticket,
        new_ticket(),
        log_bytes=limits.MAX_LOG_UPLOAD_BYTES + 1,
        result_bytes=limits.MAX_RESULT_BYTES + 1,
        outputs_bytes=limits.MAX_OUTPUTS_BYTES + 1,
        files_bytes=limits.MAX_SEALED_FILES_BYTES + 1,
        kept_bytes=limits.MAX_SEALED_FILES_BYTES + 1,
    ).urls
    assert (urls.log, urls.result, urls.outputs, urls.files, urls.kept) == (None, None, None, None, None)


# -- what only the function does: events, claims, the adapter's own failures ------------------------------------------


def query(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_urls_live_minutes_and_sign_method_length_and_create_once(aws):
    urls = aws.trade(
        aws.ticket, new_ticket(), log_bytes=5, result_bytes=7, outputs_bytes=9, files_bytes=1, kept_bytes=2
    ).urls
    for name, url in urls:
        if name not in {"schema_version", "parts", "tools"}:
            assert query(url)["X-Amz-Expires"] == str(limits.URL_SECONDS)
    assert query(urls.package)["X-Amz-SignedHeaders"] == "host"
    assert query(urls.claim)["X-Amz-SignedHeaders"] == "host;if-none-match"
    assert query(urls.log)["X-Amz-SignedHeaders"] == "content-length;host"
    assert query(urls.outputs)["X-Amz-SignedHeaders"] == "content-length;host"
    assert query(urls.result)["X-Amz-SignedHeaders"] == "content-length;host;if-none-match"


@pytest.mark.parametrize(("expiry", "seconds"), [(120, 120), (86_400, limits.URL_SECONDS)])
def test_presign_expiry_caps_each_urls_life(aws, expiry, seconds):
    other = "20260101T000000-ffffffffffff"
    row = order_row(1, run_id=other)
    sent = row.model_copy(
        update={
            "status": OrderState.DISPATCHING,
            "dispatched_at": START,
            "tickets": (f"{DISPATCH}:{digest(aws.ticket)}",),
        }
    )
    aws.runs.insert(run_row(run_id=other, presign_expiry=expiry), [row], [])
    aws.runs.apply([Transition(row, sent)])
    urls = aws.trade(aws.ticket, new_ticket(), run_id=other).urls
    assert query(urls.claim)["X-Amz-Expires"] == str(seconds)


def test_no_url_outlives_the_last_moment_at_which_its_order_may_report(aws):
    aws.clock.advance(40 * 60)
    urls = aws.trade(aws.ticket, new_ticket()).urls
    assert query(urls.package)["X-Amz-Expires"] == str(LAST_SECONDS)


def claimed(world, by, execution):
    claim = Claim(run_id=RUN_ID, order_num="0001", claimed_by=by, claimed_at=START, execution=execution)
    world.objects.put(keys.claim(RUN_ID, "0001"), claim.model_dump_json().encode())


@pytest.mark.parametrize("execution", ["1767225999999:call:random", f"{DISPATCH}:call:other"])
def test_after_the_claim_only_its_worker_is_served_and_a_refused_one_takes_no_ticket(aws, execution):
    claimed(aws, Reporter.WORKER, EXECUTION)
    assert aws.trade(aws.ticket, new_ticket(), execution=execution).refusal is Refusal.TAKEN
    assert aws.trade(aws.ticket, new_ticket()).refusal is None


def test_a_claim_from_outside_ends_the_chain(aws):
    claimed(aws, Reporter.WATCHDOG, None)
    assert aws.trade(aws.ticket, new_ticket()).refusal is Refusal.ENDED


def test_misuse_becomes_one_event_with_its_reason(aws):
    aws.trade(aws.ticket, new_ticket())
    for _ in range(3):
        aws.clock.advance(1)
        aws.trade(aws.ticket, new_ticket())
    (event,) = aws.runs.events(TRACE_ID)
    assert (event.kind, event.order_name) == ("ticket_refused", "order-1")
    assert DISPATCH in event.reason
    assert aws.ticket not in event.model_dump_json()


def test_no_ticket_is_stored(aws):
    following = new_ticket()
    aws.trade(aws.ticket, following)
    rows = str(boto3.client("dynamodb").scan(TableName="locks")) + str(
        boto3.client("dynamodb").scan(TableName="orders")
    )
    assert digest(following) in rows
    assert aws.ticket not in rows
    assert following not in rows


def test_an_answer_that_was_lost_is_asked_for_again(aws):
    following = new_ticket()
    aws.client.lose.append(ReadTimeoutError(endpoint_url="the broker"))
    with pytest.raises(PortFailed) as lost:
        aws.trade(aws.ticket, following)
    assert lost.value.retry_is_safe
    assert aws.trade(aws.ticket, following).refusal is None


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no such function"}}, "Invoke"),
        ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "busy"}}, "Invoke"),
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not yet"}}, "Invoke"),
    ],
)
def test_every_failure_to_reach_the_broker_may_be_repeated(aws, error):
    aws.client.lose.append(error)
    with pytest.raises(PortFailed, match="no answer from the broker") as failed:
        aws.trade(aws.ticket, new_ticket())
    assert failed.value.retry_is_safe


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ('{"errorMessage": "no \\u201ctable\\u201d", "errorType": "X", "stackTrace": ["line"]}', "no “table”"),
        ('{"errorType": "Runtime.ExitError"}', '{"errorType": "Runtime.ExitError"}'),
        ("no JSON", "no JSON"),
        ('["a list"]', '["a list"]'),
        ("x" * 5000, "x" * 1000),
        ("", ""),
    ],
)
def test_an_error_of_the_function_is_no_answer(aws, payload, reason):
    aws.client.error = payload
    with pytest.raises(PortFailed) as failed:
        aws.trade(aws.ticket, new_ticket())
    assert failed.value.message == f"no answer from the broker: the-broker failed: {reason}"
    assert failed.value.retry_is_safe


@pytest.mark.parametrize("stored", [b"no claim at all", b"{}", b'{"claimed_by": 1, "claimed_at": 2, "planted": 3}'])
def test_a_claim_that_cannot_be_read_is_the_plain_reason_of_no_answer(aws, stored):
    """The trade may be sent again: the version that wrote the claim can read it."""
    aws.objects.put(keys.claim(RUN_ID, "0001"), stored)
    ticket = new_ticket()
    with pytest.raises(PortFailed) as failed:
        aws.trade(aws.ticket, ticket)
    assert failed.value.retry_is_safe
    assert failed.value.message.startswith(
        "no answer from the broker: the-broker failed: this version of iac-ci cannot read a stored Claim ("
    )
    assert failed.value.message.endswith("deploy the newer version again and the run continues")
    assert "planted" not in failed.value.message
    claimed(aws, Reporter.WORKER, EXECUTION)
    assert aws.trade(aws.ticket, ticket).refusal is None


# -- what an order begins with ----------------------------------------------------------------------------------------


def sealed_for(source=SOURCE, stack="acme", run_id=RUN_ID):
    encrypted = MemorySealer().encrypt_identity("AGE-SECRET-KEY-1", IdentityContext(stack, source, run_id))
    return {ENCRYPTED_IDENTITY_NAME: encrypted, SEALED_NAME: b"sealed"}


OTHER = "20260101T000000-ffffffffffff"


@pytest.fixture(params=["memory", "aws"])
def fresh(request):
    """A broker of each kind, and its order not yet dispatched."""
    world = request.getfixturevalue(request.param)
    if request.param == "memory":
        world.runs = world.broker._runs = MemoryRuns()
    else:
        dynamodb = boto3.client("dynamodb")
        for order_num in ("0000", "0001"):
            dynamodb.delete_item(TableName="orders", Key={"run_id": {"S": RUN_ID}, "order_num": {"S": order_num}})
    return world


def begun(world, **fields):
    world.begin(source=SOURCE, **fields)
    claimed(world, Reporter.WORKER, EXECUTION)
    answer = world.trade(world.ticket, new_ticket(), begins=True)
    assert answer.refusal is None
    return answer.begun


def test_the_broker_unseals_for_the_order_of_the_ticket(fresh):
    assert begun(fresh, package=sealed_for()).identity == "AGE-SECRET-KEY-1"


def test_the_same_pair_begins_with_the_same(fresh):
    fresh.begin(source=SOURCE, package=sealed_for())
    claimed(fresh, Reporter.WORKER, EXECUTION)
    following = new_ticket()
    first, second = (fresh.trade(fresh.ticket, following, begins=True).begun for _ in range(2))
    assert first == second


def test_a_trade_that_does_not_begin_the_order_shows_nothing(fresh):
    fresh.begin(source=SOURCE, package=sealed_for(), assume_role=ROLE)
    claimed(fresh, Reporter.WORKER, EXECUTION)
    assert fresh.trade(fresh.ticket, new_ticket()).begun is None


def test_packages_of_the_version_before_are_unsealed(fresh):
    sealer = MemorySealer()
    named = {SEALED_NAME: b"sealed", IDENTITY_NAME: sealer.seal({"identity": "AGE"}, run_id=RUN_ID)}
    assert begun(fresh, package=named).identity == "AGE"


def test_a_package_of_the_version_before_without_an_identity_is_unsealed(fresh):
    package = {SEALED_NAME: MemorySealer().seal({"A": "x"}, run_id=RUN_ID)}
    assert begun(fresh, package=package).secrets == {"A": "x"}


@pytest.fixture
def function(aws):
    """The function's broker, and its order not yet dispatched; its source may use the role."""
    dynamodb = boto3.client("dynamodb")
    for order_num in ("0000", "0001"):
        dynamodb.delete_item(TableName="orders", Key={"run_id": {"S": RUN_ID}, "order_num": {"S": order_num}})
    grant(aws)
    return aws


def grant(world, roles=(ROLE,), tagged=()):
    for name in (SOURCE, ROLE):
        part = Grants(roles={SOURCE: roles}, tagged=tagged).model_dump_json()
        world.parameters.values[parse_location(f"{SOURCES}/{part_of(name)}")] = part


@pytest.mark.parametrize(
    "other",
    [{"source": "github.com/acme/other"}, {"stack": "other"}, {"run_id": OTHER}],
    ids=["source", "stack", "run"],
)
def test_what_is_sealed_for_another_source_stack_or_run_is_not_unsealed(function, other):
    answer = begun(function, package=sealed_for(**other))
    assert (answer.identity, answer.secrets, answer.credentials) == (None, None, None)
    assert "another run" in answer.failure


def test_a_swapped_package_is_not_unsealed(function):
    function.begin(source=SOURCE, package=sealed_for())
    claimed(function, Reporter.WORKER, EXECUTION)
    archive = io.BytesIO()
    write(archive, {**sealed_for(), "other": b"x"})
    function.objects.put(keys.package(RUN_ID, "0001"), archive.getvalue())
    assert (
        "is not the one that was prepared" in function.trade(function.ticket, new_ticket(), begins=True).begun.failure
    )


def test_before_the_claim_nothing_is_unsealed_and_no_role_is_assumed(function):
    function.begin(source=SOURCE, package=sealed_for(), assume_role=ROLE)
    answer = function.trade(function.ticket, new_ticket(), begins=True)
    assert (answer.refusal, answer.begun, function.roles.sessions) == (Refusal.UNKNOWN, None, [])
    assert function.trade(function.ticket, new_ticket()).refusal is None


def test_a_role_is_assumed_when_the_order_begins(function):
    answer = begun(function, assume_role=ROLE)
    assert answer.credentials["AWS_SECRET_ACCESS_KEY"] == f"secret-of-{ROLE}"
    ((role, session),) = function.roles.sessions
    assert (role, session.name, session.tags, session.source_identity) == (ROLE, f"{RUN_ID}-0001", {}, None)


def renewed(world, ticket):
    return world.trade(ticket, new_ticket(), renews=True)


def test_a_role_is_assumed_again_for_the_worker_that_has_the_order(function):
    function.begin(source=SOURCE, assume_role=ROLE)
    assert renewed(function, function.ticket).refusal is Refusal.UNKNOWN, "the order is not claimed"
    assert function.roles.sessions == []
    claimed(function, Reporter.WORKER, EXECUTION)
    answer = renewed(function, function.ticket)
    assert answer.credentials.secret_access_key == f"secret-of-{ROLE}"
    assert (answer.begun, answer.credentials_failure) == (None, None)
    assert answer.credentials.expires_at > START


def test_a_role_that_is_no_longer_granted_is_not_assumed_again(function):
    function.begin(source=SOURCE, assume_role=ROLE)
    claimed(function, Reporter.WORKER, EXECUTION)
    grant(function, roles=())
    answer = renewed(function, function.ticket)
    assert (answer.credentials, answer.refusal, function.roles.sessions) == (None, None, [])
    assert "no longer on this stack's list of roles" in answer.credentials_failure


MODULES = "github.com/acme/modules"


def test_an_order_gets_the_token_that_its_connection_has_for_modules(function):
    connection = {
        "repositories": [f"https://{SOURCE}", f"https://{MODULES}"],
        "webhook_secrets": ["ssm:/w"],
        "token_location": "ssm:/engine",
        "modules_token_location": "ssm:/modules",
    }
    function.parameters.values |= {
        parse_location(CONNECTIONS): json.dumps([connection]),
        parse_location("ssm:/modules"): "planted-read-token",
    }
    function.begin(source=SOURCE, git_credentials=(MODULES,))
    first = new_ticket()
    assert function.trade(function.ticket, first, reads_git=True).refusal is Refusal.UNKNOWN, "not claimed"
    claimed(function, Reporter.WORKER, EXECUTION)
    (token,) = function.trade(function.ticket, first, reads_git=True).git_tokens
    assert (token.repositories, token.username, token.token) == ((MODULES,), "x-access-token", "planted-read-token")
    assert function.trade(first, new_ticket()).git_tokens == ()


def test_an_order_without_git_credentials_gets_no_token(function):
    function.parameters.values[parse_location(CONNECTIONS)] = "[]"
    function.begin(source=SOURCE)
    claimed(function, Reporter.WORKER, EXECUTION)
    answer = function.trade(function.ticket, new_ticket(), reads_git=True)
    assert (answer.git_tokens, answer.git_failure) == ((), None)


def test_a_tagged_role_gets_source_run_order_job_and_actor(function):
    grant(function, tagged=(ROLE,))
    begun(function, assume_role=ROLE, job_name="apply_all", actor="ann[bot]")
    ((_, session),) = function.roles.sessions
    assert session.tags == {
        "source": SOURCE, "run": RUN_ID, "order": "order-1", "job": "apply_5Fall", "actor": "ann_5Bbot_5D",
    }  # fmt: skip
    assert session.source_identity == "github.com_2Facme_2Finfra"


def test_another_sources_role_is_not_assumed(function):
    grant(function, roles=())
    answer = begun(function, assume_role=ROLE)
    assert "no longer on this stack's list of roles" in answer.failure
    assert (answer.credentials, function.roles.sessions) == (None, [])


def test_a_refusal_of_aws_ends_the_order_and_a_throttled_call_is_sent_again(function):
    refused = [PortFailed(f"assuming {ROLE}: AccessDenied: no"), Throttled("slow down")]

    def assume(role, session):
        raise refused.pop()

    function.roles.assume = assume
    function.begin(source=SOURCE, assume_role=ROLE)
    claimed(function, Reporter.WORKER, EXECUTION)
    following = new_ticket()
    with pytest.raises(PortFailed, match="slow down"):
        function.trade(function.ticket, following, begins=True)
    answer = function.trade(function.ticket, following, begins=True)
    assert "AccessDenied" in answer.begun.failure


# -- what orders hand on ----------------------------------------------------------------------------------------------

PULL = ReportTarget(repository="github.com/acme/infra", number=7, pull_request=7)
PULL_SCOPE = "pull:github.com/acme/infra#7"


def handed_on(source=SOURCE, stack="acme", scope=PULL_SCOPE, **fields):
    encrypted = MemorySealer().encrypt_identity("AGE-SECRET-KEY-1", ScopeContext(stack, source, scope, RUN_ID))
    sealed = Sealed(sha256="d" * 64, size=9, identity=base64.b64encode(encrypted).decode())
    return order_row(2, **({"status": OrderState.SUCCEEDED, "outputs": sealed, "files": sealed} | fields))


@pytest.mark.parametrize(("report", "scope"), [(PULL, PULL_SCOPE), (None, f"run:{RUN_ID}")])
def test_a_recipient_is_for_the_stack_the_source_and_the_pull_request_or_run(fresh, report, scope):
    fresh.begin(source=SOURCE, report=report)
    claimed(fresh, Reporter.WORKER, EXECUTION)
    made = fresh.trade(fresh.ticket, new_ticket(), seals=True).recipient
    encrypted = base64.b64decode(made.identity)
    identity = MemorySealer().decrypt_identity(encrypted, ScopeContext("acme", SOURCE, scope, RUN_ID))
    assert age_recipient(identity) == made.recipient


def test_a_refusal_of_kms_is_the_answer_and_a_throttled_call_is_sent_again(function, monkeypatch):
    """Without an answer the worker would ask for as long as its order may run, and then report nothing."""
    refused = [SealingFailed("encrypting an identity: DisabledException: disabled"), Throttled("slow down")]

    def encrypt(*_):
        raise refused.pop()

    monkeypatch.setattr(MemorySealer, "encrypt_identity", encrypt)
    function.begin(source=SOURCE)
    claimed(function, Reporter.WORKER, EXECUTION)
    following = new_ticket()
    with pytest.raises(PortFailed, match="slow down"):
        function.trade(function.ticket, following, seals=True)
    answer = function.trade(function.ticket, following, seals=True)
    assert (answer.refusal, answer.recipient) == (None, None)
    assert answer.reason == "encrypting an identity: DisabledException: disabled"


def test_an_order_gets_what_it_takes_of_an_earlier_one(fresh):
    (taken,) = begun(fresh, report=PULL, earlier=handed_on()).taken
    assert (taken.order_num, taken.outputs.sha256, taken.outputs.identity) == ("0002", "d" * 64, "AGE-SECRET-KEY-1")
    assert path(taken.outputs.url) == keys.outputs(RUN_ID, "0002")
    assert path(taken.files.url) == keys.files(RUN_ID, "0002")


def test_an_order_without_outputs_hands_on_none(fresh):
    (taken,) = begun(fresh, report=PULL, earlier=handed_on(outputs=None)).taken
    assert taken.outputs is None


@pytest.mark.parametrize(
    "other",
    [
        {"source": "github.com/acme/other"},
        {"stack": "other"},
        {"scope": "pull:github.com/acme/infra#8"},
        {"scope": f"run:{RUN_ID}"},
    ],
    ids=["source", "stack", "pull request", "run"],
)
def test_what_was_handed_on_elsewhere_is_not_opened(function, other):
    answer = begun(function, report=PULL, earlier=handed_on(**other))
    assert answer.taken == ()
    assert answer.failure is not None


def test_nothing_of_an_order_that_runs_is_taken(function):
    assert begun(function, report=PULL, earlier=handed_on(status=OrderState.RUNNING)).taken == ()


def test_before_the_claim_there_is_no_recipient(function):
    function.begin(source=SOURCE)
    answer = function.trade(function.ticket, new_ticket(), seals=True)
    assert (answer.refusal, answer.recipient) == (Refusal.UNKNOWN, None)
