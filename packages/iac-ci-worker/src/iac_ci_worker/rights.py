"""A worker's short-lived rights to its order: URLs that it trades its ticket for."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from iac_ci_common.errors import IacCiError, PortFailed, TradeRefused, UrlExpired
from iac_ci_common.limits import DEFAULT_STOP_GRACE_SECONDS, HEARTBEAT_SECONDS, STOP_GRACE_SECONDS
from iac_ci_common.models.trade import Refusal, Trade
from iac_ci_common.models.work import Work
from iac_ci_common.tickets import digest, new_ticket

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iac_ci_common.models.trade import BegunOrder, Recipient, TradeAnswer
    from iac_ci_common.models.work import BuildOrder, WorkUrls
    from iac_ci_common.ports import Broker, Clock, Logger

T = TypeVar("T")

_LONGEST_WAIT_SECONDS: Final = 30.0
_FIRST_TRADE_SECONDS: Final = 300
"""How long a build, which does not know its order's deadline yet, tries to get an answer to its first trade."""


class Rights:
    """The rights of one worker to one order.

    Several threads may trade. A trade without an answer is sent again with the same pair of tickets, and a URL that
    has ended is traded for another, until the worker may no longer report.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        logger: Logger,
        order: Work | BuildOrder,
        *,
        execution: str,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin with the order's ticket and, if it is a ``Work``, with its URLs; ``execution`` is the claim's."""
        self._broker, self._clock, self._logger, self._wait = broker, clock, logger, wait
        self._order = order
        self.execution = execution
        self._ticket = order.ticket
        self._next: str | None = None
        self._urls = order.urls if isinstance(order, Work) else None
        self._until = (
            _last_report(order.not_after, order.stop_grace) if isinstance(order, Work) else self._longest_start()
        )
        self._trading = threading.Lock()
        self.parts_sent = 0
        """How many parts of the log were sent."""
        self.followed = False
        """Whether the log was followed when the last trade was made."""
        self.heartbeat_seconds: float = HEARTBEAT_SECONDS
        """Seconds between two trades while the commands run, as the broker asked for last."""
        self.has_traded = False
        """Whether the broker has answered, so that it is known whether the commands are to stop."""
        self.stop: str | None = None
        """Why the broker wishes that the commands stop, as it said last."""

    def part_url(self, number: int) -> str:
        """Return a URL for this part of the log, all before which were sent.

        Trades once where there is none. Raises ``TradeRefused``, or ``PortFailed`` without an answer and from a broker
        of a version before.
        """
        self.parts_sent = number
        url = self._part_url(number)
        if url is None and self.can_trade:
            self.trade()
            url = self._part_url(number)
        if url is None:
            raise PortFailed("the broker gave no URL for a part of the log")
        return url

    def _part_url(self, number: int) -> str | None:
        parts = self._urls.parts if self._urls is not None else None
        if parts is None or not parts.first <= number < parts.first + len(parts.urls):
            return None
        return parts.urls[number - parts.first]

    @property
    def can_trade(self) -> bool:
        """Return whether there is a ticket; the work of a version before tickets has none."""
        return self._ticket is not None

    def work(self) -> Work:
        """Trade for the work of a build; raise ``TradeRefused``, or ``PortFailed`` without an answer."""
        answer = self._renew()
        if answer.trace_id is None or answer.timeout is None or answer.not_after is None or answer.urls is None:
            raise PortFailed("the broker's answer has no work")
        return Work(
            run_id=self._order.run_id,
            order_num=self._order.order_num,
            trace_id=answer.trace_id,
            dispatch=self._order.dispatch,
            attempt=answer.attempt,
            timeout=answer.timeout,
            stop_grace=answer.stop_grace,
            not_after=answer.not_after,
            urls=answer.urls,
            package_sha256=answer.package_sha256,
            code_sha256=answer.code_sha256,
        )

    def use(
        self,
        pick: Callable[[WorkUrls], str | None],
        do: Callable[[str], T],
        **lengths: int,
    ) -> T:
        """Do something with one URL; trade for a fresh one if there is none or S3 says that it has ended.

        The lengths (``log_bytes=…``, fields of ``Trade``) are of what ``do`` uploads. Raises what ``do`` raises, and
        ``TradeRefused``.
        """
        url = pick(self._urls) if self._urls is not None else None
        attempt = 0
        while True:
            if url is None:
                answer = self._renew(**lengths)
                url = pick(answer.urls) if answer.urls is not None else None
                if url is None:
                    raise PortFailed("the broker gave no URL for this")
            try:
                return do(url)
            except UrlExpired as error:
                # A session may end as soon as it has signed, so a fresh URL is no better than its session.
                pause = _pause(attempt) if attempt else 0.0
                if not self.can_trade or not self._may_wait(pause):
                    raise
                self._logger.info("URL has ended; trading for another", error=error.message)
                self._wait(pause)
                attempt += 1
                url = None

    def begin(self) -> BegunOrder:
        """Trade for what the order begins with, after the claim.

        Raises ``TradeRefused``, and ``PortFailed`` without an answer or with the reason why it cannot begin.
        """
        attempt = 0
        while True:
            begun = self._renew(begins=True).begun
            if begun is not None:
                break
            # While a stack is deployed, the broker may still be of the version before.
            pause = _pause(attempt)
            if not self._may_wait(pause):
                raise PortFailed("the broker is of a version that does not unseal")
            self._wait(pause)
            attempt += 1
        if begun.failure is not None:
            raise PortFailed(begun.failure)
        return begun

    def recipient(self) -> Recipient:
        """Trade for the recipient of what the order hands on; raise ``TradeRefused`` or ``PortFailed``."""
        answer = self._renew(seals=True)
        if answer.recipient is None:
            raise PortFailed(answer.reason or "the broker is of a version that seals nothing")
        return answer.recipient

    def trade(self, **asked: int) -> TradeAnswer:
        """Trade once, with these fields of ``Trade``; raise ``TradeRefused``, or ``PortFailed`` without an answer."""
        if self._ticket is None:
            raise TradeRefused("the order was started by a version without tickets", refusal=Refusal.UNKNOWN)
        with self._trading:
            # Without an answer the next ticket stays: the broker may know it already.
            self._next = self._next or new_ticket()
            answer = self._broker.trade(
                Trade(
                    run_id=self._order.run_id,
                    order_num=self._order.order_num,
                    dispatch=self._order.dispatch,
                    ticket=self._ticket,
                    next_sha256=digest(self._next),
                    execution=self.execution,
                    parts=self.parts_sent,
                    **asked,
                )
            )
            if answer.refusal is not None:
                raise TradeRefused(answer.reason or f"the broker refused: {answer.refusal}", refusal=answer.refusal)
            self._ticket, self._next = self._next, None
            self._urls = answer.urls or self._urls
            self._until = self._last_report(answer)
            self.followed = answer.followed
            self.heartbeat_seconds = answer.heartbeat_seconds or HEARTBEAT_SECONDS
            self.has_traded, self.stop = True, answer.stop
            return answer

    def _renew(self, **asked: int) -> TradeAnswer:
        """Trade until there is an answer, or until the worker may no longer report."""
        attempt = 0
        while True:
            try:
                return self.trade(**asked)
            except TradeRefused:
                raise
            except IacCiError as error:
                pause = _pause(attempt)
                if not error.retry_is_safe or not self._may_wait(pause):
                    raise
                self._logger.warning("no answer from the broker; asking again", error=error.message)
                self._wait(pause)
                attempt += 1

    def _may_wait(self, seconds: float) -> bool:
        """Return whether the worker may still report after a pause."""
        return self._clock.now() + timedelta(seconds=seconds) <= self._until

    def _last_report(self, answer: TradeAnswer) -> datetime:
        return self._until if answer.not_after is None else _last_report(answer.not_after, answer.stop_grace)

    def _longest_start(self) -> datetime:
        return self._clock.now() + timedelta(seconds=_FIRST_TRADE_SECONDS)


def _last_report(not_after: datetime, stop_grace: int | None) -> datetime:
    return not_after + timedelta(seconds=(stop_grace or DEFAULT_STOP_GRACE_SECONDS) + STOP_GRACE_SECONDS)


def _pause(attempt: int) -> float:
    return min(_LONGEST_WAIT_SECONDS, 2.0**attempt) * random.uniform(0.5, 1)  # noqa: S311 - jitter
