"""Plans to destroy, on hosts that behave like GitHub, GitLab and Bitbucket: asked for, shown, applied as reviewed."""

from __future__ import annotations

import pytest

from .test_after_merge import FILES, PLAIN, Merged, code_of, kind, project

__all__ = ["kind", "project"]

BY_COMMENT = b"""
version: 1
projects:
  - {find: "live/*/main.tf", replan_when_stale: true}
"""
DESTROY = "/iac-ci plan live/net -destroy"
COUNTED: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _summary():
    yield
    hosts = len({one.split()[0] for one in COUNTED})
    applied = sum(one.endswith("applied") for one in COUNTED)
    print(
        f"plans to destroy: {applied} applied as reviewed on {hosts} hosts, by the comment that names the project or by"
        f" the merge; {len(COUNTED) - applied} by no name or after other changes: 0 applied"
    )


@pytest.fixture
def configuration():
    return BY_COMMENT


@pytest.fixture
def merged(host, project, monkeypatch):
    found = Merged(host, project, monkeypatch)
    found.command(DESTROY)
    found.planned()
    return found


def test_it_is_planned_shown_and_applied_by_the_comment_that_names_it(merged, kind):
    assert merged.labels == ["plan", "plan"]
    reviewed = merged.record()
    assert (reviewed.saved.planned.destroys, reviewed.replans) == (True, False)
    assert [body for body in merged.comments() if "a plan to destroy, asked for by" in body]
    statuses = {one.context for one in merged.project.statuses(reviewed.commit)}
    assert "iac-ci/plan/live/net" in statuses
    merged.command("/iac-ci apply")
    assert merged.labels == ["plan", "plan"]
    assert any("destroys all that it has; apply it with /iac-ci apply live-net" in body for body in merged.comments())
    merged.command("/iac-ci apply live/net")
    assert merged.labels == ["plan", "plan", "apply"]
    (applied,) = merged.last.projects.values()
    assert applied.saved.planned == reviewed.saved.planned
    assert code_of(merged, merged.last) == [reviewed.saved.code_sha256]
    COUNTED.extend((f"{kind} unnamed refused", f"{kind} applied"))


def test_one_project_is_named(merged, kind):
    before = merged.labels
    merged.command("/iac-ci plan -destroy")
    assert merged.labels == before
    assert any("names no project; write /iac-ci plan PROJECT -destroy" in body for body in merged.comments())


@pytest.mark.parametrize("configuration", [PLAIN])
def test_the_merge_applies_it_where_the_files_are_those_that_were_planned(merged, kind):
    reviewed = merged.record()
    merged.merge("squash")
    assert merged.labels == ["plan", "plan", "apply"]
    (applied,) = merged.last.projects.values()
    assert applied.saved.planned == reviewed.saved.planned
    merged.command("/iac-ci plan live/net -destroy")
    assert merged.labels == ["plan", "plan", "apply"]
    assert any("-destroy is for open ones" in body for body in merged.comments())
    COUNTED.append(f"{kind} merged applied")


@pytest.mark.parametrize("configuration", [PLAIN])
def test_after_the_merge_of_other_files_nothing_is_destroyed(merged, kind):
    merged.project.repository.commit("main", {"modules/vpc/main.tf": FILES["modules/vpc/main.tf"] + b"# 2\n"}, "more")
    merged.merge("squash")
    assert merged.labels == ["plan", "plan", "plan"]
    merged.planned()
    assert not merged.record().saved.planned.destroys
    assert "TF_CLI_ARGS_plan" not in merged.last.job.orders[0].env_vars
    COUNTED.append(f"{kind} merged refused")
