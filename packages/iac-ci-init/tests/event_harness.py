"""An event from the request of the code host to runs and comments, on in-memory ports."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

from job_requests import settings

from iac_ci_common import keys
from iac_ci_common.acceptance import Acceptance
from iac_ci_common.granted import SourceGrants
from iac_ci_common.locations import parse_location
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.request import Request
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryCommitJobs,
    MemoryDeliveries,
    MemoryGroups,
    MemoryLogger,
    MemoryObjects,
    MemoryPlans,
    MemoryRuns,
    MemorySecrets,
    MemoryWatchdogs,
)
from iac_ci_common.testing.samples import START
from iac_ci_triggers.act import EventProcessor, EventProcessorPorts
from iac_ci_triggers.testing import MemoryLedgers
from iac_ci_triggers.verification import Sender
from iac_ci_triggers.webhook import WebhookReceiver, WebhookReceiverPorts
from iac_ci_vcs.provider import Account, ChangedFile, ChangeKind, Permission, PullRequest
from iac_ci_vcs.testing import MemoryCodeHost, MemoryRepositories

WRITER, STRANGER = Account("5", "ann"), Account("6", "mallory")
REPOSITORY = "https://github.com/acme/infra"
HEAD, NEXT = "a" * 40, "c" * 40
BASE = "b" * 40
"""The commit of the branch ``main``."""
SECRET = "webhook secret"
CONNECTIONS = [
    {
        "repositories": [REPOSITORY, "https://gitlab.com/acme/infra", "https://bitbucket.org/acme/infra"],
        "webhook_secrets": ["ssm:/iac-ci/iac-ci/webhook-secret-acme", "ssm:/iac-ci/iac-ci/webhook-secret-next"],
        "token_location": "ssm:/iac-ci/jobs/tokens/acme",
    }
]
CONFIGURATION = b"""
version: 1
jobs:
  plan:
    on: {pull_request: {paths: ["infra/**"]}, command: plan}
    orders:
      - name: network
        secrets: {TOKEN: ssm:/iac-ci/jobs/one}
        cmds: [terraform plan]
  apply:
    on: {command: apply}
    matrix: {directory: [network, app]}
    mask: {also: [db.internal], never: [eu-central-1]}
    orders:
      - name: "apply-{{ matrix.directory }}"
        folder: "{{ matrix.directory }}"
        cmds: [terraform apply]
  deploy:
    on: {push: {branches: [main]}}
    orders: [{name: all, cmds: [./deploy]}]
"""


class Hosted:
    """An engine and a code host with one pull request."""

    def __init__(self, **fields):
        self.clock = FakeClock(START)
        self.deliveries, self.objects, self.runs = MemoryDeliveries(), MemoryObjects(self.clock), MemoryRuns()
        self.ledgers, self.logger = MemoryLedgers(self.clock), MemoryLogger()
        self.invoker, self.watchdogs = MemoryAsyncInvoker(), MemoryWatchdogs()
        self.commit_jobs, self.plans = MemoryCommitJobs(self.clock), MemoryPlans(self.clock)
        self.groups = MemoryGroups(self.clock)
        self.host, self.trees = MemoryCodeHost(), MemoryRepositories()
        self.secrets = MemorySecrets(
            {
                "ssm:/iac-ci/iac-ci/connections": json.dumps(CONNECTIONS),
                "ssm:/iac-ci/iac-ci/webhook-secret-acme": SECRET,
            }
        )
        chosen = settings(connections="ssm:/iac-ci/iac-ci/connections", **fields)
        self.receiver = WebhookReceiver(
            WebhookReceiverPorts(self.clock, self.deliveries, self.objects, self.invoker, self.secrets, self.logger),
            chosen,
        )
        self.processor = EventProcessor(
            EventProcessorPorts(
                self.clock,
                self.objects,
                self.runs,
                self.ledgers,
                self.commit_jobs,
                self.host,
                self.trees,
                self.plans,
                self.groups,
                self.logger,
            ),
            Acceptance(self.objects, self.watchdogs, self.invoker, self.logger, "done"),
            self.receiver.connections,
            SourceGrants(self.secrets, chosen.sources, chosen.former_grants).of,
            chosen,
        )
        self.host.permissions = {WRITER.id: Permission.WRITE, STRANGER.id: Permission.READ}
        self.configure(CONFIGURATION)
        self.host.pulls[7] = PullRequest(
            7, "t", WRITER, True, HEAD, "change", "acme/infra", BASE, "main", False, f"{REPOSITORY}/pull/7"
        )
        self.host.changes[7] = (ChangedFile("infra/main.tf", ChangeKind.MODIFIED),)
        self._sent = 0

    def configure(self, content, branch="main", commit=BASE):
        """Let a branch point to a commit with this configuration."""
        self.host.heads[branch] = commit
        self.host.files[".iac-ci.yml", commit] = content

    def connect(self, **fields):
        """Change the operator's connection."""
        self.secrets.values[parse_location("ssm:/iac-ci/iac-ci/connections")] = json.dumps([CONNECTIONS[0] | fields])

    def change(self, **fields):
        self.host.pulls[7] = replace(self.host.pulls[7], **fields)

    def send(self, name, payload, *, secret=SECRET, headers=None, delivery=None):
        """Deliver an event as GitHub does; return the answer, and work on it if it was taken in."""
        self._sent += 1
        body = json.dumps({"repository": {"html_url": REPOSITORY}, "nonce": self._sent} | payload).encode()
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        given = {
            "x-github-event": name,
            "x-hub-signature-256": signature,
            "x-github-delivery": delivery or f"delivery-{self._sent}",
        } | (headers or {})
        self.last = Request(body, {key: value for key, value in given.items() if value is not None})
        return self.deliver(self.last)

    def deliver(self, request, sender=Sender.GITHUB):
        before = len(self.invoker.triggered)
        received = self.receiver.receive(sender, request)
        for trigger_id in self.invoker.triggered[before:]:
            self.processor.process(trigger_id)
        return received

    def pull_request(self, action="opened", sender=WRITER, *, changes=None, number=7, **options):
        payload = {
            "action": action,
            "changes": changes,
            "pull_request": {"number": number, "head": {"sha": self.host.pulls[number].head_sha}},
            "sender": {"id": int(sender.id), "login": sender.login},
        }
        return self.send("pull_request", payload, **options)

    def comment(self, text, author=WRITER, *, number=7, edited=False, **options):
        self.host.now = self.clock.now()
        said = self.host.write(number, author, text, edited=edited)
        return self.tell(said, number, before=f"{text} (before)" if edited else None, **options)

    def tell(self, comment, number=7, *, before=None, **options):
        """Deliver the event of a comment, which had the text ``before``."""
        payload = {
            "action": "created",
            "issue": {"number": number, "pull_request": {}},
            "comment": {"id": int(comment.id), "body": before or comment.body},
            "sender": {"id": int(comment.author.id), "login": comment.author.login},
        }
        return self.send("issue_comment", payload, **options)

    def push(self, branch="main", sha=HEAD, **options):
        self.host.heads.setdefault(branch, sha)
        sender = {"id": int(WRITER.id), "login": WRITER.login}
        return self.send("push", {"ref": f"refs/heads/{branch}", "after": sha, "sender": sender}, **options)

    @property
    def jobs(self):
        """Return the jobs that were accepted, in their order."""
        return [self.stored_job(run_id) for run_id in dict.fromkeys(self.invoker.started)]

    def stored_job(self, run_id):
        return StoredJob.model_validate_json(self.objects.get(keys.job(run_id)))

    @property
    def notice(self):
        """Return what the engine wrote last in a comment that is not about a run."""
        return self.host.written[-1] if self.host.written else None

    def standing(self, subject):
        """Return the standing notice of a subject."""
        found = self.host.find_comment(7, f"<!-- iac-ci:notice:{subject} -->")
        return found.body if found is not None else None

    @property
    def answers(self):
        return [comment.body for comment in self.host.comments.get(7, []) if "iac-ci:answer:" in comment.body]

    @property
    def statuses(self):
        """Return the newest status of each context."""
        return {status.context: status for status in self.host.statuses}

    @property
    def untouched(self):
        return not (self.objects.objects or self.deliveries.deliveries or self.host.opened)
