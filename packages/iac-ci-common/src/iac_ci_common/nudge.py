"""Wakes the orchestrator for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iac_ci_common import keys
from iac_ci_common.models.watch import Watch

if TYPE_CHECKING:
    from iac_ci_common.ports import Objects


def nudge(objects: Objects, run_id: str) -> None:
    """Rewrite the run's ``0000/result.json``, so that S3 notifies the orchestrator, which checks the whole run.

    It is safe at any time and any number of times. ``objects`` is the internal bucket; its errors are raised.
    """
    body = Watch(run_id=run_id).model_dump_json(exclude_none=True).encode()
    objects.put(keys.trigger(run_id), body, content_type="application/json")
