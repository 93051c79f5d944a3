"""A worker's trade of a ticket for short-lived rights, and the broker's answer."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from iac_ci_common.models.base import DispatchId, Moment, OrderNum, RunId, Sha256, StoredShape, TraceId
from iac_ci_common.models.sealed import EncryptedIdentity
from iac_ci_common.models.work import WorkUrls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Trade(StoredShape):
    """A request to the broker: the old ticket, and the SHA-256 of the next one, which the worker drew itself.

    A worker that got no answer sends the same pair again and gets the same answer. The lengths are of the uploads that
    the worker is about to make; the URL of an upload is signed for exactly that length.
    """

    run_id: RunId
    order_num: OrderNum
    dispatch: DispatchId
    ticket: Sha256 = Field(repr=False, description="The old ticket: 32 random bytes in hexadecimal.")
    next_sha256: Sha256 = Field(description="SHA-256 of the next ticket.")
    execution: str = Field(
        max_length=256, description="The worker, as its claim names it; Lambda may start two for one dispatch."
    )
    begins: bool = Field(
        False, description="The worker has claimed the order and begins it: it needs its secrets and its role."
    )
    reads_git: bool = Field(False, description="The worker needs tokens for the repositories of `git_credentials`.")
    renews: bool = Field(False, description="The worker needs new credentials of the order's role.")
    log_bytes: int | None = Field(None, ge=0, description="Length of the log to upload, None if none is uploaded.")
    result_bytes: int | None = Field(None, ge=0, description="Length of the result to upload, None if none is.")
    parts: int = Field(0, ge=0, description="How many parts of the log were sent.")
    seals: bool = Field(False, description="The worker needs an age recipient for what the order hands on.")
    outputs_bytes: int | None = Field(None, ge=0, description="Length of the sealed outputs to upload, if any.")
    files_bytes: int | None = Field(None, ge=0, description="Length of the sealed files to upload, if any.")
    kept_bytes: int | None = Field(None, ge=0, description="Length of the files of a failed order to upload, if any.")


class Refusal(StrEnum):
    """The reasons for which the broker gives no rights."""

    UNKNOWN = "unknown"
    """There is no such run, order or dispatch."""

    USED = "used"
    """The ticket is not the one that the chain holds now."""

    TAKEN = "taken"
    """Another worker has claimed the order."""

    ENDED = "ended"
    """The order or its run has ended, or the order's time is over."""


AnyRefusal = Annotated[Refusal | str, Field(union_mode="left_to_right")]
"""A refusal; a text if a newer version wrote one that this version does not know."""


class Recipient(StoredShape):
    """The age recipient for what one order hands on, and its identity, encrypted for the order's scope."""

    recipient: str = Field(max_length=256)
    identity: EncryptedIdentity
    context: dict[str, str] = Field(description="The encryption context of the identity.")


class RoleCredentials(StoredShape):
    """Credentials of an order's role: those of one session, which ends after an hour because roles assume each other
    (AWS IAM User Guide, "Role chaining")."""

    access_key_id: str = Field(repr=False)
    secret_access_key: str = Field(repr=False)
    session_token: str = Field(repr=False)
    expires_at: Moment

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables in which the SDKs of AWS look for credentials."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }

    @classmethod
    def from_variables(cls, variables: Mapping[str, str], expires_at: datetime) -> RoleCredentials:
        """Return the credentials that these variables hold; raise ``KeyError`` if one is missing."""
        return cls(
            access_key_id=variables["AWS_ACCESS_KEY_ID"],
            secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            session_token=variables["AWS_SESSION_TOKEN"],
            expires_at=expires_at,
        )


class GitToken(StoredShape):
    """A token with which git reads the contents of some repositories and nothing else."""

    repositories: tuple[str, ...] = Field(min_length=1, description="Repositories, as `host/path`.")
    username: str
    token: str = Field(repr=False)
    expires_at: Moment | None = Field(None, description="None for a token that the operator stored.")


class TakenObject(StoredShape):
    """A sealed object of another order, for a worker whose order takes it."""

    url: str = Field(repr=False)
    sha256: Sha256
    identity: str = Field(repr=False, description="Age identity that the object is sealed for.")


class TakenOrder(StoredShape):
    """What an order may take from another one that has ended."""

    order_num: OrderNum
    outputs: TakenObject | None = Field(None, description="The sealed outputs, None if the order has none.")
    files: TakenObject | None = Field(None, description="The sealed files that it saved, None if there are none.")


class BegunOrder(StoredShape):
    """What an order begins with. The worker keeps it in memory and masks every value."""

    identity: str | None = Field(None, repr=False, description="Age identity that the sealed secrets are for.")
    secrets: dict[str, str] | None = Field(
        None, repr=False, description="The secrets of a package of a version before, which has no identity."
    )
    credentials: dict[str, str] | None = Field(
        None, repr=False, description="Variables with the credentials of the order's role, valid for one hour."
    )
    credentials_end: Moment | None = Field(
        None, description="When the credentials end; None from a broker of a version before: an hour after the answer."
    )
    taken: tuple[TakenOrder, ...] = Field((), description="The orders that this order takes something from.")
    saved_plan: TakenObject | None = Field(None, description="The sealed files of the saved plan to apply.")
    failure: str | None = Field(
        None, description="Why the order cannot begin, in plain words; then nothing else is set."
    )


class TradeAnswer(StoredShape):
    """The broker's answer: the order's terms and rights of minutes, or a refusal.

    Each kind of right is a field of its own, as ``urls`` is. A worker passes over kinds that it does not know.
    """

    refusal: AnyRefusal | None = None
    reason: str | None = Field(
        None, description="Why the trade was refused, or why there is no recipient, in plain words."
    )
    trace_id: TraceId | None = None
    attempt: int = Field(1, ge=1, description="Number of the order's attempt.")
    timeout: int | None = Field(None, gt=0, description="Seconds that the commands may take.")
    stop_grace: int | None = Field(None, gt=0, description="The order's own `stop_grace`, in seconds.")
    not_after: Moment | None = Field(
        None, description="Time at which the commands are asked to stop at the latest; the grace begins then."
    )
    urls: WorkUrls | None = None
    package_sha256: Sha256 | None = Field(None, description="Digest that the package must have.")
    code_sha256: Sha256 | None = Field(None, description="Digest that the code must have.")
    begun: BegunOrder | None = Field(None, description="What an order begins with, if the trade asked for it.")
    credentials: RoleCredentials | None = Field(
        None, description="New credentials of the order's role, if the trade asked for them."
    )
    credentials_failure: str | None = Field(
        None, description="Why there are no new credentials, in plain words; those of before go on until their end."
    )
    git_tokens: tuple[GitToken, ...] = Field((), description="Tokens for git, if the trade asked for them.")
    git_failure: str | None = Field(None, description="Why there are no tokens for git, in plain words.")
    recipient: Recipient | None = Field(None, description="The recipient, if the trade asked for one.")
    followed: bool = Field(False, description="The log is followed: its parts are sent every five seconds.")
    heartbeat_seconds: int | None = Field(
        None, gt=0, description="Seconds until the next trade while the commands run; None from a version before."
    )
    stop: str | None = Field(None, description="Why the worker should stop its commands; None if it should go on.")
    stop_soon: bool = Field(False, description="True if the wish to stop was repeated: the worker waits less.")


class TicketChain(StoredShape):
    """The tickets of one dispatch: a row of the locks table, made by the first trade."""

    run_id: RunId
    order_num: OrderNum
    dispatch: DispatchId
    attempt: int = Field(1, ge=1, description="Attempt of the order that was dispatched.")
    present: Sha256 = Field(description="SHA-256 of the ticket that may be traded next.")
    before: Sha256 | None = Field(None, description="SHA-256 of the ticket that was traded for the present one.")
    execution: str | None = Field(None, description="The worker that made the last trade, as its claim names it.")
    last_seen: Moment | None = Field(None, description="Time of the last trade: the worker's last sign of life.")
    misused_at: Moment | None = Field(None, description="When a ticket of this chain was first refused.")
    expires_at: Moment
