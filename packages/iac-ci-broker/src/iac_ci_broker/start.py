"""What an order begins with: the identity that its secrets are sealed for, and the credentials of its role."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.errors import IacCiError, NotFound, PackageUnsafe, PortFailed, SealingFailed
from iac_ci_common.identity_context import IdentityContext
from iac_ci_common.models.manifest import ENCRYPTED_IDENTITY_NAME, IDENTITY_FIELD, IDENTITY_NAME, SEALED_NAME
from iac_ci_common.models.trade import BegunOrder
from iac_ci_common.sessions import session

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iac_ci_broker.hand_on import HandOn
    from iac_ci_common.granted import SourceGrants
    from iac_ci_common.models.rows import OrderRow, RunRow
    from iac_ci_common.models.trade import RoleCredentials
    from iac_ci_common.ports import Objects, Sealer, TargetRoles


@dataclass(frozen=True, slots=True)
class OrderStart:
    """Unseals for one order, and assumes its role: everything is taken from the order's row and its run's row."""

    stack: str
    objects: Objects
    sealer: Sealer
    roles: TargetRoles
    grants: SourceGrants
    hand_on: HandOn

    def begin(self, run: RunRow, order: OrderRow, others: Iterable[OrderRow], now: datetime) -> BegunOrder:
        """Return what the order begins with, or why it cannot begin; ``others`` are the orders that it takes from.

        Raises a failure that a retry may repair.
        """
        try:
            identity, secrets = self._unsealed(run, order)
            credentials = self._credentials(run, order, now)
            return BegunOrder(
                identity=identity,
                secrets=secrets,
                credentials=credentials.variables if credentials is not None else None,
                credentials_end=credentials.expires_at if credentials is not None else None,
                taken=self.hand_on.taken(run, order, others, now),
                saved_plan=self.hand_on.saved_plan(run, order, now),
            )
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            return BegunOrder(failure=error.message)

    def renew(self, run: RunRow, order: OrderRow, now: datetime) -> tuple[RoleCredentials | None, str | None]:
        """Return new credentials of the order's role, or why there are none.

        Raises a failure that a retry may repair.
        """
        try:
            return self._credentials(run, order, now), None
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            return None, error.message

    def _unsealed(self, run: RunRow, order: OrderRow) -> tuple[str | None, dict[str, str] | None]:
        """Return the identity of the order's sealed secrets, or the secrets of a package of a version before."""
        files = self._package(order)
        if ENCRYPTED_IDENTITY_NAME in files:
            if run.source is None:
                raise SealingFailed("the run's row names no source", run_id=run.run_id)
            context = IdentityContext(self.stack, run.source, run.run_id)
            return self.sealer.decrypt_identity(files[ENCRYPTED_IDENTITY_NAME], context), None
        if IDENTITY_NAME in files:
            return self.sealer.unseal(files[IDENTITY_NAME], run_id=run.run_id)[IDENTITY_FIELD], None
        if SEALED_NAME in files:
            return None, self.sealer.unseal(files[SEALED_NAME], run_id=run.run_id)
        return None, None

    def _package(self, order: OrderRow) -> dict[str, bytes]:
        """Return the sealed files of the order's package, which must have the digest of the row."""
        try:
            archive = self.objects.get(keys.package(order.run_id, order.order_num))
        except NotFound as error:
            raise PackageUnsafe("the order's package is gone") from error
        if order.package_sha256 is not None and hashlib.sha256(archive).hexdigest() != order.package_sha256:
            raise PackageUnsafe("the package is not the one that was prepared for the run; find out who wrote it")
        names = (SEALED_NAME, IDENTITY_NAME, ENCRYPTED_IDENTITY_NAME)
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as package:
                return {name: package.read(name) for name in names if name in package.namelist()}
        except zipfile.BadZipFile as error:
            raise PackageUnsafe("the order's package is not a zip archive") from error

    def _credentials(self, run: RunRow, order: OrderRow, now: datetime) -> RoleCredentials | None:
        role = order.assume_role
        if role is None:
            return None
        source = run.source or ""
        if not self.grants.of(source, now).allows_role(role):
            raise PortFailed(f"{role} is no longer on this stack's list of roles that jobs from {source} may use")
        chosen = session(
            source=source,
            run_id=run.run_id,
            order_num=order.order_num,
            order_name=order.order_name,
            job=run.job_name or "",
            actor=run.actor or run.username,
            tagged=self.grants.tagged(role, now),
        )
        return self.roles.assume(role, chosen)
