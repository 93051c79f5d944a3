"""Answers a request: checks the capability, reads the run, renders."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iac_ci_common import keys, limits
from iac_ci_common.begun_orders import as_begun
from iac_ci_common.ids import RUN_ORDER_NUM, accepted_at, check_order_num, check_run_id
from iac_ci_common.order_logs import read_log, read_result
from iac_ci_page import render
from iac_ci_page.graph import layout
from iac_ci_page.http import COOKIE, Response, as_json
from iac_ci_page.logs import read_piece
from iac_ci_page.view import event_rows, order_facts, plan_resources, run_view

if TYPE_CHECKING:
    from datetime import datetime

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_common.ports import Clock, Logger, Objects, RunRows, Runs
    from iac_ci_page.access import Access
    from iac_ci_page.http import Request

DOWNLOAD_SECONDS: Final = 300
"""How long the URL of a download is valid."""

MAX_TEXT_BYTES: Final = 512 * 1024
"""Most bytes of a log that is itself the answer to a download. A function's answer has 6 MB at most (AWS Lambda
Developer Guide, "Lambda quotas"), and JSON takes six bytes for a control character."""

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_REFUSED: Final = (
    "The link has expired or was ended, or it belongs to another run. Open the newest link in the pull request, or make"
    " one with the command iac-ci open and the id of the run."
)
_GONE: Final = "There is no such run. The rows of a run are kept for one day after its deadline."
_NOT_YET: Final = (
    "The run was accepted. Its code and secrets are being fetched; the orders appear here as soon as that is done. The"
    " page loads itself again."
)
_PREPARED_WITHIN: Final = timedelta(seconds=limits.PREPARATION_SECONDS * limits.PREPARATION_ATTEMPTS)
_AGAIN_SECONDS: Final = 3


@dataclass(frozen=True, slots=True)
class PagePorts:
    """The ports of the page. It uses only those methods that read."""

    clock: Clock
    runs: Runs
    objects: Objects
    access: Access
    logger: Logger


class Page:
    """Shows runs. It changes nothing."""

    def __init__(self, ports: PagePorts) -> None:
        """Use ``ports``."""
        self._ports = ports

    def answer(self, request: Request) -> Response:
        """Answer a request. Raises what the ports raise."""
        try:
            run_id = check_run_id(request.run_id)
        except ValueError:
            return _text(404, "There is no such page.")
        if request.part in render.ASSETS:
            return render.asset(request.part)
        now = self._ports.clock.now()
        if request.part == "open":
            return self._open(run_id, request.query.get("key", ""), now)
        capability = self._ports.access.check(run_id, request.sessions, now)
        if capability is None:
            return self._refused(request)
        rows = self._ports.runs.read(run_id)
        if rows.run is None and now < accepted_at(run_id) + _PREPARED_WITHIN:
            # The first comment, which has the link, is written before the rows.
            page = render.message(404, run_id, "The run is being prepared", _NOT_YET)
            return replace(page, headers={"Refresh": str(_AGAIN_SECONDS)})
        if rows.run is None or rows.run.expires_at <= now:
            return render.message(404, run_id, "No such run", _GONE)
        if not self._ports.access.is_current(capability, rows.run, now):
            return self._refused(request)
        return self._show(request, replace(rows, orders=as_begun(self._ports.objects, rows.orders)))

    def _open(self, run_id: str, link: str, now: datetime) -> Response:
        """Trade a link for a cookie, and lead to the address without the capability.

        The cookie has no ``Path``: a browser then uses the folder of this address, which is the run's own page under
        whatever name and stage the API is called.
        """
        session = self._ports.access.trade(run_id, link, now)
        if session is None:
            return render.message(403, f"../{run_id}", "This link does not open the run", _REFUSED)
        cookie = f"{COOKIE}={session.value}; Max-Age={session.seconds}; HttpOnly; Secure; SameSite=Lax"
        return Response(303, headers={"Location": f"../{run_id}", "Set-Cookie": cookie})

    def _refused(self, request: Request) -> Response:
        if request.part:
            return _text(403, _REFUSED)
        return render.message(403, request.run_id, "This page needs a link", _REFUSED)

    def _show(self, request: Request, rows: RunRows) -> Response:
        if rows.run is None:
            raise AssertionError("the caller has checked that there is a run")
        if request.part == "graph":
            return as_json(layout(rows.orders).as_state())
        if request.part == "state":
            state = run_view(rows.run, rows.orders).as_state()
            same = state["version"] == request.query.get("version")
            return Response(204) if same else as_json(state)
        if request.part == "events":
            return as_json(event_rows(self._ports.runs.events(rows.run.trace_id)))
        if request.part not in {"", "log", "download"}:
            return _text(404, "There is no such page.")
        if request.part == "" and "order" not in request.query:
            return render.run_page(run_view(rows.run, rows.orders))
        order = _order(request, rows)
        if order is None:
            return _no_such_order(request)
        attempt = min(_number(request, "attempt") or order.attempt, order.attempt)
        if request.part == "log":
            part, offset = _number(request, "part") or 0, _number(request, "offset") or 0
            return as_json(read_piece(self._ports.objects, order, attempt, part=part, offset=offset).as_state())
        if request.part == "download":
            return self._download(order, attempt)
        return self._order_page(rows, order, attempt)

    def _download(self, order: OrderRow, attempt: int) -> Response:
        """Lead to the object of a long log; answer with the log itself, or with what there is of it, if it has none."""
        objects, name = self._ports.objects, _file_name(order, attempt)
        attempt_key = (order.run_id, order.order_num, attempt)
        if objects.exists(keys.log(*attempt_key)):
            url = objects.presign_get(keys.log(*attempt_key), seconds=DOWNLOAD_SECONDS, save_as=name)
            return Response(303, headers={"Location": url})
        log = read_log(objects, *attempt_key, max_bytes=MAX_TEXT_BYTES)
        if log is None or not log.data:
            return _text(404, "No log of this order is stored.")
        text = log.data[:MAX_TEXT_BYTES].decode("utf-8", "replace")
        if len(log.data) > MAX_TEXT_BYTES:
            text += f"\n[iac-ci] the rest is left out; `iac-ci logs {order.run_id} {order.order_num}` prints it\n"
        saved = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(200, text, "text/plain; charset=utf-8", saved)

    def _order_page(self, rows: RunRows, order: OrderRow, attempt: int) -> Response:
        if rows.run is None:
            raise AssertionError("the caller has checked that there is a run")
        result = read_result(self._ports.objects, order.run_id, order.order_num, attempt)
        plan = result.plan if result is not None else None
        return render.order_page(
            run_view(rows.run, rows.orders),
            order,
            attempt,
            facts=order_facts(order, rows.orders, failed_command=result.failed_command if result is not None else None),
            events=event_rows(self._ports.runs.events(rows.run.trace_id), order.order_num),
            plan=plan_resources(plan) if plan is not None else (),
            plan_left_out=plan.left_out if plan is not None else 0,
            warnings=plan.warnings if plan is not None else (),
        )


def _no_such_order(request: Request) -> Response:
    text = "The run has no order with this number."
    return _text(404, text) if request.part else render.message(404, request.run_id, "No such order", text)


def _order(request: Request, rows: RunRows) -> OrderRow | None:
    try:
        num = check_order_num(request.query.get("order", ""))
    except ValueError:
        return None
    return next((row for row in rows.orders if row.order_num == num != RUN_ORDER_NUM), None)


def _number(request: Request, name: str) -> int | None:
    text = request.query.get(name, "")
    return int(text) if _NUMBER.fullmatch(text) else None


def _file_name(order: OrderRow, attempt: int) -> str:
    return f"{order.run_id}-{order.order_num}{f'-{attempt}' if attempt > 1 else ''}.log"


def _text(status: int, text: str) -> Response:
    return Response(status, f"{text}\n", "text/plain; charset=utf-8")
