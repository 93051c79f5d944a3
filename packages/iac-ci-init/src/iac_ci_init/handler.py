"""The doors of the init function: an HTTP request, an accepted run to prepare, or a received event to work on."""

from __future__ import annotations

import traceback
from typing import Any

from iac_ci_common.errors import IacCiError
from iac_ci_init.http import NOT_ACCEPTED, answer, read_request, refusal
from iac_ci_triggers.verification import sender


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer a request, or do what was asked for asynchronously and raise if that should be tried again."""
    del context
    if "prepare" in event or "trigger" in event:
        from iac_ci_init.tasks import run

        return run(event)
    from iac_ci_init.wiring import job_intake, logger

    try:
        request = read_request(event)
        if (host := sender(request.headers)) is not None:
            from iac_ci_init.wiring import webhook_receiver

            return answer(*webhook_receiver().receive(host, request))
        return answer(202, job_intake().accept(request))
    except IacCiError as error:
        said = refusal(error)
        # A problem may repeat what the caller wrote, a secret in a wrong place too: it is the answer's, not the log's.
        reason = error.message if said["statusCode"] != 400 else "the job has problems"
        logger().warning("a request was refused", status=said["statusCode"], error=reason[:1000])
        return said
    except Exception as error:  # noqa: BLE001 - an HTTP door answers; the log says what happened
        logger().error(
            "the door failed", error=type(error).__name__, trace=traceback.format_tb(error.__traceback__)[-5:]
        )
        return answer(500, {"error": NOT_ACCEPTED, "retry": True})
