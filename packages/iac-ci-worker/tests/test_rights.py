"""A worker's rights: trades that are repeated, bounded and never mixed up."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from iac_ci_common import limits
from iac_ci_common.errors import PortFailed, TradeRefused, UrlExpired
from iac_ci_common.models.trade import Refusal, TradeAnswer
from iac_ci_common.models.work import BuildOrder, Work, WorkUrls
from iac_ci_common.testing import FakeClock, MemoryLogger
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_common.tickets import digest
from iac_ci_worker.heartbeat import ThreadHeartbeat
from iac_ci_worker.rights import Rights

ZERO = "0" * 64
ORDER = BuildOrder(run_id=RUN_ID, order_num="0001", dispatch="1767225600000", ticket=ZERO)


def urls(number, **fields):
    return WorkUrls(package=f"package-{number}", claim=f"claim-{number}", claim_check="check", **fields)


class ScriptedBroker:
    """Answers with ``script``, one entry a trade: an error, a refusal, or anything else for an answer."""

    def __init__(self, *script):
        self.script, self.trades = list(script), []

    def trade(self, trade):
        self.trades.append(trade)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Refusal):
            return TradeAnswer(refusal=step, reason="because")
        uploads = {"log": "log"} if trade.log_bytes is not None else {}
        return TradeAnswer(
            trace_id="0" * 16,
            timeout=60,
            not_after=START + timedelta(seconds=600),
            urls=urls(len(self.trades), **uploads),
            stop=step,
        )


NO_ANSWER = PortFailed("no answer", retry_is_safe=True)


@pytest.fixture
def clock():
    return FakeClock(START)


def rights(clock, broker, order=ORDER):
    return Rights(broker, clock, MemoryLogger(), order, execution="1:call:random", wait=clock.advance)


def test_a_trade_without_an_answer_is_sent_again_with_the_same_pair(clock):
    broker = ScriptedBroker(NO_ANSWER, NO_ANSWER)
    mine = rights(clock, broker)
    mine.work()
    assert len({(trade.ticket, trade.next_sha256) for trade in broker.trades}) == 1
    mine.trade()
    assert broker.trades[0].ticket == ZERO
    assert digest(broker.trades[-1].ticket) == broker.trades[0].next_sha256


def test_why_there_is_no_recipient_is_what_the_broker_says(clock):
    class Broker:
        def trade(self, _):
            return TradeAnswer(reason="encrypting an identity: DisabledException: disabled")

    with pytest.raises(PortFailed, match="DisabledException"):
        rights(clock, Broker()).recipient()


def test_a_build_without_an_answer_gives_up_after_its_longest_start(clock):
    mine = rights(clock, ScriptedBroker(*[NO_ANSWER] * 1000))
    with pytest.raises(PortFailed, match="no answer"):
        mine.work()
    assert timedelta(0) <= clock.now() - START <= timedelta(seconds=300)


def test_a_worker_asks_for_as_long_as_it_may_report(clock):
    broker = ScriptedBroker()
    mine = rights(clock, broker)
    mine.work()
    broker.script = [NO_ANSWER] * 1000
    with pytest.raises(PortFailed, match="no answer"):
        mine.use(lambda urls: urls.log, lambda url: None, log_bytes=1)
    waited = (clock.now() - START).total_seconds()
    assert 600 <= waited <= 600 + limits.DEFAULT_STOP_GRACE_SECONDS + limits.STOP_GRACE_SECONDS


@pytest.mark.parametrize("refusal", Refusal)
def test_a_refusal_is_final(clock, refusal):
    broker = ScriptedBroker(refusal)
    with pytest.raises(TradeRefused) as refused:
        rights(clock, broker).work()
    assert refused.value.refusal == refusal
    assert len(broker.trades) == 1


def test_a_url_that_has_ended_is_traded_for_another(clock):
    broker = ScriptedBroker()
    used = []

    def use(url):
        used.append(url)
        if len(used) < 3:
            raise UrlExpired("HTTP 400 ExpiredToken")
        return "done"

    work = Work(
        run_id=RUN_ID,
        order_num="0001",
        trace_id="0" * 16,
        dispatch=ORDER.dispatch,
        timeout=60,
        not_after=START + timedelta(seconds=600),
        urls=urls(0),
        ticket=ZERO,
    )
    assert rights(clock, broker, work).use(lambda urls: urls.claim, use) == "done"
    assert used == ["claim-0", "claim-1", "claim-2"]


def test_urls_that_are_refused_again_and_again_are_final_when_the_order_is_over(clock):
    broker = ScriptedBroker()

    def use(url):
        raise UrlExpired("HTTP 403 AccessDenied")

    with pytest.raises(UrlExpired):
        rights(clock, broker).use(lambda urls: urls.claim, use)
    assert (
        600
        <= (clock.now() - START).total_seconds()
        <= 600 + limits.DEFAULT_STOP_GRACE_SECONDS + limits.STOP_GRACE_SECONDS
    )
    # The pauses grow: a broken stack is not asked ten times a second.
    assert len(broker.trades) < 60


def test_an_upload_without_a_url_is_an_error(clock):
    with pytest.raises(PortFailed, match="no URL"):
        rights(clock, ScriptedBroker()).use(lambda urls: urls.log, lambda url: None)


def test_the_last_wish_counts(clock):
    mine = rights(clock, ScriptedBroker("stop now", None))
    mine.work()
    assert mine.stop == "stop now"
    mine.trade()
    assert mine.stop is None


def test_threads_trade_one_after_another(clock):
    broker = ScriptedBroker()
    mine = rights(clock, broker)
    threads = [threading.Thread(target=mine.trade) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tickets = [trade.ticket for trade in broker.trades]
    assert len(set(tickets)) == 20
    assert [digest(ticket) for ticket in tickets[1:]] == [trade.next_sha256 for trade in broker.trades[:-1]]


def test_the_heart_beats_while_the_commands_run_and_not_after():
    beaten, second = threading.Event(), []

    def beat():
        second.append(1)
        if len(second) == 2:
            beaten.set()
        return 0.001

    with ThreadHeartbeat().during(beat, 0.001):
        assert beaten.wait(300)
    for thread in [thread for thread in threading.enumerate() if thread.name == "heartbeat"]:
        thread.join(300)
        assert not thread.is_alive()


def test_a_beat_that_hangs_does_not_hold_the_order_up():
    begun, over = threading.Event(), threading.Event()

    def beat():
        begun.set()
        over.wait(300)
        return 0.001

    with ThreadHeartbeat().during(beat, 0.001):
        assert begun.wait(300)
    over.set()
