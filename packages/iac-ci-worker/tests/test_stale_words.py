"""Terraform's own refusals of a saved plan become one kind of answer; what only looks like them does not."""

from __future__ import annotations

import json

import pytest

from iac_ci_worker.stale_words import stale_reason

STATE = "the state has changed since it was made"
STALE = "Saved plan is stale"
COLOUR = "\x1b[31m╷\x1b[0m\x1b[0m\n\x1b[31m│\x1b[0m \x1b[0m\x1b[1m\x1b[31mError: \x1b[0m\x1b[0m\x1b[1m{}\x1b[0m\n"
RECORD = {"@level": "error", "type": "diagnostic", "diagnostic": {"severity": "error", "summary": STALE}}


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (f"\nError: {STALE}\n\nThe given plan file can no longer be applied\n", STATE),
        (f"╷\n│ Error: {STALE}\n│ \n╵\n", STATE),
        (COLOUR.format(STALE), STATE),
        (f"| Error: {STALE}\r\n", STATE),
        (json.dumps(RECORD) + "\n", STATE),
        (f"12:00:00.123 STDERR [a] terraform: │ Error: {STALE}\n", STATE),
        ("Error: Saved plan does not match the given state\n", "the state is not the one that it was made for"),
        ("Error: Failed to read plan from plan file\n", "this version of the tool cannot read it"),
        ('Error: Failed to load "p.bin" as a plan file\n', "this version of the tool cannot read it"),
        ("Error: Inconsistent dependency lock file\n", "the providers are not those that it was made with"),
        ("Error: Cannot apply incomplete plan\n", "it is not complete"),
        (
            'Error: The plan file describes changes to the "default" workspace, but the "other" …\n',
            "it was made for another workspace",
        ),
        (f"o = <<EOT\nhello\nEOT\nError: {STALE}\n", STATE),
        (f"$ terraform apply p.bin\n\nError: {STALE}\n\nError: something else\n", STATE),
    ],
)
def test_a_refusal_is_the_reason(log, why):
    assert stale_reason(log.encode(), None) == f"the plan is stale: {why}; plan it again with /iac-ci plan"


def test_the_way_on_is_what_made_the_plan():
    reason = stale_reason(f"Error: {STALE}\n".encode(), "/iac-ci preview")
    assert reason == f"the plan is stale: {STATE}; plan it again with /iac-ci preview"


@pytest.mark.parametrize(
    "log",
    [
        "",
        "Error: Invalid provider configuration\n",
        f"Warning: {STALE}\n",
        f"      + text = <<-EOT\n            Error: {STALE}\n        EOT\n",
        f"o = <<EOT\nError: {STALE}\nEOT\n",
        f"o = <<EOT\nError: {STALE}\n",
        f"o = <<EOT_\nEOT\nError: {STALE}\nEOT_\n",
        f"terraform_data.a (local-exec): Error: {STALE}\n",
        f"$ echo 'Error: {STALE}'\n",
        f"it said Error: {STALE}\n",
        json.dumps(RECORD | {"diagnostic": {"severity": "warning", "summary": STALE}}),
        json.dumps({"type": "diagnostic", "diagnostic": [STALE]}),
        '{"diagnostic": {"severity": "error", "summary": ' + "[" * 5000,
        f'{{"type":"outputs","outputs":{{"diagnostic":{{"value":"Error: {STALE}"}}}}}}',
    ],
)
def test_what_only_looks_like_a_refusal_is_none(log):
    assert stale_reason(log.encode(), None) is None
