"""Chooses the part that answers a request: an event of a code host, an answer to an approval, or a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iac_ci_init.approval_intake import is_approval
from iac_ci_init.http import answer
from iac_ci_triggers.verification import sender

if TYPE_CHECKING:
    from iac_ci_common.request import Request


def respond(request: Request) -> dict[str, Any]:
    """Return API Gateway's answer to a request. Raises what the parts raise; each is built at its first use."""
    if (host := sender(request.headers)) is not None:
        from iac_ci_init.wiring import webhook_receiver

        return answer(*webhook_receiver().receive(host, request))
    if is_approval(request):
        from iac_ci_init.wiring import approval_intake

        return answer(200, approval_intake().answer(request))
    from iac_ci_init.wiring import job_intake

    return answer(202, job_intake().accept(request))
