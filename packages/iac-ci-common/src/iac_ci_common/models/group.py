"""Concurrency groups: a row of the locks table with the orders that hold a group and those that wait for it."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.models.base import Moment, OrderNum, RunId, StoredShape


class Entry(StoredShape):
    """An order, or with ``order_num`` 0000 a run, that holds a group or waits for it."""

    run_id: RunId
    order_num: OrderNum
    name: str = Field(max_length=128, description="Name of the order, or of the run's job.")
    shared: bool = Field(False, description="True if the order may run beside others that share the group.")
    token: int = Field(ge=1, description="Number of the entry: no other entry of the group has it.")
    series: str | None = Field(None, description="What is applied in the sequence in which its runs were started.")
    commit: str | None = None
    pull_request: int | None = None
    superseded_by: RunId | None = Field(None, description="The newer run for which a waiting order ends.")
    entered_at: Moment
    expires_at: Moment = Field(description="When the rows of its run expire.")


class Begun(StoredShape):
    """The newest run of a series that has begun to hold the group alone; of one second, the one that began last."""

    series: str
    run_id: RunId
    commit: str


class Group(StoredShape):
    """A concurrency group; ``version`` counts the writes.

    ``entries`` are in the sequence in which they came. Who holds the group follows from it: an entry holds if each one
    before it, and it, shares the group, or if none is before it. So nobody overtakes, and an entry that is removed
    makes room in the same write. ``token`` is the number of the newest entry.
    """

    key: str
    version: int = 0
    token: int = 0
    entries: tuple[Entry, ...] = ()
    begun: tuple[Begun, ...] = ()
    expires_at: Moment
