"""The two doors of the init function: an HTTP request, or an accepted run to prepare."""

from __future__ import annotations

import traceback
from typing import Any

from iac_ci_common.errors import IacCiError
from iac_ci_init.doors import NOT_ACCEPTED, answer, read_request, refusal


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer a request, or prepare a run and raise if that should be tried again."""
    del context
    from iac_ci_init.wiring import door, notes, preparer

    if "prepare" in event:
        from iac_ci_common.models.answer import Preparation

        run_id = Preparation.model_validate(event).prepare
        preparer().prepare(run_id)
        return {"prepared": run_id}
    try:
        return answer(202, door().accept(read_request(event)))
    except IacCiError as error:
        said = refusal(error)
        # A problem may repeat what the caller wrote, a secret in a wrong place too: it is the answer's, not the log's.
        reason = error.message if said["statusCode"] != 400 else "the job has problems"
        notes().warning("a request was refused", status=said["statusCode"], error=reason[:1000])
        return said
    except Exception as error:  # noqa: BLE001 - an HTTP door answers; the log says what happened
        notes().error(
            "the door failed", error=type(error).__name__, trace=traceback.format_tb(error.__traceback__)[-5:]
        )
        return answer(500, {"error": NOT_ACCEPTED, "retry": True})
