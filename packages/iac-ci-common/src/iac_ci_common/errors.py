"""The one error tree of the engine.

::

    IacCiError                       anything the engine says went wrong
    ├── InputProblems                the caller's input is wrong: every problem at once   (retry: no)
    │   └── ConfigurationProblems    a repository's own configuration is wrong            (retry: no)
    ├── SignatureRefused             the request did not prove who sent it                (retry: no)
    ├── IllegalTransition                  a state change that the state table does not know    (retry: no)
    ├── PreparationFailed            code, a secret, a key or a bucket is missing         (retry: no)
    ├── PackageUnsafe                an archive or tree that would leave its folder       (retry: no)
    ├── SealingFailed                SOPS could not seal or unseal                        (retry: no)
    ├── ResultUnreadable             a result that is not what a worker may write         (retry: no)
    ├── StoredUnreadable             a row or object that this version cannot read        (retry: yes)
    └── PortFailed                   a service did not do what was asked                  (retry: see ``retry_is_safe``)
        ├── NotFound                 the thing asked for is not there
        ├── AlreadyExists            a create-once write found somebody else's first
        ├── ConditionFailed          a conditional write found another state
        └── Throttled                the service asked for patience                       (retry: yes)

Every error carries what happened, the run and order it happened to (where there is one), and whether doing the
same thing again is safe.
"""

from __future__ import annotations

from dataclasses import dataclass


class IacCiError(Exception):
    """Root of the tree: something the engine can name went wrong.

    ``run_id`` and ``order_num`` say to which run and order, ``retry_is_safe`` whether the same call may be repeated
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
        """Keep the plain-words ``message`` and where it happened."""
        super().__init__(message)
        self.message = message
        self.run_id = run_id
        self.order_num = order_num
        if retry_is_safe is not None:
            self.retry_is_safe = retry_is_safe

    def __str__(self) -> str:
        """Return the message, followed by the run and order where known."""
        place = "/".join(part for part in (self.run_id, self.order_num) if part)
        return f"{self.message} [{place}]" if place else self.message


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with the caller's input: ``where`` in the caller's own terms (``orders[2].timeout``)."""

    where: str
    what: str


class InputProblems(IacCiError):
    """The input is wrong; ``problems`` holds every problem found, in the order of the input. Nothing was changed."""

    def __init__(self, problems: list[Problem]) -> None:
        """Keep all ``problems``; there must be at least one."""
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.where}: {problem.what}" for problem in problems))


class ConfigurationProblems(InputProblems):
    """A repository's ``.iac-ci.yml`` is wrong; each problem's ``where`` is ``line 12: jobs.plan.orders[0].timeout``."""


class SignatureRefused(IacCiError):
    """The request is unsigned, forged, stale or replayed, or no secret is set to check it with."""


class IllegalTransition(IacCiError):
    """A transition that is not in the state table: a bug in the engine, never the user's doing."""


class PreparationFailed(IacCiError):
    """The run was accepted and cannot be prepared: its code, a secret, a key or a bucket is missing or refused."""


class PackageUnsafe(IacCiError):
    """A tree or an archive holds an entry that would leave its folder, or that is no file, folder or inner link."""


class SealingFailed(IacCiError):
    """SOPS did not seal or unseal; no plain text was left behind."""


class ResultUnreadable(IacCiError):
    """A result object is malformed, oversized or not a terminal status."""


class StoredUnreadable(IacCiError):
    """A stored row or object holds what this version does not know; the version that wrote it can read it.

    Trying again is safe, and succeeds once that version is deployed again.
    """

    retry_is_safe = True


class PortFailed(IacCiError):
    """A service (S3, DynamoDB, Lambda, a code host, …) failed or refused."""


class NotFound(PortFailed):
    """The object, row, parameter or secret asked for does not exist."""


class AlreadyExists(PortFailed):
    """A create-once write lost: the first one counts and stays."""


class ConditionFailed(PortFailed):
    """A conditional write found another state than the one it was planned for."""


class Throttled(PortFailed):
    """The service asked for fewer requests; the same call may be repeated later.

    ``retry_after`` are the seconds that it asked for, None where it named none.
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
        """Keep what was asked for beside what happened."""
        super().__init__(message, run_id=run_id, order_num=order_num, retry_is_safe=retry_is_safe)
        self.retry_after = retry_after
