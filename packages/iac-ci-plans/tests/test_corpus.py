"""Every sample of the corpus is read right, whole, in small chunks, and beside other output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iac_ci_common.models.changes import Changes
from iac_ci_plans import PlanReader

HERE = Path(__file__).parent
SAMPLES = json.loads((HERE / "corpus.json").read_text("utf-8"))


def read(data, size=1 << 20):
    reader = PlanReader()
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    return reader.result()


def sample(name):
    return (HERE / "corpus" / name).read_bytes()


def expected(name):
    counts = SAMPLES[name]["changes"]
    return None if counts is None else Changes.model_validate(counts)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_has_the_right_counts(name):
    assert read(sample(name)).changes == expected(name)


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("name", SAMPLES)
def test_chunks_make_no_difference(name, size):
    reading, whole = read(sample(name), size), read(sample(name))
    assert reading.changes == whole.changes
    assert reading.text(str) == whole.text(str)


@pytest.mark.parametrize("name", SAMPLES)
def test_other_output_around_a_plan_makes_no_difference(name):
    noise = b"Downloading... 3 %\n+ echo done\n\x1b[1mok\x1b[0m\n\n"
    assert read(noise + sample(name) + b"\n" + noise).changes == expected(name)


def test_the_corpus_is_whole_and_says_where_each_sample_is_from():
    assert {path.name for path in (HERE / "corpus").iterdir()} == set(SAMPLES)
    assert len(SAMPLES) >= 60
    for name, about in SAMPLES.items():
        assert about["made"] in {"run", "source"}, name
        assert about["tool"], name
        assert about["version"], name
        assert about["made"] == "run" or about["source"], name
