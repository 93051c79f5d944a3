"""What a source is granted, and the code of its name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.encoded_names import encode
from iac_ci_common.errors import StoredUnreadable
from iac_ci_common.grants import EVERYTHING, Grant, Grants, own_folder, part_of

NAMES = st.text(max_size=90) | st.from_regex(r"[a-c_/.0-9-]{1,90}", fullmatch=True)


@given(NAMES, NAMES)
def test_two_names_never_have_one_code(one: str, other: str) -> None:
    codes = {encode(name, keep="/", shortest=2, longest=40) for name in (one, other, f"{one}_", f"{one}__{other}")}
    assert len(codes) == len({one, other, f"{one}_", f"{one}__{other}"})


@given(NAMES)
def test_a_code_has_the_characters_and_the_length_that_its_place_allows(name: str) -> None:
    code = encode(name, shortest=2, longest=64)
    assert re.fullmatch(r"[A-Za-z0-9._-]{2,64}", code)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("github.com/acme/infra", "github.com_2Facme_2Finfra"),
        ("git.example.com:8443/a_b", "git.example.com_3A8443_2Fa_5Fb"),
        ("ä", "_C3_A4"),
        ("x", "x__2d711642b726b04401627ca9"),
    ],
)
def test_a_code_is_the_documented_one(name: str, code: str) -> None:
    assert encode(name, shortest=2, longest=64) == code


def test_an_own_entry_replaces_the_one_for_all() -> None:
    grants = Grants(secrets={"*": ("all/*",), "one": ("one/*",)}, roles={"*": ("r",), "two": ()})
    assert grants.of("one") == Grant(("one/*",), ("r",))
    assert grants.of("two") == Grant(("all/*",), ())
    assert Grants().of("one") == Grant()


def test_a_sources_folder_is_reached_by_no_general_pattern() -> None:
    assert own_folder("github.com/acme/infra") == "sources/github.com_2Facme_2Finfra/"
    name = own_folder("other") + "token"
    assert Grant().allows_secret(name, "other")
    assert not EVERYTHING.allows_secret(name, "one")
    assert not Grant(("*",)).allows_secret("sources/onemore/token", "one")
    assert not Grant(("**", "*/other/*")).allows_secret(name, "one")
    assert Grant(("sources/other/*",)).allows_secret(name, "one")
    assert not Grant(("sources/**", "!sources/other/**")).allows_secret(name, "one")
    assert EVERYTHING.allows_secret("token", "one")


@pytest.mark.parametrize(
    ("patterns", "name", "allowed"),
    [
        (["team/*"], "team/token", True),
        (["team/*"], "team/admin/token", False),
        (["team/**"], "team/admin/token", True),
        (["team*"], "teams/token", False),
        (["team"], "team/token", False),
        (["*/token"], "team/token", True),
        (["*/token"], "team/admin/token", False),
        (["**"], "team/admin/token", True),
        (["*"], "team/admin/token", True),
        (["*", "!team/admin/**"], "team/admin/token", False),
        (["*", "!team/admin/**"], "team/token", True),
        (["!team/**"], "other", False),
        ([], "token", False),
    ],
)
def test_a_star_of_a_pattern_does_not_cross_a_slash(patterns: list[str], name: str, allowed: bool) -> None:
    assert Grant(secrets=tuple(patterns)).allows_secret(name, "one") == allowed
    arn = f"arn:aws:iam::210987654321:role/{name}"
    roles = tuple(p if p in {"*", "**"} else p.replace("!", "!arn:aws:iam::*:role/") if p[0] == "!"
                  else f"arn:aws:iam::*:role/{p}" for p in patterns)  # fmt: skip
    assert Grant(roles=roles).allows_role(arn) == allowed


@pytest.mark.parametrize("pattern", ["", "!", "team**", "a/**b", "[", "team\\"])
def test_a_pattern_that_is_not_valid_is_no_grant(pattern: str) -> None:
    for entries in ({"secrets": {"one": [pattern]}}, {"roles": {"one": [pattern]}}):
        with pytest.raises(StoredUnreadable, match="one"):
            Grants.from_stored(entries)


@given(st.text(max_size=20))
def test_every_name_has_one_part(name: str) -> None:
    assert re.fullmatch(r"[0-3][0-9a-f]", part_of(name))
