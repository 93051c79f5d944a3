"""What people ran into at the command line and in the documents, and the tests that show that it is gone.

Run as a program, it runs these tests and prints a line for each case.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
_CLI: Final = "packages/iac-ci-cli/tests"
_LOCAL: Final = "packages/iac-ci-local/tests"

CASES: Final[dict[str, tuple[str, ...]]] = {
    "the suite needs nothing beside the checkout and no registry": (
        "tests-e2e/offline/test_registry.py::test_the_stand_in_is_used_where_it_does_not",
        "tests-e2e/offline/test_fresh_machine.py::test_what_is_not_there_is_not_there_and_nothing_is_left_behind",
    ),
    "validate reports what the endpoint reports, for jobs and configurations": (
        "tests-e2e/validation/test_same_words.py::test_the_command_reports_the_same_as_json_and_as_text",
        "tests-e2e/documents/test_pre_commit.py::test_the_hook_reports_every_problem_of_the_files_that_it_names",
    ),
    "a run is listed, found by a prefix, and watched again": (
        f"{_CLI}/test_history.py::test_runs_are_listed_newest_first_with_their_states",
        f"{_CLI}/test_history.py::test_pages_together_are_the_whole_list",
        f"{_CLI}/test_lookup.py::test_a_unique_beginning_is_as_good_as_an_id",
        f"{_CLI}/test_watch.py::test_a_run_can_be_watched_again",
    ),
    "submit --wait prints the id first, and Ctrl-C says how to come back": (
        f"{_CLI}/test_watch.py::test_submit_and_wait_prints_the_runs_id_before_it_waits",
        f"{_CLI}/test_watch.py::test_ctrl_c_ends_the_watching_and_names_the_next_command",
        f"{_CLI}/test_process.py::test_ctrl_c_says_what_is_so",
    ),
    "--local names the cloud it takes, and takes none of several by itself": (
        f"{_CLI}/test_local_clouds.py::test_several_are_listed_and_none_is_taken",
        f"{_CLI}/test_local_clouds.py::test_the_cloud_that_is_taken_is_named",
    ),
    "cancel answers from rows read after the request": (
        f"{_CLI}/test_run_commands.py::test_an_order_that_started_while_the_run_was_cancelled_is_not_called_cancelled",
    ),
    "local pr names a broken configuration before anything starts": (
        f"{_LOCAL}/test_commands.py::test_a_broken_configuration_of_a_pull_request_is_named_before_anything_starts",
    ),
    "the live table fits, with totals; dumb terminals, CI and pipes get lines": (
        f"{_CLI}/test_watch.py::test_a_live_table_fits_its_terminal",
        f"{_CLI}/test_watch.py::test_a_thousand_orders_at_24_lines",
        f"{_CLI}/test_watch.py::test_a_dumb_terminal_gets_lines_with_times_as_states_change",
        f"{_CLI}/test_watch.py::test_ci_gets_lines_with_times_even_where_it_offers_a_terminal",
    ),
    "local run shows the output of orders that succeeded": (
        f"{_LOCAL}/test_commands.py::test_run_shows_the_output_of_orders_that_succeeded",
    ),
    "a wrong stack or region is refused with the rule": (
        f"{_LOCAL}/test_commands.py::test_a_bad_option_is_refused_before_anything_starts",
        "tests-e2e/pipelines/test_refusals.py::test_a_bad_stack_name_is_named_with_the_rule",
        "tests-e2e/pipelines/test_refusals.py::test_a_bad_region_is_named_with_an_example",
    ),
    "1 is as good as 0001; doctor says why a run failed; a second cancel answers": (
        f"{_CLI}/test_lookup.py::test_an_order_is_found_by_its_number_or_name",
        f"{_CLI}/test_run_commands.py::test_the_doctor_does_not_call_a_failed_run_well",
        f"{_CLI}/test_run_commands.py::test_a_second_cancel_answers_like_the_first",
    ),
    "each hint works where it is shown": (
        f"{_CLI}/test_watch.py::test_the_hint_to_the_whole_log_works_where_it_is_shown",
        f"{_LOCAL}/test_commands.py::test_a_cloud_that_stays_says_how_to_reach_it",
        "packages/iac-ci-vcs/tests/test_reporting.py::test_every_command_of_a_comment_names_the_stack",
    ),
    "a page says how to install the command line, and its commands work": (
        "tests-e2e/documents/test_commands.py::test_the_commands_of_a_page_work[README.md]",
        "tests-e2e/documents/test_commands.py::test_the_file_that_is_to_run_a_command_names_it",
    ),
    "from a clone to watching two projects of one's own, as documented": (
        "tests-e2e/documents/test_commands.py::test_the_commands_of_a_page_work[docs/own-projects.md]",
        f"{_CLI}/test_rerun_locally.py::test_what_failed_runs_again_with_its_code_and_is_found_in_the_list",
    ),
    "the page of the local code host keeps words whole": (
        "tests-e2e/code_host/test_narrow_page.py::test_words_stay_whole",
    ),
    "each vocabulary hints at the words of the other": (
        "packages/iac-ci-triggers/tests/test_configuration_words.py::test_each_field_of_the_other_vocabulary_has_a_hint",
    ),
    "every term is defined": ("tests-e2e/documents/test_glossary.py::test_every_term_is_defined",),
    "the local build service takes its owner's builds alone": (
        f"{_LOCAL}/test_loopback.py::test_the_build_service_refuses_other_callers",
    ),
}


class _Counts:
    """Counts how the tests of each node id ended."""

    def __init__(self, chosen: Sequence[str]) -> None:
        self._chosen = chosen
        self.ended: Counter[tuple[str, str]] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            one, every = report.nodeid, report.nodeid.partition("[")[0]
            self.ended[one if one in self._chosen else every, report.outcome] += 1


def main() -> int:
    """Run the tests of all cases, and return 0 if each case has tests that passed and none that failed."""
    chosen = [node for nodes in CASES.values() for node in nodes]
    counts = _Counts(chosen)
    pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *chosen], plugins=[counts])
    shown = 0
    for case, nodes in CASES.items():
        passed, failed, skipped = (
            sum(counts.ended[node, outcome] for node in nodes) for outcome in ("passed", "failed", "skipped")
        )
        shown += bool(passed) and not failed
        state = "failed" if failed else "shown" if passed else "skipped"
        print(f"{state:<8} {passed:>4} passed, {failed} failed, {skipped} skipped  {case}")
    print(f"{shown} of {len(CASES)} cases shown")
    return 0 if shown == len(CASES) else 1


if __name__ == "__main__":
    sys.exit(main())
