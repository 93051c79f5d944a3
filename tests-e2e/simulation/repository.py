"""A repository on a simulated code host: what people do there, and what its commits hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from iac_ci_common import ids, keys
from iac_ci_common.models.changes import Changes, Operation
from iac_ci_common.models.saved_plan import PlannedFile
from iac_ci_triggers.connections import Connection, Connections
from iac_ci_triggers.event import EventKind, HostEvent, Person, StoredTrigger
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.provider import Account, ChangedFile, ChangeKind, Permission, PullRequest
from iac_ci_vcs.testing import MemoryCodeHost
from iac_ci_worker.saved_plan import ReadPlan
from iac_ci_worker.sealed_objects import sha256_of
from simulation.graphs import REPOSITORY, Behaviour

if TYPE_CHECKING:
    from iac_ci_common.models.manifest import ManifestPlan
    from iac_ci_vcs.testing import MemoryRepositories
    from simulation.repository_plan import Act, RepositoryPlan
    from simulation.world import World

RULE = "arn:aws:events:eu-west-1:000000000000:rule/iac-ci-tick"
MAIN, FILE, PROJECT_FILE = "main", ".iac-ci.yml", "net/main.tf"
PLAN_FILE = "net.tfplan"
SCHEDULED = "look"
WRITER = Account("5", "ann")
HOST_TOKEN = "ssm:/iac-ci/jobs/tokens/example"

CONNECTIONS = Connections(
    (
        Connection(
            repositories=(REPOSITORY.removesuffix(".git"),),
            webhook_secrets=("ssm:/iac-ci/iac-ci/webhook-secret",),
            token_location=HOST_TOKEN,
            schedule_branch=MAIN,
        ),
    )
)

_CONFIGURATION = """
version: 1
jobs:
  plan:
    on: {pull_request: {}, command: plan}
    job_timeout: 900
    orders:
      - name: plan-net
        folder: net
        cmds: [terraform plan]
        timeout: 60
        save: [net.tfplan]
        plan: {file: net.tfplan, workspace: default, replan_when_stale: true}
  apply:
    on: {command: apply}
    job_timeout: 900
    orders:
      - {name: apply-net, folder: net, cmds: [terraform apply], timeout: 60, apply_plan: plan-net%s}
  look:
    on: {schedule: {cron: "*/15 * * * *"}}
    job_timeout: 1500
    orders:
      - name: look-net
        folder: net
        cmds: [terraform plan]
        timeout: 1200
        save: [net.tfplan]
        plan: {file: net.tfplan, workspace: default}
"""

_CALLS = (
    "branch_head", "changed_files", "comment", "create_comment", "default_branch", "edit_comment", "file",
    "find_comment", "fold_comments", "permission", "pull_request", "pull_requests_of", "react", "set_status",
)  # fmt: skip
"""Requests to the code host that the engine makes of this repository."""


class SimulatedHost(MemoryCodeHost):
    """A code host whose requests are calls to the world."""

    def __init__(self, world: World) -> None:
        super().__init__()
        for name in _CALLS:
            setattr(self, name, self._as_call(world, name))

    def _as_call(self, world: World, name: str) -> Callable[..., Any]:
        request = getattr(super(), name)
        return lambda *args, **options: world.call(f"host.{name}", lambda: request(*args, **options))


class Repository:
    """One repository with pull requests of one project, and what its people do."""

    def __init__(self, world: World, plan: RepositoryPlan, trees: MemoryRepositories, random: Random) -> None:
        self._world, self._plan, self._trees, self._random = world, plan, trees, random
        self.host = SimulatedHost(world)
        self.host.permissions[WRITER.id] = Permission.WRITE
        self.merged_at: dict[int, int] = {}
        """By pull requests, how many commits the base branch had when they were merged."""
        self.main: list[str] = []
        """The commits of the base branch, the oldest first."""
        self.ticked: list[float] = []
        self._commits = 0
        extra = ', after_merge: ["net/**"]' if plan.on_merge else ""
        self._land({FILE: (_CONFIGURATION % extra).encode(), PROJECT_FILE: b"# base\n"})

    @property
    def applies_after_merge(self) -> bool:
        """Return whether reviewed plans are applied after the merge."""
        return self._plan.on_merge

    def content(self, commit: str) -> bytes:
        """Return what the project's file holds at a commit."""
        return self._trees.trees[(REPOSITORY, commit)][PROJECT_FILE]

    def do(self, act: Act) -> None:
        """Do what a person does, or let a tick come."""
        pull = self.host.pulls.get(act.number)
        if act.kind == "tick":
            self.ticked.append(self._world.scheduler.time)
            event = {"source": "aws.events", "detail-type": "Scheduled Event", "resources": [RULE]}
            self._world.invoke("init", "tick", event)
        elif act.kind == "push to main":
            self._land(self._files(self.main[-1]) | {"README.md": str(self._commits).encode()})
        elif act.kind == "open":
            head = self._commit(self._files(self.main[-1]) | self._change(act.number))
            self.host.pulls[act.number] = PullRequest(
                act.number, "t", WRITER, True, head, f"change-{act.number}", "example/infrastructure", self.main[-1],
                MAIN, False, f"https://github.com/example/infrastructure/pull/{act.number}",
            )  # fmt: skip
            self.host.changes[act.number] = (ChangedFile(PROJECT_FILE, ChangeKind.MODIFIED),)
            self._send(EventKind.PULL_REQUEST, act.number, head=head)
        elif pull is None or not pull.is_open:
            return
        elif act.kind == "push":
            head = self._commit(self._files(pull.head_sha) | self._change(act.number))
            self.host.pulls[act.number] = replace(pull, head_sha=head)
            self._send(EventKind.PULL_REQUEST, act.number, head=head, before=pull.head_sha)
        elif act.kind == "apply":
            self.host.now = self._world.scheduler.true_time()
            comment = self.host.write(act.number, WRITER, "/iac-ci apply")
            fields = {"comment_id": comment.id, "comment": comment.body, "sha": pull.head_sha}
            self._send(EventKind.COMMENT, act.number, **fields)
        elif act.kind == "merge":
            self._merge(act.number, pull)

    def _merge(self, number: int, pull: PullRequest) -> None:
        """Merge by a squash; where the base branch has changed the same file, a person has resolved the conflict."""
        files = self._files(self.main[-1])
        is_conflict = files[PROJECT_FILE] != self._files(pull.base_sha)[PROJECT_FILE]
        mine = self._files(pull.head_sha)[PROJECT_FILE]
        landed = self._land(files | {PROJECT_FILE: files[PROJECT_FILE] + mine if is_conflict else mine})
        self.merged_at[number] = len(self.main) - 1
        at = self._world.scheduler.true_time()
        self.host.pulls[number] = replace(pull, is_open=False, is_merged=True, merge_sha=landed, merged_at=at)
        self._world.reports.closed.add(number)
        self._send(EventKind.CLOSED, number, head=pull.head_sha)

    def _change(self, number: int) -> dict[str, bytes]:
        return {PROJECT_FILE: f"# pull request {number}, commit {self._commits}\n".encode()}

    def _files(self, commit: str) -> dict[str, bytes]:
        return dict(self._trees.trees[(REPOSITORY, commit)])

    def _land(self, files: dict[str, bytes]) -> str:
        commit = self._commit(files)
        self.main.append(commit)
        self.host.heads[MAIN] = commit
        return commit

    def _commit(self, files: dict[str, bytes]) -> str:
        self._commits += 1
        commit = f"{self._commits:08x}{0:032x}"
        self._trees.trees[(REPOSITORY, commit)] = files
        self.host.files |= {(path, commit): body for path, body in files.items()}
        return commit

    def _send(self, kind: EventKind, number: int, **fields: Any) -> None:
        """Store an event that a webhook has brought, and let it be processed."""
        at = self._world.scheduler.true_time()
        trigger_id = ids.new_run_id(at)
        event = HostEvent(
            host=Sender.GITHUB,
            kind=kind,
            repository=REPOSITORY.removesuffix(".git"),
            actor=Person(id=WRITER.id, login=WRITER.login),
            number=number,
            **fields,
        )
        stored = StoredTrigger(trigger_id=trigger_id, received_at=at, event=event)
        self._world.objects.put(keys.trigger_event(trigger_id), stored.model_dump_json().encode())
        self._world.invoke("init", trigger_id, {"schema_version": 1, "trigger": trigger_id})

    def behaviour(self, order_name: str, folder: Path, run_id: str) -> Behaviour:
        """Return what the commands of an order do; a plan's write its file."""
        if order_name in {"plan-net", "look-net"}:
            (folder / PLAN_FILE).write_text(f"{run_id}\n", "utf-8")
        random = self._random
        seconds = random.choice((0.5, random.uniform(1.0, 40.0)))
        if order_name == "look-net" and self._plan.overlaps:
            seconds = random.uniform(700.0, 1100.0)
        return Behaviour(seconds, exit_code=1 if random.random() < 0.1 else 0)


class SimulatedPlanReader:
    """Reads a plan's digest and nothing else: every plan changes one resource."""

    def __init__(self, plan: ManifestPlan, *_: object) -> None:
        self._plan = plan

    def nothing(self) -> ReadPlan:
        """Return what is read where there is no file."""
        return ReadPlan(None, note="it wrote no plan")

    def read(self, copies: Path) -> ReadPlan:
        """Read the plan among the copies of the order's files."""
        planned = PlannedFile(sha256=sha256_of(copies / self._plan.file), tool=self._plan.tool, workspace="default")
        return ReadPlan(planned, Changes(operation=Operation.PLANNED, change=1))


__all__ = ["CONNECTIONS", "HOST_TOKEN", "RULE", "SCHEDULED", "Repository", "SimulatedHost", "SimulatedPlanReader"]
