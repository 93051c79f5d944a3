"""Projects of a pull request, from the host's event to the job: what is found, concerned, skipped and started."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from iac_ci_common.errors import PortFailed
from iac_ci_common.initial_rows import build_rows
from iac_ci_common.states import OrderState, RunState
from iac_ci_vcs.provider import ChangedFile, ChangeKind, CommitState

sys.path.insert(0, str(Path(__file__).parent))
from event_harness import BASE, HEAD, REPOSITORY, STRANGER, WRITER, Hosted

CONFIGURATION = b"""
version: 1
defaults: {timeout: 200}
projects:
  - find: "live/**/main.tf"
    role: {plan: "arn:aws:iam::111122223333:role/plan", apply: "arn:aws:iam::111122223333:role/apply"}
jobs:
  lint: {on: {command: lint}, orders: [{name: lint, cmds: [./lint]}]}
"""
CALL = 'module "m" {{ source = "{}" }}\n'.format
BACKEND = 'terraform {{ backend "s3" {{\n bucket = "states"\n key = "{}"\n}} }}\n'.format
READS = (
    'data "terraform_remote_state" "r" {{\n backend = "s3"\n config = {{ bucket = "states", key = "{}" }}\n}}\n'.format
)
FILES = {
    "live/net/main.tf": BACKEND("net") + CALL("../../modules/vpc"),
    "live/app/main.tf": BACKEND("app") + CALL("../../modules/service") + READS("net"),
    "live/dns/main.tf": BACKEND("dns"),
    "modules/service/main.tf": CALL("../vpc"),
    "modules/vpc/main.tf": "",
}
MODIFIED, ADDED, REMOVED, RENAMED = ChangeKind.MODIFIED, ChangeKind.ADDED, ChangeKind.REMOVED, ChangeKind.RENAMED


class Projects(Hosted):
    """A repository with three projects and two modules."""

    def __init__(self):
        super().__init__()
        self.configure(CONFIGURATION)
        self.code(FILES)
        self.changed(ChangedFile("live/net/main.tf", MODIFIED))

    def code(self, files):
        """Let the head of the pull request have these files."""
        self.trees.trees[f"{REPOSITORY}.git", HEAD] = {path: text.encode() for path, text in files.items()}

    def changed(self, *files):
        self.host.changes[7] = files

    def said(self, subject):
        """Return a standing notice without the signs that keep it from being Markdown."""
        return re.sub(r"\\([^\w\s])\u200b?", r"\1", self.standing(subject))

    @property
    def orders(self):
        """Return the orders of the newest job by name."""
        return {order.order_name: order for order in self.jobs[-1].job.orders} if self.jobs else {}


@pytest.fixture
def hosted():
    return Projects()


def test_a_pull_request_plans_the_projects_that_it_touches(hosted):
    hosted.pull_request()
    (plan,) = hosted.orders.values()
    assert (plan.order_name, plan.git_folder, plan.timeout) == ("plan-live-net", "live/net", 200)
    assert plan.assume_role == "arn:aws:iam::111122223333:role/plan"
    assert plan.cmds == [
        "terraform init -input=false -no-color",
        "terraform plan -input=false -no-color -lock=false -out=iac-ci.tfplan",
    ]
    assert (plan.plan.file, plan.plan.tool, plan.plan.workspace) == ("iac-ci.tfplan", "terraform", "default")
    assert hosted.jobs[0].job.flow_label == "plan"
    assert hosted.jobs[0].projects["plan-live-net"].name == "live/net"
    assert hosted.statuses["iac-ci/apply"].description == "1 of 1 orders to apply"


@pytest.mark.parametrize(
    ("change", "planned"),
    [
        (ChangedFile("modules/vpc/main.tf", MODIFIED), {"plan-live-app", "plan-live-net"}),
        (ChangedFile("modules/service/readme.txt", ADDED), {"plan-live-app"}),
        (ChangedFile("live/dns/zone.txt", REMOVED), {"plan-live-dns"}),
        (ChangedFile("docs/main.tf", RENAMED, "live/dns/old.tf"), {"plan-live-dns"}),
        (ChangedFile("README.md", MODIFIED), set()),
        (ChangedFile("modules/unused/main.tf", ADDED), set()),
    ],
)
def test_a_change_concerns_the_projects_that_read_the_file(hosted, change, planned):
    hosted.changed(change)
    hosted.pull_request()
    assert set(hosted.orders) == planned
    if not planned:
        status = hosted.statuses["iac-ci/plan"]
        assert (status.state, status.description) == (
            CommitState.SUCCESS,
            "nothing to plan: none of the paths of its orders have changed",
        )


def test_a_new_folder_is_planned_at_once(hosted):
    hosted.code(FILES | {"live/new/main.tf": ""})
    hosted.changed(ChangedFile("live/new/main.tf", ADDED))
    hosted.pull_request()
    assert set(hosted.orders) == {"plan-live-new"}


def test_a_deleted_folder_is_skipped_with_the_reason(hosted):
    hosted.code({path: text for path, text in FILES.items() if not path.startswith("live/dns/")})
    hosted.changed(ChangedFile("live/dns/main.tf", REMOVED), ChangedFile("live/net/main.tf", MODIFIED))
    hosted.pull_request()
    assert set(hosted.orders) == {"plan-live-net"}
    assert "plan-live-dns is skipped: the pull request deletes its folder live/dns" in hosted.said("jobs")


def test_only_a_deleted_folder_is_nothing_to_plan(hosted):
    hosted.code({path: text for path, text in FILES.items() if not path.startswith("live/dns/")})
    hosted.changed(ChangedFile("live/dns/main.tf", REMOVED))
    hosted.pull_request()
    assert hosted.jobs == []
    assert hosted.statuses["iac-ci/plan"].state is CommitState.SUCCESS
    deleted = "the pull request deletes the folders of its orders"
    assert hosted.statuses["iac-ci/plan"].description == f"nothing to plan: {deleted}"
    assert hosted.statuses["iac-ci/apply"].description == f"nothing to apply: {deleted}"
    assert "plan-live-dns is skipped: the pull request deletes its folder live/dns" in hosted.said("jobs")


@pytest.mark.parametrize("also", [(), (ChangedFile("live/net/main.tf", MODIFIED),)])
def test_a_change_cannot_be_hidden_by_leaving_its_project_out(hosted, also):
    hosted.code(FILES | {".iac-ci-ignore": "live/dns/\n"})
    hosted.changed(ChangedFile("live/dns/main.tf", MODIFIED), ChangedFile(".iac-ci-ignore", ADDED), *also)
    hosted.pull_request()
    assert set(hosted.orders) == ({"plan-live-net"} if also else set())
    assert "plan-live-dns is skipped: the pull request deletes its folder live/dns" in hosted.said("jobs")


def test_what_the_base_leaves_out_is_no_project_of_a_pull_request(hosted):
    hosted.code(FILES | {".iac-ci-ignore": "live/dns/\n"})
    hosted.changed(ChangedFile("live/dns/main.tf", MODIFIED))
    hosted.pull_request()
    assert hosted.jobs == []
    assert hosted.statuses["iac-ci/plan"].description == "nothing to plan: none of the paths of its orders have changed"


@pytest.mark.parametrize("target", ["live/names", "live/dns/inner", "live/a b"])
def test_a_moved_or_renamed_folder_is_planned_and_the_old_one_skipped(hosted, target):
    files = {path: text for path, text in FILES.items() if not path.startswith("live/dns/")}
    hosted.code(files | {f"{target}/main.tf": FILES["live/dns/main.tf"]})
    hosted.changed(ChangedFile(f"{target}/main.tf", RENAMED, "live/dns/main.tf"))
    hosted.pull_request()
    (plan,) = hosted.orders.values()
    assert plan.git_folder == target
    deleted = "plan-live-dns is skipped: the pull request deletes its folder live/dns"
    assert deleted in hosted.said("jobs")


FRESH = CONFIGURATION.replace(b"    role:", b"    apply: {plan: fresh}\n    role:")


def test_a_fresh_apply_restores_the_plan_that_was_made_for_it_in_the_order_of_the_states(hosted):
    hosted.configure(FRESH)
    hosted.changed(ChangedFile("modules/vpc/main.tf", MODIFIED))
    hosted.comment("/iac-ci apply")
    orders = hosted.orders
    assert list(orders) == ["plan-live-app", "apply-live-app", "plan-live-net", "apply-live-net"]
    assert orders["plan-live-app"].dependencies == ["apply-live-net"]
    assert orders["apply-live-net"].dependencies == ["plan-live-net"]
    assert orders["apply-live-net"].restore[0].order == "plan-live-net"
    assert orders["plan-live-net"].save == ["iac-ci.tfplan", ".terraform.lock.hcl"]
    assert orders["apply-live-net"].assume_role == "arn:aws:iam::111122223333:role/apply"
    assert orders["apply-live-net"].cmds[-1] == "terraform apply -input=false -no-color iac-ci.tfplan"
    projects = hosted.jobs[-1].projects
    assert [projects[name].applies for name in orders] == [False, True, False, True]
    assert all(project.saved is None for project in projects.values())
    assert projects["plan-live-net"].record is None


@pytest.mark.parametrize("target", ["live-app", "live/app"])
def test_a_target_is_one_project_whatever_has_changed(hosted, target):
    hosted.comment(f"/iac-ci plan {target}")
    assert list(hosted.orders) == ["plan-live-app"]
    assert hosted.orders["plan-live-app"].dependencies == []


@pytest.mark.parametrize("target", [".", "./", "root"])
def test_the_root_is_a_target(hosted, target):
    hosted.configure(CONFIGURATION.replace(b"live/**/main.tf", b"**/main.tf"))
    hosted.code(FILES | {"main.tf": ""})
    hosted.comment(f"/iac-ci plan {target}")
    assert [order.git_folder for order in hosted.orders.values()] == [None]


BY_HAND = CONFIGURATION.replace(b"projects:\n", b"projects:\n  - {folder: live/dns, autoplan: false}\n")


@pytest.mark.parametrize("known", [True, False])
def test_a_project_without_autoplan_waits_for_a_command_that_names_it(hosted, known):
    hosted.configure(BY_HAND)
    hosted.changed(*([ChangedFile("live/dns/main.tf", MODIFIED)] if known else []))
    hosted.pull_request()
    assert set(hosted.orders) == (set() if known else {"plan-live-app", "plan-live-net"})
    if known:
        assert hosted.statuses["iac-ci/plan"].state is CommitState.SUCCESS
        assert hosted.statuses["iac-ci/apply"].state is CommitState.SUCCESS
        hosted.comment("/iac-ci plan")
        assert "plan-live-dns runs only for a command that names it" in hosted.notice.replace("\\", "")
    hosted.comment("/iac-ci plan live/dns")
    assert list(hosted.orders) == ["plan-live-dns"]


def test_a_merge_queue_plans_no_project_without_autoplan(hosted):
    hosted.configure(BY_HAND)
    merge_group(hosted)
    assert set(hosted.orders) == {"plan-live-app", "plan-live-net"}


@pytest.mark.parametrize("files", [{}, {"live/dns/main.tf": ""}])
def test_a_merge_queue_waits_for_no_job_that_has_nothing_to_plan(hosted, files):
    """Without a project at its commit, or with one that only a command plans."""
    hosted.configure(BY_HAND)
    hosted.code({"README.md": ""} | files)
    merge_group(hosted)
    assert hosted.orders == {}
    for name in ("iac-ci/plan", "iac-ci/apply"):
        assert hosted.statuses[name].state is CommitState.SUCCESS


def test_a_plan_may_be_repeated_and_an_apply_never(hosted):
    hosted.configure(FRESH.replace(b"    role:", b"    retry: {attempts: 3, on: [1]}\n    role:"))
    hosted.comment("/iac-ci apply live/net")
    plan, apply = hosted.orders.values()
    assert (plan.idempotent, plan.retry.attempts, plan.retry.on) == (True, 3, [1])
    assert (apply.idempotent, apply.retry) == (False, None)


def test_a_failed_fresh_apply_is_planned_again(hosted):
    hosted.configure(FRESH)
    hosted.comment("/iac-ci apply")
    queued = build_rows(hosted.jobs[-1], max_parallel=10)
    states = {"plan-live-net": OrderState.SUCCEEDED, "apply-live-net": OrderState.FAILED}
    ended = {"status": RunState.FAILED, "finished_at": hosted.clock.now()}
    orders = [row.model_copy(update={"status": states[row.order_name]}) for row in queued.orders]
    hosted.runs.insert(queued.run.model_copy(update=ended), orders, queued.events)
    hosted.comment("/iac-ci rerun-failed")
    assert len(hosted.jobs) == 2
    assert list(hosted.orders) == ["plan-live-net", "apply-live-net"]
    assert hosted.jobs[-1].projects["apply-live-net"].applies


def test_an_unknown_target_is_answered_with_the_projects(hosted):
    hosted.comment("/iac-ci plan live/nets")
    assert "known are live-app, live-dns, live-net" in hosted.notice.replace("\\", "")


def test_what_a_project_does_comes_from_the_base_alone(hosted):
    hosted.code(FILES | {".iac-ci.yml": CONFIGURATION.decode().replace("role/plan", "role/admin")})
    hosted.changed(ChangedFile(".iac-ci.yml", MODIFIED), ChangedFile("live/net/main.tf", MODIFIED))
    hosted.host.files[".iac-ci.yml", HEAD] = b'version: 1\nprojects: [{find: "**"}]\n'
    hosted.pull_request()
    assert hosted.orders["plan-live-net"].assume_role == "arn:aws:iam::111122223333:role/plan"


def test_a_stranger_starts_nothing_and_is_asked_about(hosted):
    hosted.change(author=STRANGER)
    hosted.pull_request()
    assert hosted.jobs == []
    assert f"/iac-ci approve {HEAD}" in hosted.said("approval")


def test_hand_written_jobs_stay(hosted):
    hosted.comment("/iac-ci lint")
    assert list(hosted.orders) == ["lint"]


def merge_group(hosted):
    hosted.host.heads["gh-readonly-queue/main/pr-7"] = HEAD
    group = {
        "head_sha": HEAD, "head_ref": "refs/heads/gh-readonly-queue/main/pr-7",
        "base_ref": "refs/heads/main", "base_sha": BASE,
    }  # fmt: skip
    sender = {"id": int(WRITER.id), "login": WRITER.login}
    hosted.send("merge_group", {"action": "checks_requested", "merge_group": group, "sender": sender})


def test_a_merge_queue_plans_every_project(hosted):
    merge_group(hosted)
    assert set(hosted.orders) == {"plan-live-app", "plan-live-dns", "plan-live-net"}


def test_a_commit_that_cannot_be_read_is_said(hosted):
    hosted.trees.trees.clear()
    hosted.pull_request()
    assert hosted.jobs == []
    assert "cannot be found" in hosted.said("configuration")
    assert hosted.statuses["iac-ci/configuration"].state is CommitState.FAILURE


def test_a_host_that_fails_is_asked_again(hosted, monkeypatch):
    def fails(*arguments, **named):
        raise PortFailed("the host failed", retry_is_safe=True)

    monkeypatch.setattr(hosted.trees, "tree", fails)
    with pytest.raises(PortFailed):
        hosted.pull_request()


def test_too_many_projects_are_said(hosted):
    hosted.code({f"live/{number}/main.tf": "" for number in range(501)})
    hosted.pull_request()
    assert hosted.jobs == []
    assert "finds 501 folders" in hosted.said("configuration")


def test_five_hundred_projects_are_planned_and_applied(hosted):
    files = {f"live/{number}/main.tf": CALL("../../modules/vpc") for number in range(500)}
    hosted.code(files | {"modules/vpc/main.tf": ""})
    hosted.changed(ChangedFile("modules/vpc/main.tf", MODIFIED))
    hosted.pull_request()
    assert len(hosted.orders) == 500
    hosted.configure(FRESH)
    hosted.comment("/iac-ci apply")
    assert len(hosted.orders) == 1000


@pytest.mark.parametrize(
    "name",
    ["it's", 'a "b"', "$(touch x)", "-rf", "a;b", "ünder", "{{ branch", "a\nb", "..\\x", "a\u202eb", "x" * 300],
)
def test_hostile_folders_do_no_harm(hosted, name):
    hosted.code(FILES | {f"live/{name}/main.tf": ""})
    hosted.changed(ChangedFile(f"live/{name}/main.tf", ADDED), ChangedFile("live/net/main.tf", MODIFIED))
    hosted.pull_request()
    assert "plan-live-net" in hosted.orders
    for order in hosted.orders.values():
        assert order.cmds == hosted.orders["plan-live-net"].cmds
        assert order.git_folder in {"live/net", f"live/{name}"}
