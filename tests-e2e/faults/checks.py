"""What must hold at the end of every run, read from the real tables and buckets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from faults.world import World
from iac_ci_common import keys
from iac_ci_common.aws.locks import DynamoLocks
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.models.done import DoneMarker
from iac_ci_common.states import RUN_TERMINAL, TERMINAL, OrderState, RunState


def broken_promises(world: World) -> Iterator[str]:
    """Name every promise that this world broke."""
    if world.answers[-1:] != [202]:
        yield f"a caller who is patient is accepted: {world.answers} {world.refusals}"
    if len(world.run_ids) != 1:
        yield f"one key is one run: {world.run_ids}"
    for key, starts in Counter(world.command_starts).items():
        if starts > 1:
            yield f"commands start at most once: {key} started {starts} times"
    for run_id in world.run_ids:
        yield from _of_a_run(world, run_id)


def _of_a_run(world: World, run_id: str) -> Iterator[str]:
    services = world.services
    runs = DynamoRuns(services.dynamodb, "orders", "events")
    internal, done = S3Objects(services.s3, "internal"), S3Objects(services.s3, "done")
    rows = runs.read(run_id)
    if rows.run is None or rows.run.status not in RUN_TERMINAL:
        yield f"an accepted run ends: {rows.run and rows.run.status} {world.errors}"
        return
    states = {order.order_name: order.status for order in rows.orders}
    if not set(states.values()) <= TERMINAL:
        yield f"every order ends: {states}"
    started = [num.partition("/")[2] for num in world.command_starts]
    if "0002" in started and (started.index("0001") if "0001" in started else 99) > started.index("0002"):
        yield f"an order starts after its dependencies: {started}"
    for order in rows.orders:
        if order.status is OrderState.SUCCEEDED and order.order_num not in started:
            yield f"what succeeded was run: {order.order_num}"
    if (rows.run.status is RunState.SUCCEEDED) != all(state is OrderState.SUCCEEDED for state in states.values()):
        yield f"a run succeeds with its orders: {rows.run.status}, {states}"
    if world.done_markers != Counter({keys.done(run_id): 1}):
        yield f"one done marker: {world.done_markers}"
    else:
        marker = DoneMarker.model_validate_json(done.get(keys.done(run_id)))
        if {order.order_name: order.status for order in marker.orders} != states or marker.status != rows.run.status:
            yield f"the marker equals the rows: {marker}"
    last = {event.order_name: event.kind for event in runs.events(rows.run.trace_id)}
    told = {name: status.value for name, status in states.items()} | {"_job": rows.run.status.value}
    if last != told:
        yield f"events tell the rows' story: {last} and not {told}"
    if set(world.announced) != {f"{run_id}:0000:run_ended"}:
        yield f"the end is announced, and nothing else: {world.announced}"
    lock = DynamoLocks(services.dynamodb, "locks").read(run_id)
    if lock is None or not lock.completed or lock.owner is not None:
        yield f"the lock is completed: {lock}"
    left = list(internal.list(f"tmp/exec/{run_id}/"))
    if left:
        yield f"no sealed package is left: {left}"
    if world.watching:
        yield f"every watchdog ends: {sorted(world.watching)}"
