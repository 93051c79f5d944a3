from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.tool_versions import Choice, Constraint, Request, Version, choose

PUBLISHED = [Version.parse(text) for text in ("1.9.8", "1.10.0", "1.10.5", "1.11.4", "1.12.0-rc1", "2.0.0")]
numbers = st.integers(0, 30)
versions = st.builds(lambda *parts: Version.parse(".".join(map(str, parts))), numbers, numbers, numbers)


def parsed(text):
    return Version.parse(text)


@pytest.mark.parametrize(
    ("constraint", "allowed", "refused"),
    [
        ("1.11.4", "1.11.4", "1.11.5"),
        ("= 1.5", "1.5.0", "1.5.1"),
        ("!= 1.5.0", "1.5.1", "1.5"),
        (">= 1.5", "1.5.0", "1.4.9"),
        ("> 1.5", "1.5.1", "1.5.0"),
        ("<= 1.5", "1.5.0", "1.5.1"),
        ("< 1.10", "1.9.8", "1.10.0"),
        ("~> 1.5", "1.99.0", "2.0.0"),
        ("~> 1.5.3", "1.5.9", "1.6.0"),
        ("~> 1.5.3", "1.5.3", "1.5.2"),
        ("~> 1.5.0", "1.5.9", "1.6.0"),
        ("~> 1", "7.0.0", "0.15.0"),
        (">= 1.5, < 2.0", "1.11.4", "2.0.0"),
        (">=1.5,!=1.6.0", "1.6.1", "1.6.0"),
        ("v1.2.3", "1.2.3", "1.2.4"),
        ("~> 1.12.0", "1.12.0-rc1", "1.13.0-rc1"),
    ],
)
def test_constraints_allow_what_terraform_allows(constraint, allowed, refused):
    found = Constraint.parse(constraint)
    assert found.allows(parsed(allowed)), allowed
    assert not found.allows(parsed(refused)), refused


@pytest.mark.parametrize(
    "text", ["", "1.x", ">= ", "=> 1.5", "~ 1.5", ">= 1.5 < 2", ">= 1.5,", "> 1.2-rc1", "1." + "9" * 70, "> 1" * 999]
)
def test_what_is_no_constraint_is_refused(text):
    with pytest.raises(ValueError, match=r"not a constraint|not a version|more than|pre-release"):
        Constraint.parse(text)


@pytest.mark.parametrize("parse", [Version.parse, Request.parse, Constraint.parse])
@pytest.mark.parametrize("text", ["plantedS3cret", "planted" * 999, ">= 1, planted", "~> planted", "> 1.2-planted"])
def test_no_text_that_may_be_a_secret_is_repeated(parse, text):
    with pytest.raises(ValueError, match=r"like (?:1|>)|more than|pre-release") as refused:
        parse(text)
    assert "planted" not in str(refused.value)


@given(versions, versions)
def test_versions_have_one_order(first, second):
    assert (first < second) + (first == second) + (first > second) == 1
    assert Constraint.parse(f">= {first}").allows(second) is (second >= first)
    assert Constraint.parse(f">= {first}").allows(second) is not Constraint.parse(f"< {first}").allows(second)


@given(versions, versions)
def test_the_pessimistic_operator_is_two_bounds(wanted, found):
    major, minor, _ = wanted.numbers
    three = Constraint.parse(f">= {wanted}, < {major}.{minor + 1}.0")
    two = Constraint.parse(f">= {major}.{minor}, < {major + 1}.0.0")
    assert Constraint.parse(f"~> {wanted}").allows(found) is three.allows(found)
    assert Constraint.parse(f"~> {major}.{minor}").allows(found) is two.allows(found)


def test_pre_releases_come_before_their_release():
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc1", "1.0.0"]
    found = sorted(map(parsed, reversed(texts)))
    assert list(map(str, found)) == texts


@pytest.mark.parametrize(
    ("request_text", "constraint", "own", "chosen"),
    [
        ("1.10.5", None, "1.11.4", "1.10.5"),
        ("v1.10.5", None, "1.11.4", "1.10.5"),
        ("1.11.4", None, "1.11.4", None),
        ("3.0.0", None, "1.11.4", "3.0.0"),  # the publisher is asked for it, and says that there is none
        ("1.12.0-rc1", None, "1.11.4", "1.12.0-rc1"),
        ("latest", None, "1.11.4", "2.0.0"),
        ("latest", "~> 1.10.0", "1.11.4", "2.0.0"),
        (r"latest:^1\.10\.", None, "1.11.4", "1.10.5"),
        ("latest:^1.1[01]", None, None, "1.11.4"),
        ("latest-allowed", "~> 1.10.0", "1.11.4", "1.10.5"),
        ("latest-allowed", "~> 1.5", "1.11.4", None),
        ("min-required", ">= 1.10", "1.11.4", "1.10.0"),
        (None, ">= 1.5", "1.11.4", None),
        (None, ">= 1.5", None, "2.0.0"),
        (None, "< 1.11", "1.11.4", "1.10.5"),
    ],
)
def test_what_a_request_chooses(request_text, constraint, own, chosen):
    request = None if request_text is None else Request.parse(request_text)
    constraints = [Constraint.parse(constraint)] if constraint else []
    found = choose(request, constraints, parsed(own) if own else None, lambda: PUBLISHED)
    assert (None if found is None else str(found)) == chosen


def test_an_exact_version_asks_no_one():
    def never():
        raise AssertionError

    assert choose(Request.parse("1.5.0"), [], None, never) == parsed("1.5.0")
    assert choose(None, [Constraint.parse(">= 1")], parsed("1.5.0"), never) is None


@pytest.mark.parametrize(
    ("request_text", "constraint", "problem"),
    [
        ("latest-allowed", None, "has no required_version"),
        ("min-required", None, "has no required_version"),
        ("min-required", "> 9", "none of the published"),
        (r"latest:^7\.", None, "none of the published"),
        (None, "~> 1.12.0", "none of the published"),
    ],
)
def test_what_cannot_be_chosen_says_why(request_text, constraint, problem):
    request = None if request_text is None else Request.parse(request_text)
    with pytest.raises(ValueError, match=problem):
        choose(request, [Constraint.parse(constraint)] if constraint else [], None, lambda: PUBLISHED)


@pytest.mark.parametrize(
    "text", ["", "1.x", "newest", "latest:", "latest: 1", "latest:(a+)+$", "latest:[", ">= 1.5", "~1.5", "1.5\n"]
)
def test_other_requests_are_refused_with_what_to_write(text):
    with pytest.raises(ValueError, match=r"like latest|latest-allowed or min-required"):
        Request.parse(text)


def test_a_request_keeps_its_choice():
    assert [Request.parse(text).choice for text in ("1.5", "latest", "latest-allowed", "min-required")] == list(Choice)
