from __future__ import annotations

import pytest

from iac_ci_common.command_lines import command_line, stack_option


@pytest.mark.parametrize(
    ("stack", "line"), [("iac-ci", "iac-ci logs RUN plan"), ("acme", "iac-ci logs RUN plan --stack acme")]
)
def test_a_command_line_names_every_stack_but_the_default(stack, line):
    assert command_line("logs", "RUN", "plan", options=stack_option(stack)) == line
