"""The trace context of a run follows from its ids alone."""

from __future__ import annotations

import json
import re

import pytest

from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.trace_context import span_id, traceparent, w3c_trace_id

TRACE, RUN = "0123456789abcdef", "20260101T000000-0123456789ab"
FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01")


def test_the_trace_id_is_the_runs_with_zeros_before_it():
    assert w3c_trace_id(TRACE) == "0000000000000000" + TRACE


def test_run_and_orders_have_spans_of_their_own_that_never_change():
    spans = [span_id(RUN), span_id(RUN, "0001"), span_id(RUN, "0002"), span_id(RUN[:-1] + "c", "0001")]
    assert len(set(spans)) == 4
    assert span_id(RUN, "0001") == "0a9b366542ff2baf"
    assert all(FORM.fullmatch(traceparent(TRACE, RUN, number)) for number in ("0000", "0001"))


@pytest.mark.parametrize(
    ("trace_id", "run_id", "order_num"),
    [("0123", RUN, "0001"), (TRACE.upper(), RUN, "0001"), (TRACE, "run", "0001"), (TRACE, RUN, "1")],
)
def test_other_ids_are_refused(trace_id, run_id, order_num):
    with pytest.raises(ValueError, match=r"id|number"):
        traceparent(trace_id, run_id, order_num)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({"run_id": RUN, "trace_id": TRACE}, traceparent(TRACE, RUN)),
        ({"run_id": RUN, "trace_id": TRACE, "order_num": "0001"}, traceparent(TRACE, RUN, "0001")),
        ({"run_id": RUN}, None),
        ({"run_id": "no id", "trace_id": TRACE}, None),
    ],
)
def test_a_log_line_has_the_context_of_its_run_or_order(context, expected, capsys, request):
    PowertoolsLogger(request.node.name).bind(**context).info("words")
    assert json.loads(capsys.readouterr().out).get("traceparent") == expected
