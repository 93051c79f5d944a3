"""The Lambda handler: API Gateway's requests for pages of runs."""

from __future__ import annotations

import traceback
from typing import Any

from iac_ci_common.errors import IacCiError
from iac_ci_common.initialisation import build_early
from iac_ci_page.http import failure, read_request


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer a request. The log gets neither its query nor its cookies, because both hold capabilities."""
    del context
    from iac_ci_page.wiring import logger, page

    request = read_request(event)
    try:
        return page().answer(request).as_proxy()
    except IacCiError as error:
        logger().warning("page not shown", run_id=request.run_id[:40], error=error.message)
        return failure(503).as_proxy()
    except Exception as error:  # noqa: BLE001 - every request gets an answer; the log has the error
        trace = traceback.format_tb(error.__traceback__)[-5:]
        logger().error("page failed", error=type(error).__name__, trace=trace)
        return failure(500).as_proxy()


def _build() -> None:
    from iac_ci_page.wiring import page

    page()


build_early(_build)
