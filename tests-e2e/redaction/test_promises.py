"""What the documents promise of masking, beside the corpus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench import redaction as bench
from selection import FULL

from iac_ci_common.redaction import Redactor
from iac_ci_common.redaction.secret_values import PLAIN_KEYS
from redaction import test_corpus

ROOT = Path(__file__).resolve().parents[2]


def test_the_plain_keys_are_documented():
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    listed = text.partition("<!-- plain keys -->")[2].partition(".<!-- end of plain keys -->")[0]
    assert {re.sub(r"\s", "", key) for key in listed.split(",")} == set(PLAIN_KEYS)


@pytest.mark.slow
def test_no_mask_in_ordinary_output():
    """Ten megabytes in every run, fifty in a full one."""
    output = bench.terraform_output(50 if FULL else 10, seed=7)
    texts = [test_corpus.text_of(value) for value in test_corpus.VALUES.values()]
    redactor = Redactor([*bench.secret_sets()["200, a PEM key, a kubeconfig"], *texts])
    masked = b"".join(redactor.feed(output[start : start + 65_536]) for start in range(0, len(output), 65_536))
    assert masked + redactor.finish() == output


def test_the_benchmark_measures_every_set_of_secrets():
    measured = list(bench.measure(1, 1))
    assert [row["secrets"] for row in measured] == [*bench.secret_sets()] * 2
    assert all(row["cat / masked and read"] > 0 for row in measured)
