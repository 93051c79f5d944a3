"""What orders hand on to later ones: recipients to seal it for, and the sealed objects that an order may take."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import SealingFailed
from iac_ci_common.identity_context import ScopeContext, scope_of
from iac_ci_common.models.trade import Recipient, TakenObject, TakenOrder
from iac_ci_common.sops import age_recipient, new_identity
from iac_ci_common.states import TERMINAL
from iac_ci_common.work_urls import url_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.sealed import Sealed
    from iac_ci_common.ports import Objects, Sealer


@dataclass(frozen=True, slots=True)
class HandOn:
    """Makes and opens the identities of handed-on objects: stack, source and scope are those of the run's row."""

    stack: str
    objects: Objects
    sealer: Sealer

    def recipient(self, run: RunRow) -> Recipient:
        """Return a new recipient for one order; only orders of the same scope get its identity.

        Raises ``SealingFailed``.
        """
        identity = new_identity()
        encrypted = self.sealer.encrypt_identity(identity, self._context(run))
        return Recipient(
            recipient=age_recipient(identity),
            identity=base64.b64encode(encrypted).decode(),
            context=self._context(run).as_kms(),
        )

    def taken(self, run: RunRow, order: OrderRow, others: Iterable[OrderRow], now: datetime) -> tuple[TakenOrder, ...]:
        """Return what ``order`` may take of the orders ``others``, which its row names.

        Raises ``SealingFailed``, also for an object that was sealed for another stack, source, pull request or run.
        """
        seconds = url_seconds(run, order, now)
        return tuple(
            TakenOrder(
                order_num=other.order_num,
                outputs=self._object(run, other.outputs, keys.outputs(*other.attempt_key), seconds),
                files=self._object(run, other.files, keys.files(*other.attempt_key), seconds),
            )
            for other in others
            if other.status in TERMINAL
        )

    def saved_plan(self, run: RunRow, order: OrderRow, now: datetime) -> TakenObject | None:
        """Return the saved plan that an order applies, None if it applies none.

        The files are those that the order's row names. Raises ``SealingFailed`` for files of another stack, source or
        pull request.
        """
        saved = order.project.saved if order.project is not None else None
        if saved is None:
            return None
        key = keys.files(saved.run_id, saved.order_num, saved.attempt)
        return self._object(run, saved.files, key, url_seconds(run, order, now))

    def _object(self, run: RunRow, sealed: Sealed | None, key: str, seconds: int) -> TakenObject | None:
        if sealed is None:
            return None
        identity = self.sealer.decrypt_identity(base64.b64decode(sealed.identity), self._context(run))
        return TakenObject(url=self.objects.presign_get(key, seconds=seconds), sha256=sealed.sha256, identity=identity)

    def _context(self, run: RunRow) -> ScopeContext:
        if run.source is None:
            raise SealingFailed("the run's row names no source", run_id=run.run_id)
        return ScopeContext(self.stack, run.source, scope_of(run), run.run_id)
