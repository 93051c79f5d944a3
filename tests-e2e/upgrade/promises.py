"""What must hold at the end of a played run, read from the services as any version leaves them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from upgrade.cloud import Cloud
from upgrade.stories import Story


def broken_promises(cloud: Cloud, story: Story, starts: Path) -> Iterator[str]:
    """Name every promise that was broken; none of this uses the code that is tested."""
    rows = cloud.items("orders")
    run = next((row for row in rows if row["order_num"]["S"] == "0000"), None)
    if run is None or run["status"]["S"] != story.run:
        yield f"the run ends {story.run}: {run}"
        return
    run_id = run["run_id"]["S"]
    states = {row["order_name"]["S"]: row["status"]["S"] for row in rows if row is not run}
    if states != story.orders:
        yield f"the orders end {story.orders}: {states}"
    for name, times in Counter(starts.read_text().split()).items():
        if times > 1:
            yield f"commands start at most once: {name} started {times} times"
    started = set(starts.read_text().split())
    ran = {name for name, state in story.orders.items() if state == "succeeded"}
    if not ran <= started:
        yield f"what succeeded was run: {ran - started}"
    if cloud.done_markers != Counter({f"{run_id}/done": 1}):
        yield f"there is one done marker: {cloud.done_markers}"
        return
    marker = json.loads(cloud.objects("done")[f"{run_id}/done"])
    told = {order["order_name"]: order["status"] for order in marker["orders"]}
    if (marker["status"], told) != (story.run, states):
        yield f"the done marker equals the rows: {marker}"
    yield from _lock(cloud, run_id)
    left = [key for key in cloud.objects("internal") if key.startswith("tmp/exec/")]
    if left:
        yield f"no sealed package is left: {left}"
    if any(watched is not None for watched in cloud.executions.values()):
        yield f"every watchdog ends: {cloud.executions}"
    yield from _pull_request(cloud, story, run_id)


def _lock(cloud: Cloud, run_id: str) -> Iterator[str]:
    lock: dict[str, Any] = next(row for row in cloud.items("locks") if row["lock_key"]["S"] == f"lock:{run_id}")
    if not lock.get("completed", {}).get("BOOL") or "owner" in lock:
        yield f"the lock is completed: {lock}"


def _pull_request(cloud: Cloud, story: Story, run_id: str) -> Iterator[str]:
    mine = [comment["body"] for comment in cloud.comments if run_id in comment["body"]]
    if len(mine) != 1:
        yield f"there is one comment: {len(mine)}"
    elif any(f"| {name} | {state} |" not in mine[0].replace("\\", "") for name, state in story.orders.items()):
        yield f"the comment tells of every order: {mine[0]}"
    wanted = "success" if story.run == "succeeded" else "failure"
    if not cloud.statuses or cloud.statuses[-1]["state"] != wanted:
        yield f"the commit's last status is {wanted}: {cloud.statuses[-1:]}"
