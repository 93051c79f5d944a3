"""The source and the documents do without the words of ``words.toml``."""

from __future__ import annotations

import re

import pytest

from words.count import count, load, places


@pytest.fixture(scope="module")
def counted():
    return count()


def test_no_word_is_left_outside_the_exceptions(counted):
    broken, _ = counted
    assert not broken, "\n".join(f"{place.path}:{place.line}: {place.text[:120]}" for place in broken[:50])


def test_each_exception_has_a_reason_and_is_used(counted):
    _, allowed = counted
    for entry in load("exceptions.toml"):
        assert len(entry["reason"]) > 20, entry
        used = [place for place in allowed if re.fullmatch(entry["path"], place.path)]
        assert any(re.search(entry["text"], place.text) for place in used), entry


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("docs/page.md", "Whoever sends a job is told so.\n"),
        ("packages/a/src/a/doors.py", ""),
        ("packages/a/src/a/http.py", "def door():\n    pass\n"),
        ("packages/a/src/a/http.py", 'def answer():\n    """Give an answer."""\n'),
        ("packages/a/src/a/http.py", 'MESSAGE = "the door failed"\n'),
        ("packages/a/src/a/http.py", "def f(what):\n    place = what\n"),
    ],
)
def test_the_count_finds(path, text):
    assert list(places(path, text, load("words.toml")))


def test_the_count_does_not_find_ordinary_words():
    text = 'def read(path):\n    """Return the text of a file."""\n    content = path.read_text()\n    return content\n'
    assert not list(places("packages/a/src/a/files.py", text, load("words.toml")))
