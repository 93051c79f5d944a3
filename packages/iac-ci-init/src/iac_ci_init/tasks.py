"""The tasks: prepare an accepted run, process an event, what each tick brings, and run orders again."""

from __future__ import annotations

from typing import Any

from iac_ci_common.models.answer import EventTask, PreparationTask, ReplanTask, RerunTask
from iac_ci_common.tick import is_tick


def run(event: dict[str, Any]) -> dict[str, Any]:
    """Run a task and return its id. Raises errors, so that Lambda retries the task."""
    if is_tick(event):
        from iac_ci_init.wiring import tick

        return tick().run(event)
    if "prepare" in event:
        from iac_ci_init.wiring import preparer

        run_id = PreparationTask.from_stored(event).prepare
        preparer().prepare(run_id)
        return {"prepared": run_id}
    from iac_ci_init.wiring import event_processor

    if "replan" in event:
        replan = ReplanTask.from_stored(event).replan
        event_processor().plan_again(replan)
        return {"triggered": replan.trigger_id}
    trigger_id = EventTask.from_stored(event).trigger
    event_processor().process(trigger_id)
    return {"triggered": trigger_id}


def run_again(event: dict[str, Any]) -> str:
    """Start a run of another run's orders and return the JSON of the answer. The caller waits for it."""
    from iac_ci_init.wiring import reruns

    return reruns().accept(RerunTask.from_stored(event))
