"""What comments say about a plan that is stale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_common.models.saved_plan import PlannedFile, PlanRecord, ProjectApply, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_vcs.provider import CommentStyle
from iac_ci_vcs.reporting.stale_plan import render_stale

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BY = ProjectApply(run_id="20260101T000000-aaaaaaaaaaaa", order_num="0001", pull_request=12, began_at=NOW)


def record(**fields):
    saved = SavedPlan(
        run_id="20251231T000000-bbbbbbbbbbbb",
        order_num="0001",
        order_name="plan-network",
        file="iac-ci.tfplan",
        planned=PlannedFile(sha256="b" * 64, tool="terraform"),
        files=Sealed(sha256="c" * 64, size=10, identity="YQ=="),
        generation=0,
    )
    whole = {
        "key": f"plan:github.com/acme/infra#7#{'a' * 64}",
        "project": "a" * 64,
        "name": "live/network",
        "pull_request": 7,
        "repository": "https://github.com/acme/infra.git",
        "commit": "d" * 40,
        "base": "main",
        "saved": saved,
        "planned_at": NOW,
        "usable_until": NOW + timedelta(days=13),
        "expires_at": NOW + timedelta(days=14),
    }
    return PlanRecord(**(whole | fields))


@pytest.mark.parametrize(
    ("fields", "way"),
    [
        ({"planner": "/iac-ci look live-network"}, "Plan it again with the comment `/iac-ci look live-network`."),
        ({"planner": "a new commit"}, "Plan it again with a new commit."),
        ({"job": "preview"}, "Plan it again with the comment `/iac-ci preview`."),
    ],
)
def test_the_comment_names_what_makes_the_plan_again(fields, way):
    text = render_stale(record(**fields), BY, CommentStyle())
    assert text.endswith(way)
    by_itself = render_stale(record(**fields), BY, CommentStyle(), replans=True)
    with_what = way.removeprefix("Plan it again with ")
    assert by_itself.endswith(f"The engine plans it again. If no new plan follows, plan it with {with_what}")
    assert f"Pull request 12 applied the project (run `{BY.run_id}`)" in text
