"""Which version follows which change, and which packages are released with another."""

from __future__ import annotations

from pathlib import Path

import pytest

from releases.package import Fragment, Package
from releases.plan import plan
from releases.versions import Kind, allows, bounds, next_version


@pytest.mark.parametrize(
    ("version", "kind", "after"),
    [
        ("0.1.0", Kind.BREAKING, "0.2.0"),
        ("0.1.4", Kind.ADDED, "0.1.5"),
        ("0.1.4", Kind.FIXED, "0.1.5"),
        ("1.2.3", Kind.BREAKING, "2.0.0"),
        ("1.2.3", Kind.ADDED, "1.3.0"),
        ("1.2.3", Kind.FIXED, "1.2.4"),
    ],
)
def test_the_next_version_follows_the_kind(version, kind, after):
    assert next_version(version, kind) == after
    assert allows(bounds(version), version)
    assert allows(bounds(version), after) == (kind is not Kind.BREAKING)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.1.0", ">=0.1,<0.2"), ("0.1.10", ">=0.1.10,<0.2"), ("1.2.3", ">=1.2.3,<2"), ("2.0.0", ">=2.0,<3")],
)
def test_bounds_begin_with_what_was_tested_and_end_before_the_next_breaking_version(version, expected):
    assert bounds(version) == expected


def package(name, version="0.1.0", *, kinds=(), **siblings):
    fragments = tuple(Fragment(Path(f"{kind}.md"), kind, f"{name} {kind}") for kind in kinds)
    needs = {f"iac-ci-{sibling}": specifier for sibling, specifier in siblings.items()}
    return Package(f"iac-ci-{name}", Path(name), version, needs, fragments, ())


def released(*packages, unreleased=()):
    found = {one.name: one for one in packages}
    releases = plan(found, found.keys() - set(unreleased))
    return {one.package.name: (one.after, [entry.text for entry in one.entries], one.siblings) for one in releases}


def test_a_package_without_fragments_is_not_released():
    assert released(package("common"), package("cli", common=">=0.1,<0.2")) == {}


def test_what_no_user_notices_causes_no_release_and_is_no_entry():
    assert released(package("common", kinds=[Kind.INTERNAL])) == {}
    assert released(package("common", kinds=[Kind.INTERNAL, Kind.FIXED])) == {
        "iac-ci-common": ("0.1.1", ["common fixed"], {})
    }


def test_breaking_changes_are_listed_first():
    (one,) = released(package("common", kinds=[Kind.FIXED, Kind.ADDED, Kind.BREAKING])).values()
    assert one[:2] == ("0.2.0", ["common breaking", "common added", "common fixed"])


def test_a_breaking_release_takes_with_it_the_packages_whose_bounds_end_before_it():
    found = released(
        package("common", kinds=[Kind.BREAKING]),
        package("vcs", "0.3.4", common=">=0.1,<0.2"),
        package("cli", common=">=0.1,<0.2", vcs=">=0.3,<0.4"),
        package("plans"),
    )
    assert found == {
        "iac-ci-common": ("0.2.0", ["common breaking"], {}),
        "iac-ci-vcs": ("0.3.5", ["Needs iac-ci-common 0.2.0 or newer."], {"iac-ci-common": ">=0.2,<0.3"}),
        "iac-ci-cli": (
            "0.1.1",
            ["Needs iac-ci-common 0.2.0 or newer."],
            {"iac-ci-common": ">=0.2,<0.3", "iac-ci-vcs": ">=0.3.5,<0.4"},
        ),
    }


def test_a_released_package_needs_the_siblings_that_it_was_tested_with():
    found = released(package("common", "0.1.7"), package("cli", common=">=0.1.2,<0.2", kinds=[Kind.FIXED]))
    assert found == {"iac-ci-cli": ("0.1.1", ["cli fixed"], {"iac-ci-common": ">=0.1.7,<0.2"})}


def test_a_first_release_has_the_version_that_was_never_released():
    found = released(
        package("common", kinds=[Kind.BREAKING]), package("cli", common=">=0.1,<0.2"), unreleased=["iac-ci-common"]
    )
    assert found == {"iac-ci-common": ("0.1.0", ["common breaking"], {})}
