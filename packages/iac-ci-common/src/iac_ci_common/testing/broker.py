"""The broker in memory, for tests of workers."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.identity_context import IdentityContext, ScopeContext, scope_of
from iac_ci_common.models.manifest import ENCRYPTED_IDENTITY_NAME, IDENTITY_FIELD, IDENTITY_NAME, SEALED_NAME
from iac_ci_common.models.trade import BegunOrder, Recipient, Refusal, TakenObject, TakenOrder, TradeAnswer
from iac_ci_common.sessions import Session
from iac_ci_common.sops import age_recipient, new_identity
from iac_ci_common.states import OPEN
from iac_ci_common.testing.doubles import MemorySealer, MemoryTargetRoles
from iac_ci_common.tickets import digest
from iac_ci_common.work_urls import traded_urls, url_seconds

if TYPE_CHECKING:
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.sealed import Sealed
    from iac_ci_common.models.trade import GitToken, RoleCredentials, Trade
    from iac_ci_common.ports import Clock, Objects, Runs


class MemoryBroker:
    """Trades the tickets of rows in memory. It looks at no claim: one worker has each order here."""

    def __init__(self, runs: Runs, objects: Objects, clock: Clock, *, stack: str = "iac-ci") -> None:
        """Serve the orders of ``runs`` with URLs of ``objects``; ``MemorySealer`` has sealed their packages."""
        self._runs, self._objects, self._clock = runs, objects, clock
        self._stack = stack
        self._sealer, self.roles = MemorySealer(), MemoryTargetRoles(clock)
        self._chains: dict[tuple[str, str, str], tuple[str | None, str]] = {}
        self.trades: list[Trade] = []
        self.git_tokens: tuple[GitToken, ...] = ()
        self.git_failure: str | None = None

    def trade(self, trade: Trade) -> TradeAnswer:
        """Answer a trade."""
        self.trades.append(trade)
        run, order = self._runs.find_run(trade.run_id), self._runs.find_order(trade.run_id, trade.order_num)
        chain = (trade.run_id, trade.order_num, trade.dispatch)
        first = order.first_ticket(trade.dispatch) if order is not None else None
        if run is None or order is None or first is None:
            return TradeAnswer(refusal=Refusal.UNKNOWN, reason="the order has no such dispatch")
        old = digest(trade.ticket)
        pair = (old, trade.next_sha256)
        if self._chains.get(chain) != pair:
            if old != self._chains.get(chain, (None, first))[1] or old == trade.next_sha256:
                return TradeAnswer(refusal=Refusal.USED, reason="the ticket was used before")
            self._chains[chain] = pair
        if order.status not in OPEN or self._clock.now() > order.last_report(run):
            return TradeAnswer(refusal=Refusal.ENDED, reason="the order has ended")
        return TradeAnswer(
            trace_id=run.trace_id,
            attempt=order.attempt,
            timeout=order.timeout,
            stop_grace=order.stop_grace,
            not_after=order.order_deadline or run.deadline,
            urls=traded_urls(self._objects, order, trade, seconds=url_seconds(run, order, self._clock.now())),
            package_sha256=order.package_sha256,
            code_sha256=order.code_sha256,
            begun=self._begin(run, order) if trade.begins else None,
            followed=run.is_followed(self._clock.now()),
            heartbeat_seconds=run.heartbeat_seconds(self._clock.now()),
            credentials=self._assume(run, order) if trade.renews else None,
            git_tokens=self.git_tokens if trade.reads_git else (),
            git_failure=self.git_failure if trade.reads_git else None,
            recipient=self._recipient(run) if trade.seals else None,
            stop=order.stop_wish(run),
            stop_soon=order.stop_is_urgent(run),
        )

    def _begin(self, run: RunRow, order: OrderRow) -> BegunOrder:
        with zipfile.ZipFile(io.BytesIO(self._objects.get(keys.package(order.run_id, order.order_num)))) as package:
            files = {name: package.read(name) for name in package.namelist()}
        identity, secrets = None, None
        if ENCRYPTED_IDENTITY_NAME in files:
            context = IdentityContext(self._stack, run.source or "", run.run_id)
            identity = self._sealer.decrypt_identity(files[ENCRYPTED_IDENTITY_NAME], context)
        elif IDENTITY_NAME in files:
            identity = self._sealer.unseal(files[IDENTITY_NAME], run_id=run.run_id)[IDENTITY_FIELD]
        elif SEALED_NAME in files:
            secrets = self._sealer.unseal(files[SEALED_NAME], run_id=run.run_id)
        credentials = self._assume(run, order)
        return BegunOrder(
            identity=identity,
            secrets=secrets,
            credentials=credentials.variables if credentials is not None else None,
            credentials_end=credentials.expires_at if credentials is not None else None,
            taken=tuple(self._taken(run, order, num) for num in order.takes),
            saved_plan=self._saved_plan(run, order),
        )

    def _assume(self, run: RunRow, order: OrderRow) -> RoleCredentials | None:
        if order.assume_role is None:
            return None
        return self.roles.assume(order.assume_role, Session(f"{run.run_id}-{order.order_num}"))

    def _recipient(self, run: RunRow) -> Recipient:
        identity = new_identity()
        encrypted = self._sealer.encrypt_identity(identity, self._scope(run))
        return Recipient(
            recipient=age_recipient(identity),
            identity=base64.b64encode(encrypted).decode(),
            context=self._scope(run).as_kms(),
        )

    def _saved_plan(self, run: RunRow, order: OrderRow) -> TakenObject | None:
        saved = order.project.saved if order.project is not None else None
        if saved is None:
            return None
        return self._object(run, order, saved.files, keys.files(saved.run_id, saved.order_num, saved.attempt))

    def _taken(self, run: RunRow, order: OrderRow, num: str) -> TakenOrder:
        other = self._runs.find_order(run.run_id, num)
        if other is None:
            return TakenOrder(order_num=num)
        return TakenOrder(
            order_num=num,
            outputs=self._object(run, order, other.outputs, keys.outputs(*other.attempt_key)),
            files=self._object(run, order, other.files, keys.files(*other.attempt_key)),
        )

    def _object(self, run: RunRow, order: OrderRow, sealed: Sealed | None, key: str) -> TakenObject | None:
        if sealed is None:
            return None
        url = self._objects.presign_get(key, seconds=url_seconds(run, order, self._clock.now()))
        identity = self._sealer.decrypt_identity(base64.b64decode(sealed.identity), self._scope(run))
        return TakenObject(url=url, sha256=sealed.sha256, identity=identity)

    def _scope(self, run: RunRow) -> ScopeContext:
        return ScopeContext(self._stack, run.source or "", scope_of(run), run.run_id)
