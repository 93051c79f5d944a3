"""Renders pages with Jinja, which escapes every value."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import jinja2

from iac_ci_page.http import Response, visible
from iac_ci_page.view import STATES, poll_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iac_ci_common.models.rows import OrderRow
    from iac_ci_page.view import PlanResource, RunView

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
ASSETS: Final = ("page.css", "run.js", "order.js")
"""The files that pages load: all that their policy allows."""

_ASSET_SECONDS: Final = 3600


def run_page(view: RunView) -> Response:
    """Return the page of a run."""
    return _page(
        200,
        "run.html",
        run=view,
        seconds=poll_seconds(len(view.orders)),
        states=STATES,
        version_of_state=view.as_state()["version"],
    )


def order_page(
    view: RunView,
    order: OrderRow,
    attempt: int,
    *,
    facts: Sequence[tuple[str, str]],
    events: Sequence[tuple[str, str, str, str]],
    plan: Sequence[PlanResource],
    plan_left_out: int,
    warnings: Sequence[str],
) -> Response:
    """Return the page of one order."""
    return _page(
        200,
        "order.html",
        run=view,
        order=order,
        attempt=attempt,
        facts=facts,
        events=events,
        plan=plan,
        plan_left_out=plan_left_out,
        warnings=warnings,
    )


def message(status: int, run_id: str, title: str, text: str) -> Response:
    """Return a page with a message. ``run_id`` is only used for the address of the style sheet."""
    return _page(status, "message.html", run_id=run_id, title=title, text=text)


def asset(name: str) -> Response:
    """Return one of the files that pages load."""
    headers = {"Cache-Control": f"private, max-age={_ASSET_SECONDS}"}
    return Response(200, _asset(name), _TYPES[name.rpartition(".")[2]], headers)


def _page(status: int, name: str, **values: object) -> Response:
    return Response(status, _templates().get_template(name).render(**values))


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        finalize=visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = {name: hashlib.sha256(_asset(name).encode()).hexdigest()[:12] for name in ASSETS}
    return environment


@cache
def _asset(name: str) -> str:
    return _text(name)


def _text(name: str) -> str:
    return files("iac_ci_page").joinpath("page_files", name).read_text("utf-8")
