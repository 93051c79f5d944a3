"""The asynchronous legs: an accepted run is prepared, a received event is worked on."""

from __future__ import annotations

from typing import Any

from iac_ci_common.models.answer import EventTask, PreparationTask


def run(event: dict[str, Any]) -> dict[str, Any]:
    """Do what was asked for; raises if that should be tried again."""
    if "prepare" in event:
        from iac_ci_init.wiring import preparer

        run_id = PreparationTask.from_stored(event).prepare
        preparer().prepare(run_id)
        return {"prepared": run_id}
    from iac_ci_init.wiring import event_processor

    trigger_id = EventTask.from_stored(event).trigger
    event_processor().work(trigger_id)
    return {"triggered": trigger_id}
