from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iac_ci_cli.log_stamps import UNKNOWN, stamped

NOON = 1_767_268_800_000
"""2026-01-01T12:00:00Z in milliseconds."""


def test_each_line_has_the_time_from_which_its_place_was_written():
    log = "$ zwölf\neins\nzwei\r50%\rlast".encode()
    times = [(0, NOON), (len("$ zwölf\n".encode()), NOON + 61_000), (len("$ zwölf\neins\n".encode()), 0)]
    assert stamped(log, times) == (
        f"2026-01-01T12:00:00Z $ zwölf\n2026-01-01T12:01:01Z eins\n{UNKNOWN} zwei\r50%\rlast"
    )


def test_without_times_lines_stand_where_they_would():
    assert stamped(b"one\n\ntwo\n", ()) == f"{UNKNOWN} one\n{UNKNOWN} \n{UNKNOWN} two\n"


@given(st.binary(), st.lists(st.tuples(st.integers(0, 200), st.integers(1, 2**40))).map(sorted))
def test_the_text_is_that_of_the_log(log, times):
    lines = stamped(log, times).split("\n")
    assert "\n".join(line[len(UNKNOWN) + 1 :] for line in lines) == log.decode("utf-8", "replace")
