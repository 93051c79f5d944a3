"""The task that starts what webhooks missed: its share of the budget, failing hosts, storms, old providers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import NotFound, PortFailed, Throttled
from iac_ci_common.testing import FakeClock, MemoryAsyncInvoker, MemoryDeliveries, MemoryLogger, MemoryObjects
from iac_ci_common.testing.samples import START
from iac_ci_init.chores import Allowance, Budget, run_round
from iac_ci_init.missed_events import MissedEvents, MissedEventsPorts
from iac_ci_triggers.connections import Connection, Connections
from iac_ci_triggers.event import EventKind, StoredTrigger
from iac_ci_triggers.ledger import Ledger, ProcessedState
from iac_ci_triggers.testing import MemoryLedgers
from iac_ci_vcs.provider import Account, FailedDeliveries, FailedDelivery, ListedPullRequest, open_since

ANN = Account("5", "ann")


class Host:
    """A code host's list; ``failure`` is raised instead."""

    kind = "github"

    def __init__(self, *pulls):
        self.pulls, self.asked, self.failure, self.unchanged, self.pages = list(pulls), [], None, False, 1

    def open_pull_requests(self, since, *, known="", pages=1):
        self.asked.append((known, pages))
        if self.failure is not None:
            raise self.failure
        return None if self.unchanged else open_since(self.pulls, since, "v1", requests=min(self.pages, pages))


class Hosts:
    """Opens each repository's host, and fails for the repositories without one."""

    def __init__(self, hosts):
        self.hosts = hosts

    @contextmanager
    def open(self, repository, token_location):
        yield self.hosts[repository.removeprefix("https://")]


def pull(number=1, head="a" * 40, age=timedelta(hours=1), **fields):
    return ListedPullRequest(number, ANN, head, "main", START - age, **fields)


class World:
    def __init__(self, hosts):
        self.clock = FakeClock(START)
        self.invoker, self.logger, self.objects = MemoryAsyncInvoker(), MemoryLogger(), MemoryObjects(self.clock)
        self.ledgers, self.hosts = MemoryLedgers(self.clock), hosts
        connection = Connection(
            repositories=tuple(f"https://{name}" for name in hosts),
            webhook_secrets=("ssm:/iac-ci/iac-ci/webhook-secret-acme",),
            token_location="ssm:/iac-ci/jobs/tokens/acme",
        )
        ports = MissedEventsPorts(
            self.clock, Hosts(hosts), self.ledgers, MemoryDeliveries(), self.objects, self.invoker, self.logger
        )
        self.chore = MissedEvents(ports, lambda _: Connections((connection,)))

    def work(self, name="github.com/acme/infra", requests=5):
        allowance = Allowance(requests, self.clock.now() + timedelta(minutes=1), self.clock)
        self.chore.work(name, allowance)
        return allowance.spent

    def turn(self, **options):
        self.clock.advance(900)
        return self.work(**options)


def one(*pulls):
    host = Host(*pulls)
    return World({"github.com/acme/infra": host}), host


def test_a_state_is_brought_once_until_its_event_is_processed_and_again_if_that_failed():
    world, host = one(pull())
    for _ in range(3):
        world.turn()
    assert len(world.invoker.triggered) == 1
    # The event has failed for an hour. The list is the same since, and is not sent again.
    host.unchanged = True
    for _ in range(4):
        world.turn()
    assert len(world.invoker.triggered) == 2
    assert host.asked[-1] == ("v1", 5)


def test_a_storm_is_spread_over_the_turns():
    world, _ = one(*(pull(number) for number in range(1, 51)))
    counts = []
    for _ in range(4):
        world.turn()
        counts.append(len(world.invoker.triggered))
    assert counts == [20, 40, 50, 50]


def test_pages_are_part_of_the_share():
    world, host = one(pull())
    host.pages = 3
    assert world.turn(requests=1) == 1
    assert world.turn(requests=2) == 2
    assert world.turn(requests=9) == 3
    assert [pages for _, pages in host.asked] == [1, 2, 5]


def test_a_failing_host_spoils_neither_other_hosts_nor_the_rest_of_its_tick():
    broken = [Host(pull()) for _ in range(20)]
    for host in broken:
        host.failure = PortFailed("does not answer", retry_is_safe=True)
    well = Host(pull())
    names = {f"github.com/acme/r{number:02d}": host for number, host in enumerate(broken)}
    world = World(names | {"gitlab.com/acme/infra": well})
    done = run_round(
        [world.chore], None, clock=world.clock, logger=world.logger, begin=lambda _: None, budget=Budget(30)
    )
    assert len(done.begun) == 21
    assert sum(len(host.asked) for host in broken) == 1
    assert len(world.invoker.triggered) == 1
    for host in broken:
        host.failure = None
    world.clock.advance(900)
    run_round([world.chore], None, clock=world.clock, logger=world.logger, begin=lambda _: None, budget=Budget(30))
    assert len(world.invoker.triggered) == 21


def test_a_host_that_asks_for_a_longer_wait_gets_it():
    world, host = one(pull())
    host.failure = Throttled("limits our requests", retry_after=3600)
    with pytest.raises(Throttled):
        world.turn()
    for _ in range(3):
        assert world.turn() == 0
    host.failure = None
    world.turn()
    assert len(world.invoker.triggered) == 1


def test_a_provider_that_lists_nothing_is_left_alone():
    class Old:
        kind = "forgejo"

    world = World({"github.com/acme/infra": Old()})
    world.turn()
    assert world.invoker.triggered == []


def test_a_pull_request_without_a_known_head_waits_for_the_host():
    world, host = one(pull(head=""))
    world.turn()
    assert world.invoker.triggered == []
    host.pulls = [replace(host.pulls[0], head="a" * 40)]
    world.turn()
    assert len(world.invoker.triggered) == 1


def test_a_list_that_was_damaged_is_read_again():
    world, host = one(pull())
    world.turn()
    (key,) = world.objects.list("tmp/tick/")
    world.objects.put(key, b"{", content_type="application/json")
    world.turn()
    assert host.asked[-1] == ("", 5)


def test_what_was_processed_is_not_asked_for_while_the_list_is_the_same():
    world, host = one(pull())
    state = {"sha": "a" * 40, "base": "main"}
    world.ledgers.write(
        Ledger(key="pull:github.com/acme/infra#1", processed=state, expires_at=START + timedelta(days=90))
    )
    world.turn()
    host.unchanged = True
    world.ledgers.read = lambda _: pytest.fail("a ledger was read for nothing")
    assert world.turn() == 1
    assert world.invoker.triggered == []


class Logging(Host):
    """A host with a log of its deliveries."""

    def __init__(self, *pulls, failed=()):
        super().__init__(*pulls)
        self.failed, self.log_failure, self.read = failed, None, []
        self.gone = set()
        self.log_pages = 1

    def failed_deliveries(self, since, *, pages):
        self.read.append(since)
        if self.log_failure is not None:
            raise self.log_failure
        return FailedDeliveries(self.failed, min(pages, self.log_pages))

    def delivery(self, failed):
        if failed.guid in self.gone:
            raise NotFound("the webhook is not there")
        ref = {"ref": "refs/heads/main", "after": "b" * 40, "before": "a" * 40, "commits": []}
        owner = {"repository": {"html_url": "https://github.com/acme/infra"}, "sender": {"id": 5, "login": "ann"}}
        return {"x-github-event": "push", "x-github-delivery": failed.guid}, ref | owner


def test_a_push_of_the_log_is_started_once():
    host = Logging(failed=(FailedDelivery("1", "guid-1"),))
    world = World({"github.com/acme/infra": host})
    spent = [world.turn() for _ in range(3)]
    assert spent == [3, 2, 2]
    assert len(world.invoker.triggered) == 1


@pytest.mark.parametrize(("requests", "spent"), [(100, 7), (5, 5), (2, 2)])
def test_a_long_log_is_read_over_pages_and_each_is_a_request(requests, spent):
    host = Logging(failed=(FailedDelivery("1", "guid-1"),))
    host.log_pages = 9
    world = World({"github.com/acme/infra": host})
    assert world.turn(requests=requests) == spent
    assert len(world.invoker.triggered) == (requests == 100)


def test_a_log_with_more_than_one_turn_brings_is_started_whole():
    host = Logging(failed=tuple(FailedDelivery(str(number), f"guid-{number}") for number in range(45)))
    world = World({"github.com/acme/infra": host})
    started = []
    for _ in range(4):
        world.turn(requests=100)
        started.append(len(world.invoker.triggered))
    assert started == [20, 40, 45, 45]


def test_a_webhook_that_is_gone_from_the_log_holds_up_no_other():
    host = Logging(failed=(FailedDelivery("1", "gone"), FailedDelivery("2", "there")))
    host.gone.add("gone")
    world = World({"github.com/acme/infra": host})
    assert [world.turn() for _ in range(2)] == [4, 2]
    assert len(world.invoker.triggered) == 1


def test_a_log_that_cannot_be_read_spoils_no_list():
    host = Logging(pull())
    host.log_failure = NotFound("the app has no webhook")
    world = World({"github.com/acme/infra": host})
    world.turn()
    assert len(world.invoker.triggered) == 1


def test_one_log_is_read_once_in_a_tick_for_all_repositories():
    hosts = {f"github.com/acme/r{number}": Logging() for number in range(3)}
    world = World(hosts)
    run_round([world.chore], None, clock=world.clock, logger=world.logger, begin=lambda _: None, budget=Budget(30))
    assert sum(len(host.read) for host in hosts.values()) == 1


def processed(world, number=1):
    """Enter that an event of an open pull request was processed."""
    state = ProcessedState(sha="a" * 40, base="main")
    key = keys.pull_request_ledger("github.com/acme/infra", number)
    world.ledgers.write(Ledger(key=key, processed=state, expires_at=START + timedelta(days=30)))


def ended(world):
    """Return the numbers of the pull requests whose ends were brought."""
    events = [
        StoredTrigger.from_stored(world.objects.get(keys.trigger_event(trigger_id))).event
        for trigger_id in world.invoker.triggered
    ]
    return [event.number for event in events if event.kind is EventKind.CLOSED]


class TestEnds:
    """A pull request that was closed or merged, and whose webhook did not come."""

    @pytest.fixture
    def host(self):
        return Host(pull())

    @pytest.fixture
    def world(self, host):
        made = World({"github.com/acme/infra": host})
        processed(made)
        made.work()
        host.pulls.clear()
        return made

    def test_its_end_is_brought_once_and_first_left_to_the_webhook(self, world, host):
        world.turn()
        assert ended(world) == []
        host.unchanged = True
        world.turn()
        assert ended(world) == [1]
        world.turn()
        assert ended(world) == [1]

    def test_a_webhook_that_came_leaves_nothing_to_bring(self, world):
        world.turn()
        key = keys.pull_request_ledger("github.com/acme/infra", 1)
        known = world.ledgers.read(key)
        world.ledgers.write(known.model_copy(update={"processed": None, "closed_at": world.clock.now()}))
        world.turn()
        world.turn()
        assert ended(world) == []

    def test_one_that_is_listed_again_is_open(self, world, host):
        world.turn()
        host.pulls.append(pull())
        world.turn()
        world.turn()
        assert ended(world) == []

    def test_one_that_the_engine_never_knew_is_left_alone(self, host):
        world = World({"github.com/acme/infra": host})
        world.work()
        host.pulls.clear()
        for _ in range(3):
            world.turn()
        assert ended(world) == []

    def test_one_that_only_did_not_change_for_long_has_not_ended(self, world):
        world.clock.advance(3 * 24 * 3600)
        for _ in range(3):
            world.turn()
        assert ended(world) == []
