"""The handler of the init function: an HTTP request, a run to prepare or run again, an event to process, or a tick."""

from __future__ import annotations

import traceback
from typing import Any

from iac_ci_common.errors import IacCiError
from iac_ci_common.initialisation import build_early
from iac_ci_common.tick import is_tick
from iac_ci_init.http import NOT_ACCEPTED, answer, read_request, refusal
from iac_ci_init.routing import respond


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer an HTTP request, or run an asynchronous task, whose error is raised so that Lambda retries it."""
    del context
    if "prepare" in event or "trigger" in event or "replan" in event or is_tick(event):
        from iac_ci_init.tasks import run

        return run(event)
    from iac_ci_init.wiring import logger

    try:
        if "rerun" in event:
            from iac_ci_init.tasks import run_again

            return answer(202, run_again(event))
        return respond(read_request(event))
    except IacCiError as error:
        response = refusal(error)
        # A problem may repeat the caller's text, also a secret in the wrong field, so the log does not contain it.
        reason = error.message if response["statusCode"] != 400 else "the request has problems"
        logger().warning("request refused", status=response["statusCode"], error=reason[:1000])
        return response
    except Exception as error:  # noqa: BLE001 - every request gets an answer; the log has the error
        logger().error(
            "webhook handler failed", error=type(error).__name__, trace=traceback.format_tb(error.__traceback__)[-5:]
        )
        return answer(500, {"error": NOT_ACCEPTED, "retry": True})


def _build() -> None:
    from iac_ci_init.wiring import job_intake, webhook_receiver

    job_intake()
    webhook_receiver()


build_early(_build)
