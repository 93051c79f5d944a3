from __future__ import annotations

import re
import subprocess
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.globs import (
    Paths,
    check_branch_name,
    check_branch_pattern,
    check_path_pattern,
    check_pattern,
    check_something_can_match,
    escape,
    matches,
)

PATHS = [
    "README.md",
    "main.tf",
    ".hidden",
    ".github/workflows/ci.yml",
    "terraform/main.tf",
    "terraform/README.md",
    "terraform/network/main.tf",
    "terraform/network/.terraform.lock.hcl",
    "terraform/a/b/c/d/main.tf",
    "Terraform/main.tf",
    "terraform-old/main.tf",
    "docs/a.md",
    "docs/x/y/a.md",
    "modules/vpc1/x.tf",
    "modules/vpc2/x.tf",
    "modules/vpcA/x.tf",
]
PATTERNS = [
    "**",
    "*",
    "*.md",
    "**/*.md",
    "**/main.tf",
    "terraform/**",
    "terraform/*",
    "terraform/**/main.tf",
    "terraform/**/*",
    "terraform*/main.tf",
    "**/network/**",
    "docs/**/a.*",
    "modules/vpc?/x.tf",
    "modules/vpc[0-9]/x.tf",
    "modules/vpc[!0-9]/x.tf",
    "modules/vpc[1A]/*",
    "**/.*",
    "t*m/*/[m]*.tf",
    "**/a/**/d/**",
    "**/*/main.tf",
    "*/**/main.tf",
]


def test_a_pattern_matches_what_git_matches(tmp_path):
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "core.ignorecase=false"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    for pattern in PATTERNS:
        listed = subprocess.run(
            [*git, "ls-files", "-z", f":(glob){pattern}"], check=True, capture_output=True, text=True
        )
        assert sorted(path for path in PATHS if matches([pattern], path)) == sorted(listed.stdout.split("\0")[:-1]), (
            pattern
        )


@pytest.mark.parametrize(
    ("patterns", "path", "meant"),
    [
        (["terraform/**", "!**/*.md"], "terraform/main.tf", True),
        (["terraform/**", "!**/*.md"], "terraform/x/README.md", False),
        (["!**/*.md", "terraform/**"], "terraform/README.md", True),
        (["**", "!docs/**", "docs/keep/**"], "docs/keep/x", True),
        (["!**"], "x", False),
        (["release/*"], "release/1", True),
        (["release/*"], "release/1/2", False),
        (["release/**"], "release", False),
        (["main"], "main2", False),
        (["main"], "main\n", False),
        (["a\\*b"], "a*b", True),
        (["a\\*b"], "axb", False),
        (["\\!x"], "!x", True),
        (["a.c"], "abc", False),
        (["[]]"], "]", True),
        (["[^a]"], "b", True),
        (["[!]a]"], "]", False),
        (["[!]a]"], "b", True),
        (["[a-]"], "-", True),
        (["a/**/**/b"], "a/b", True),
        (["*a*b*"], "xxaxxbxx", True),
        (["*ab"], "aab", True),
        (["*a?b"], "aaxb", True),
        (["a*a"], "a", False),
        (["**/x/y"], "x/x/y", True),
        (["**/x/**/x/y"], "x/y", False),
    ],
)
def test_the_last_pattern_that_matches_decides(patterns, path, meant):
    assert matches(patterns, path) is meant
    assert Paths([path, "zzz"]).any_included([*patterns, "!zzz"]) is meant


@pytest.mark.parametrize(
    "pattern",
    [
        "/a",
        "a/",
        "a//b",
        "./a",
        "a/../b",
        "a**",
        "**.tf",
        "[a",
        "[]",
        "[!]",
        "a\\",
        "[z-a]",
        "",
        "!",
        "{a,b}/*",
        "a/{b/c,d}",
        "x{,y}",
    ],
)
def test_a_pattern_that_no_path_could_match_or_that_others_read_otherwise_is_refused(pattern):
    with pytest.raises(ValueError):
        check_path_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("refs/heads/main", "refs/heads/"),
        ("!refs/heads/main", "refs/heads/"),
        ("main ", "white space"),
        (" release/*", "white space"),
        ("a\tb", "white space"),
        ("^main$", "white space, ~, ^ or :"),
        ("acme:main", "white space, ~, ^ or :"),
        ("/^main$/", "white space, ~, ^ or :"),
        ("release/.*", "begins with a dot"),
        (".*", "begins with a dot"),
        ("release/", "empty segment"),
        ("/main", "empty segment"),
        ("a//b", "empty segment"),
        ("!release/", "empty segment"),
        ("[a", "without a ]"),
        ("!", "is empty"),
    ],
)
def test_a_pattern_that_no_branch_could_match_is_refused(pattern, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        check_branch_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "main",
        "!main",
        "release/*",
        "**",
        "**/x",
        "a/**",
        "v1.*",
        "[^a]x",
        "[!.]*",
        "x/[:~ ]y",
        "a$",
        "caf\u00e9",
        "?/x",
    ],
)
def test_a_pattern_that_a_branch_could_match_is_kept(pattern):
    assert check_branch_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "name", ["refs/heads/main", "main ", "release/*", "a?", "[ab]", "a\\b", "/main", "main/", ".main", "a~1"]
)
def test_what_no_branch_is_called_is_refused(name):
    with pytest.raises(ValueError):
        check_branch_name(name)
    for known in ("main", "release/1.0", "!x", "{a,b}", "caf\u00e9"):
        assert check_branch_name(known) == known


def test_exclusions_alone_are_refused():
    with pytest.raises(ValueError, match="exclusions only"):
        check_something_can_match(["!a", "!b"])


def test_an_exclusion_before_what_it_should_exclude_is_refused():
    with pytest.raises(ValueError, match="begins with an exclusion"):
        check_something_can_match(["!main", "**"])
    assert check_something_can_match(["**", "!main", "main"]) == ["**", "!main", "main"]


WORDS = st.text("ab/*?.", min_size=1, max_size=10)


def _slow(pattern: str, path: str) -> bool:
    """The meaning written down as plainly as possible, whatever it costs."""

    @cache
    def whole(patterns: tuple[str, ...], segments: tuple[str, ...]) -> bool:
        if not patterns:
            return not segments
        if patterns[0] != "**":
            return bool(segments) and one(patterns[0], segments[0]) and whole(patterns[1:], segments[1:])
        least = 1 if set(patterns) == {"**"} else 0
        return any(whole(patterns[1:], segments[taken:]) for taken in range(least, len(segments) + 1))

    @cache
    def one(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(one(pattern[1:], text[taken:]) for taken in range(len(text) + 1))
        return bool(text) and pattern[0] in {"?", text[0]} and one(pattern[1:], text[1:])

    # A row of ** at the end needs one segment, not one each.
    return whole(tuple(re.sub(r"\*\*(/\*\*)+", "**", pattern).split("/")), tuple(path.split("/")))


@given(WORDS, st.text("ab/.", min_size=1, max_size=10))
def test_matching_means_what_the_slow_way_means(pattern, path):
    try:
        check_pattern(pattern)
    except ValueError:
        assert "**" in pattern
        return
    assert matches([pattern], path) is _slow(pattern, path)


@given(st.lists(WORDS, min_size=1, max_size=3), st.lists(st.text("ab/.", min_size=1, max_size=6), max_size=6))
def test_many_paths_are_found_as_one_by_one(patterns, paths):
    patterns = [pattern for pattern in patterns if "**" not in pattern] or ["a"]
    assert Paths(paths).any_included(patterns) is any(matches(patterns, path) for path in paths)


@given(st.text(min_size=1).filter(lambda text: "/" not in text))
def test_escaped_text_matches_itself_alone(text):
    assert matches([escape(text)], text)
    assert not matches([escape(text)], text + "a")


def test_a_pattern_made_to_be_slow_is_not():
    # With backtracking each of these would not end within years.
    assert not matches(["*a" * 500 + "b"], "a" * 4000)
    assert not matches(["/".join(["**/*a*"] * 200) + "/**/b"], "/".join(["xax"] * 2000))
