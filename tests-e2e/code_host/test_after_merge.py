"""What is applied after a merge, on hosts that behave like GitHub, GitLab and Bitbucket: by content, not by commit.

The engine fetches with git, so the code of an apply is compared with the code that was planned, by its digest.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from iac_ci_common.keys import project_state
from iac_ci_common.models.saved_plan import PlannedFile, PlanRecord, ProjectApply, SavedPlan
from iac_ci_common.models.sealed import Sealed
from iac_ci_common.project_states import begun, ended, new_state
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_local.fake_hosts.project import Person, Project
from iac_ci_local.fake_hosts.repository import HostedRepository
from iac_ci_vcs import gitlab, http_session

from .conftest import AUTHOR, ENGINE
from .engine import Engine

ANN = Person(21, "ann")
CONFIGURATION = """
version: 1
projects:
  - find: "live/*/main.tf"
    apply: {{on: merge{more}}}
"""
PLAIN = CONFIGURATION.format(more="").encode()
LANDINGS = ("merge", "squash", "rebase", "fast-forward")
FILES = {
    "live/net/main.tf": b'module "m" { source = "../../modules/vpc" }\n',
    "live/dns/main.tf": b"# 1\n",
    "modules/vpc/main.tf": b"# 1\n",
}


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


@pytest.fixture
def configuration():
    return PLAIN


def _is_to_destroy(orders, name):
    """Return what Terraform makes of the variables of an order that plans."""
    (variables,) = [order.env_vars for order in orders if order.order_name == name]
    return "-destroy" in variables.get("TF_CLI_ARGS_plan", "").split()


class Merged:
    """An engine that fetches, and a pull request that changes a project and was planned."""

    def __init__(self, host, project, monkeypatch, **connection):
        self.engine = Engine(
            host, project, datetime.now(UTC).replace(microsecond=500_000), fetches=True, branches=["main"], **connection
        )
        self.project, self.host = project, host
        project.now = self.engine.clock.now
        for module in (http_session, gitlab):
            monkeypatch.setattr(module, "pause", self.engine.clock.advance)
        self.open("change", {"live/net/main.tf": FILES["live/net/main.tf"] + b"# 2\n"})
        self.open_event(1)

    def open(self, branch, files):
        """Open a pull request with two commits and return its number."""
        git = self.project.repository
        first, *rest = files.items()
        git.commit(branch, {"README": branch.encode()}, "first", start="main")
        git.commit(branch, dict([first, *rest]), "second")
        pull = self.project.open_pull_request(title="t", author=AUTHOR, head_branch=branch, base_branch="main")
        return pull.number

    def open_event(self, number):
        self.engine.activity.opened(number)
        self.later()
        self.planned(number)

    def later(self, seconds=10):
        self.engine.clock.advance(seconds)

    def planned(self, number=1, **fields):
        """Enter the plans of the newest run as the orchestrator does at its end."""
        stored, now = self.engine.jobs[-1], self.engine.clock.now()
        rows = {row.order_name: row for row in self.engine.runs.read(stored.run_id).orders}
        for name, project in stored.projects.items():
            order = rows[name]
            states = self.engine.plans.project_states
            known = states.get(project_state(project.key))
            saved = SavedPlan(
                run_id=stored.run_id, order_num=order.order_num, order_name=name, file=project.file,
                planned=PlannedFile(
                    sha256=f"{len(self.engine.jobs):064x}", tool="terraform", workspace="default",
                    destroys=_is_to_destroy(stored.job.orders, name),
                ),
                files=Sealed(sha256="c" * 64, size=10, identity="YQ=="),
                generation=known.generation if known is not None else 0,
                code_sha256=order.code_sha256,
            )  # fmt: skip
            record = {
                "key": project.record, "project": project.key, "name": project.name, "pull_request": number,
                "repository": stored.job.git_repo, "commit": stored.job.commit_hash, "base": stored.scope.base,
                "merge_into": stored.scope.merge_into, "configuration": stored.scope.configuration, "saved": saved,
                "planner": project.planner, "replans": project.replans,
                "planned_at": now, "usable_until": now + timedelta(days=13), "expires_at": now + timedelta(days=14),
            }  # fmt: skip
            self.engine.plans.plan_records[project.record] = PlanRecord(**(record | fields))
        self.later()

    def applied(self, status="succeeded"):
        """Let the applies of the newest run begin and end."""
        stored, now = self.engine.jobs[-1], self.engine.clock.now()
        for project in stored.projects.values():
            key = project_state(project.key)
            apply = ProjectApply(
                run_id=stored.run_id, order_num="0001", pull_request=stored.job.pr_number, began_at=now,
                plan_sha256=project.saved.planned.sha256,
            )  # fmt: skip
            state = self.engine.plans.project_states.get(key) or new_state(key, now)
            state = begun(state, apply, project.saved.generation, now)
            assert state is not None
            self.engine.plans.project_states[key] = ended(state, apply.model_copy(update={"status": status}), now)

    def merge(self, how="merge", number=1, **fields):
        self.engine.activity.merge(number, how, **fields)
        self.later()

    def command(self, text, person=AUTHOR, number=1):
        self.engine.activity.comment(number, person, text)
        self.later()

    @property
    def labels(self):
        """Return the jobs that were started, in their order."""
        return [stored.job.flow_label for stored in self.engine.jobs]

    @property
    def last(self):
        return self.engine.jobs[-1]

    def record(self, number=1):
        (found,) = [one for one in self.engine.plans.plan_records.values() if one.pull_request == number]
        return found

    def comments(self, number=1):
        bodies = [one.body for one in self.project.comments(number) if one.author == ENGINE]
        return [re.sub(r"\\([^\w\s])\u200b?|\u200b", r"\1", body) for body in bodies]

    def left_out(self, number=1):
        """Return what the pull request shows of what was not applied after its merge."""
        found = [body for body in self.comments(number) if "iac-ci:notice:after-merge" in body or "not applied" in body]
        return "\n".join(body for body in self.comments(number) if "after-merge" in body) or "\n".join(found)


@pytest.fixture
def project(tmp_path, configuration, kind):
    repository = HostedRepository.create(tmp_path / "bare.git")
    repository.commit("main", {".iac-ci.yml": configuration, **FILES}, "base")
    rights = {"engine": "write", "author": "admin", "ann": "write", "stranger": "read"}
    project = Project("demo", "pets", repository, {"engine-token": ENGINE}, rights)
    project.rebases_heads = kind == "gitlab"
    return project


@pytest.fixture
def merged(host, project, monkeypatch):
    return Merged(host, project, monkeypatch)


def code_of(merged, stored):
    return [row.code_sha256 for row in merged.engine.runs.read(stored.run_id).orders]


COUNTED: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _summary():
    yield
    refused = [one for one in COUNTED if one.endswith("refused")]
    print(
        f"after the merge: {len(COUNTED) - len(refused)} ways to merge on"
        f" {len({one.split()[0] for one in COUNTED})} hosts applied the reviewed plan once; {len(refused)} that made"
        " other files were planned at the base's commit, and nothing was applied"
    )


@pytest.mark.parametrize("how", LANDINGS)
def test_the_reviewed_plan_is_applied_once_however_the_host_merges(merged, kind, how):
    reviewed = merged.record()
    if how != "fast-forward":
        merged.project.repository.commit("main", {"live/dns/more.tf": b"# other\n", "docs/x": b"1\n"}, "another's")
    merged.project.landing_seconds = 8
    merged.merge(how)
    assert merged.labels == ["plan", "apply"]
    stored = merged.last
    (project,) = stored.projects.values()
    assert project.saved.planned.sha256 == reviewed.saved.planned.sha256
    assert code_of(merged, stored) == [reviewed.saved.code_sha256]
    (shown,) = [body for body in merged.comments() if "### apply" in body]
    newest = merged.project.repository.head("main")
    assert f"applied because pull request 1 was merged into main at {newest[:12]}: live/net" in shown
    assert not merged.left_out()
    # The same event again, and the push of the merge, are about the same thing.
    merged.engine.activity._send(_event_again(merged))
    assert merged.labels == ["plan", "apply"]
    COUNTED.append(f"{kind} {how}")


def _event_again(merged):
    from iac_ci_local.fake_hosts.shape import Change, Happened

    pull = merged.project.pull_request(1)
    return Happened(Change.MERGED, pull, pull.author)


@pytest.mark.parametrize(
    ("how", "path"), [("merge", "live/net/more.tf"), ("squash", "modules/vpc/main.tf"), ("rebase", "live/net/more.tf")]
)
def test_what_the_merge_makes_of_other_files_is_planned_and_not_applied(merged, kind, how, path):
    merged.project.repository.commit("main", {path: b"# another\n"}, "another's")
    merged.merge(how)
    assert merged.labels == ["plan", "plan"]
    newest = merged.project.repository.head("main")
    assert (merged.last.job.commit_hash, merged.last.job.pr_number) == (newest, 1)
    assert f"main at {newest[:12]} differs from what was planned of live/net, in {path}" in merged.left_out()
    assert f"it is planned at {newest[:12]}" in merged.left_out()
    assert "/iac-ci apply" in merged.left_out()
    assert [body for body in merged.comments() if "planned because pull request 1 was merged into main" in body]
    # The plan of the merge is applied by a comment, when a person has looked at it.
    merged.planned()
    merged.engine.activity._send(_event_again(merged))
    assert merged.labels == ["plan", "plan"]
    merged.command("/iac-ci apply")
    assert merged.labels == ["plan", "plan", "apply"]
    assert code_of(merged, merged.last) == [merged.record().saved.code_sha256]
    COUNTED.append(f"{kind} {how} refused")


PUSHED = b"""
version: 1
jobs:
  deploy: {on: {push: {branches: [main]}}, orders: [{name: all, cmds: [./deploy]}]}
  plan: {on: {pull_request: }, orders: [{name: plan, cmds: [./plan]}]}
"""


def push_of(merged, kind, sha):
    """Return the event of a push to main as the host sends it, with the fields that are read."""
    git = merged.engine.activity.shape
    if kind == "gitlab":
        hook = git.webhook(_event_again(merged)).payload
        about = {"object_kind": "push", "ref": "refs/heads/main", "after": sha, "user_id": 7, "user_username": "author"}
        return "Push Hook", {"project": hook["project"]} | about
    payload = git.webhook(_event_again(merged)).payload
    if kind == "github":
        about = {"ref": "refs/heads/main", "after": sha, "deleted": False, "commits": []}
        return "push", {name: payload[name] for name in ("repository", "sender")} | about
    new = {"type": "branch", "name": "main", "target": {"hash": sha}}
    return "repo:push", {name: payload[name] for name in ("repository", "actor")} | {
        "push": {"changes": [{"new": new, "old": None}]}
    }


@pytest.mark.parametrize("configuration", [PUSHED])
@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_the_run_of_a_push_is_shown_by_the_pull_request_that_it_came_from(merged, kind, how):
    if kind == "gitlab" and how == "rebase":
        how = "merge"
    merged.merge(how)
    sha = merged.project.repository.head("main")
    merged.engine.deliver(*push_of(merged, kind, sha))
    assert (merged.labels[-1], merged.last.job.pr_number, merged.last.job.commit_hash) == ("deploy", 1, sha)
    assert [body for body in merged.comments() if "### deploy" in body]
    states = {one.context: one.state for one in merged.project.statuses(sha)}
    assert states["iac-ci/deploy"] == "pending"
    merged.engine.end()
    assert [body for body in merged.comments() if "### deploy: succeeded" in body]
    assert {one.context: one.state for one in merged.project.statuses(sha)}["iac-ci/deploy"] == "success"


@pytest.mark.parametrize("configuration", [PUSHED])
def test_a_push_by_hand_is_shown_by_no_pull_request(merged, kind):
    merged.project.links_commits = kind != "bitbucket"
    sha = merged.project.repository.commit("main", {"x": b"1\n"}, "by hand")
    merged.engine.deliver(*push_of(merged, kind, sha))
    assert (merged.labels[-1], merged.last.job.pr_number) == ("deploy", None)


def test_a_merge_whose_webhook_never_came_is_found_by_the_tick(merged):
    merged.later(900)
    merged.engine.tick()
    merged.project.land(1, "squash")
    for _ in range(3):
        merged.later(900)
        merged.engine.tick()
    assert merged.labels == ["plan", "apply"]
    assert merged.last.projects["apply-live-net"].saved.planned.sha256 == merged.record().saved.planned.sha256


def test_a_squash_whose_branch_is_deleted_is_applied_with_the_planned_code(merged):
    merged.merge("squash", deletes_branch=True)
    assert merged.labels == ["plan", "apply"]
    assert code_of(merged, merged.last) == [merged.record().saved.code_sha256]
