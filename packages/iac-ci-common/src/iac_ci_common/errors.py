"""The one error tree of the engine.

::

    IacCiError                       an error that the engine names                       (retry: no)
    ├── InputProblems                the caller's input is not valid: every problem       (retry: no)
    │   └── ConfigurationProblems    a repository's configuration is not valid            (retry: no)
    ├── SignatureRefused             the request is not authenticated                     (retry: no)
    ├── IllegalTransition            a state change that the state table does not allow   (retry: no)
    ├── PreparationFailed            code, a secret, a key or a bucket is missing         (retry: no)
    ├── PackageUnsafe                an archive or a folder has an entry that is refused  (retry: no)
    ├── PlanStale                    a saved plan is not the one that may be applied      (retry: no)
    ├── SealingFailed                SOPS could not seal or unseal                        (retry: ``retry_is_safe``)
    ├── SandboxUnfit                 what earlier orders left cannot be removed           (retry: yes, elsewhere)
    ├── ResultUnreadable             a result is not one that a worker may write          (retry: no)
    ├── StoredUnreadable             this version cannot read a stored row or object      (retry: yes)
    └── PortFailed                   a call of a service failed                           (retry: ``retry_is_safe``)
        ├── NotFound                 the object, row, parameter or secret does not exist
        ├── AlreadyExists            a create-once write found an existing object
        ├── ConditionFailed          a conditional write found another state
        ├── UrlExpired               a presigned URL or the session that signed it has ended  (retry: with another URL)
        ├── TradeRefused             the broker gives a worker no rights                  (retry: no)
        └── Throttled                the service is busy or failed for a moment           (retry: yes)
            └── AtCapacity           the account or project runs as much as it may        (retry: yes, later)

Every error has a message, the run and order (if there is one), and whether the same call may safely be repeated.
"""

from __future__ import annotations

from dataclasses import dataclass


class IacCiError(Exception):
    """Root of the tree: an error that the engine names.

    ``run_id`` and ``order_num`` name the run and the order; ``retry_is_safe`` is true if the same call may be repeated
    without doing anything twice.
    """

    retry_is_safe: bool = False

    def __init__(
        self,
        message: str,
        *,
        run_id: str | None = None,
        order_num: str | None = None,
        retry_is_safe: bool | None = None,
    ) -> None:
        """Keep the ``message`` (plain words, for people) and the run and order that it is about."""
        super().__init__(message)
        self.message = message
        self.run_id = run_id
        self.order_num = order_num
        if retry_is_safe is not None:
            self.retry_is_safe = retry_is_safe

    def __str__(self) -> str:
        """Return the message, followed by the run and order if known."""
        subject = "/".join(part for part in (self.run_id, self.order_num) if part)
        return f"{self.message} [{subject}]" if subject else self.message


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem in the caller's input: ``where`` is the path in the input (``orders[2].timeout``)."""

    where: str
    what: str


class InputProblems(IacCiError):
    """The input is not valid. ``problems`` has every problem, in the order of the input. Nothing was changed."""

    def __init__(self, problems: list[Problem]) -> None:
        """Keep all ``problems``; there must be at least one."""
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.where}: {problem.what}" for problem in problems))


class ConfigurationProblems(InputProblems):
    """A repository's ``.iac-ci.yml`` is not valid; ``where`` is like ``line 12: jobs.plan.orders[0].timeout``."""


class SignatureRefused(IacCiError):
    """The request is unsigned, forged, stale or replayed, or no secret is set to check it with."""


class IllegalTransition(IacCiError):
    """A transition that is not in the state table. It is a bug in the engine, never caused by the user."""


class PreparationFailed(IacCiError):
    """The accepted run cannot be prepared: its code, a secret, a key or a bucket is missing or refused."""


class PackageUnsafe(IacCiError):
    """A folder or archive has an entry that points outside it or is not a file, a folder or a link inside it."""


class SealingFailed(IacCiError):
    """SOPS did not seal or unseal. No plain text was written to disk."""


class SandboxUnfit(IacCiError):
    """A worker's sandbox cannot be made clean or closed, so no order may run in it; in another one it may."""

    retry_is_safe = True


class PlanStale(IacCiError):
    """A saved plan may not be applied: something that it was made from is different now."""


class ResultUnreadable(IacCiError):
    """A result object is malformed, too large, or its status is not terminal."""


class StoredUnreadable(IacCiError):
    """This version cannot read a stored row or object; the version that wrote it can.

    A retry is safe and succeeds after that version is deployed again.
    """

    retry_is_safe = True


class PortFailed(IacCiError):
    """A service (S3, DynamoDB, Lambda, a code host, …) failed or refused the call."""


class NotFound(PortFailed):
    """The requested object, row, parameter or secret does not exist."""


class AlreadyExists(PortFailed):
    """A create-once write found an existing object, which stays as it is."""


class ConditionFailed(PortFailed):
    """A conditional write found another state than the expected one."""


class UrlExpired(PortFailed):
    """S3 refused a presigned URL because its life, or the session that signed it, has ended."""


class TradeRefused(PortFailed):
    """The broker gives a worker no rights. ``refusal`` is a value of ``iac_ci_common.models.trade.Refusal``."""

    def __init__(self, message: str, *, refusal: str, run_id: str | None = None, order_num: str | None = None) -> None:
        """Keep the refusal beside the message."""
        super().__init__(message, run_id=run_id, order_num=order_num)
        self.refusal = refusal


class Throttled(PortFailed):
    """The service refused the call for now; the same call may be repeated later.

    ``retry_after`` is the wait in seconds that the service requested, None if it requested none.
    """

    retry_is_safe = True

    def __init__(
        self,
        message: str,
        *,
        run_id: str | None = None,
        order_num: str | None = None,
        retry_is_safe: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep the requested wait beside the message."""
        super().__init__(message, run_id=run_id, order_num=order_num, retry_is_safe=retry_is_safe)
        self.retry_after = retry_after


class AtCapacity(Throttled):
    """The service starts nothing more, because an account or a project runs as much as its limit allows.

    The same call succeeds when something has ended or the limit was raised. It is no fault: callers wait.
    """
