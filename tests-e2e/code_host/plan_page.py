"""Makes ``docs/pull-request.png``: ``uv run --no-sync python tests-e2e/code_host/plan_page.py docs/pull-request.png``.

A second argument names the host: ``… plan_page.py docs/pull-request-gitlab.png gitlab``.

It shows the local code host's page with plans. They are samples of `packages/iac-ci-plans/tests/corpus`, read and
rendered as the worker and the orchestrator do.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests-e2e"))

from diagram.chromium import Page, chromium  # noqa: E402 - after the path is set

from iac_ci_common.models.rows import OrderRow, ReportTarget  # noqa: E402
from iac_ci_common.states import OrderState, RunState  # noqa: E402
from iac_ci_common.testing.samples import START, order_row, run_row  # noqa: E402
from iac_ci_local.fake_hosts.demo import ENGINE, NUMBER, SHAPES, Demo  # noqa: E402
from iac_ci_plans import PlanReader  # noqa: E402
from iac_ci_vcs.provider import CommentStyle, CommitStatus  # noqa: E402
from iac_ci_vcs.reporting import OrderPlan, commit_status, render  # noqa: E402

SAMPLES = {
    "network": "recorded-plan-then-show-colour.txt",
    "cluster": "terragrunt-0.73.0-runall-plan.txt",
    "dns": "recorded-check-warning-colour.txt",
    "idle": "opentofu-1.12.6-plan-nothing.txt",
}
_SHOWN = """new Promise((done) => {
  const look = () => (document.querySelector("details, pre code") ? done(true) : requestAnimationFrame(look));
  look();
})"""


def report(kind: str = "github") -> tuple[str, CommitStatus]:
    """Return the comment, in the style of a host, and the commit's status of a run with the samples' plans."""
    orders: list[OrderRow] = []
    plans: list[OrderPlan] = []
    for number, (name, sample) in enumerate(SAMPLES.items(), 1):
        reader = PlanReader()
        reader.feed((ROOT / "packages" / "iac-ci-plans" / "tests" / "corpus" / sample).read_bytes())
        reading = reader.result()
        ended = {"started_at": START, "ended_at": START + timedelta(seconds=20 + number), "changes": reading.changes}
        row = order_row(number, status=OrderState.SUCCEEDED).model_copy(update={"order_name": name, **ended})
        orders.append(row)
        text = reading.text(str)
        if text is not None and reading.changes is not None and not reading.changes.is_nothing:
            plans.append(OrderPlan(row.order_num, text))
    run = run_row(
        status=RunState.SUCCEEDED,
        job_name="plan",
        target="production",
        actor="mona",
        commit_hash="4f2d1c0b9a8e7d6c5b4a39281706f5e4d3c2b1a0",
        report=ReportTarget(repository="https://example.com/demo/infrastructure", number=NUMBER),
    )
    status = commit_status(run, orders)
    assert status is not None
    return render(run, orders, plans=plans, style=CommentStyle(has_html=SHAPES[kind].has_html)), status


@contextmanager
def page_with(body: str, status: CommitStatus, kind: str = "github") -> Iterator[Page]:
    """Show the pull request's page with a comment and a status of the engine in a browser."""
    with tempfile.TemporaryDirectory() as name, chromium() as page:
        folder = Path(name)
        for part, content in (("base", "# before\n"), ("change", "# after\n")):
            (folder / part).mkdir()
            (folder / part / "main.tf").write_text(content, "utf-8")
        with Demo(folder, base=folder / "base", change=folder / "change", kind=kind) as demo:
            demo.project.write_comment(NUMBER, ENGINE, body)
            head = demo.project.repository.head("change")
            state, description = status.state.value, status.description
            demo.project.set_status(
                head, ENGINE, state=state, context=status.context, description=description, target_url=None
            )
            page.show(width=1000, height=1380)
            page.go(demo.page)
            page.run(_SHOWN)
            yield page


def main() -> None:
    """Write the picture, with the first plan open where plans are collapsed."""
    kind = sys.argv[2] if len(sys.argv) > 2 else "github"
    with page_with(*report(kind), kind) as page:
        page.run("document.querySelectorAll('details').forEach((one, index) => (one.open = index === 0))")
        Path(sys.argv[1]).write_bytes(page.picture(whole=False))
    print(f"{sys.argv[1]}: {len(SAMPLES)} orders, the first plan open, on {SHAPES[kind].name}")


if __name__ == "__main__":
    main()
