"""The engine's reception, decision and preparation with a host's provider, against the code host on this machine.

The other ports are in memory. Events are those that the code host would send, with its signature.
"""

from __future__ import annotations

import json
from contextlib import contextmanager

from iac_ci_common import keys
from iac_ci_common.acceptance import Acceptance
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.granted import SourceGrants
from iac_ci_common.locations import parse_location
from iac_ci_common.models.answer import StoredJob
from iac_ci_common.page_links import PageLinks
from iac_ci_common.request import Request
from iac_ci_common.states import OrderState, RunState
from iac_ci_common.testing import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryCodeStore,
    MemoryCommitJobs,
    MemoryDeliveries,
    MemoryGroups,
    MemoryLogger,
    MemoryObjects,
    MemoryPlans,
    MemoryRuns,
    MemorySealer,
    MemorySecrets,
    MemoryWatchdogs,
    Sequential,
)
from iac_ci_init.downloads import HttpDownloads
from iac_ci_init.job_tools import JobTools
from iac_ci_init.missed_events import MissedEvents, MissedEventsPorts
from iac_ci_init.own_tools import OwnTools
from iac_ci_init.preparation import PreparationPorts, Preparer
from iac_ci_init.settings import InitSettings
from iac_ci_init.tick import Tick, TickPorts
from iac_ci_init.tool_releases import ToolReleases
from iac_ci_local.fake_hosts.activity import Activity
from iac_ci_triggers.act import EventProcessor, EventProcessorPorts
from iac_ci_triggers.testing import MemoryLedgers
from iac_ci_triggers.verification import Sender
from iac_ci_triggers.webhook import WebhookReceiver, WebhookReceiverPorts
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.hosts import OpenedCodeHosts
from iac_ci_vcs.provider import HostSettings
from iac_ci_vcs.reporting.publish import publish
from iac_ci_vcs.reports import CodeHostReports
from iac_ci_vcs.testing import MemoryRepositories

TOKEN, SECRET = "ssm:/iac-ci/jobs/tokens/git", "webhook secret"
RULE = "arn:aws:events:eu-central-1:123456789012:rule/iac-ci-tick"


class Engine:
    """An engine that is connected to the project of a code host."""

    def __init__(self, host, project, now, *, secret="engine-token", fetches=False, **connection):
        connection |= {"repositories": [host.repository], "webhook_secrets": ["ssm:/webhook"], "token_location": TOKEN}
        secrets = MemorySecrets({TOKEN: secret, "ssm:/connections": json.dumps([connection]), "ssm:/webhook": SECRET})
        hosts = {host.address: HostSettings(host.shape.kind, host.api_url)}
        settings = InitSettings(
            internal_bucket="internal", orders_table="orders", events_table="events", locks_table="locks",
            done_bucket="done", kms_key_arn="key", watchdog_arn="arn", init_function="init",
            webhook_secrets=["ssm:/unused"], connections="ssm:/connections", code_hosts=hosts,
        )  # fmt: skip
        self.host, self.project, self.clock = host, project, FakeClock(now)
        self.objects, self.invoker, self.logger = MemoryObjects(self.clock), MemoryAsyncInvoker(), MemoryLogger()
        self.runs, commit_jobs = MemoryRuns(), MemoryCommitJobs(self.clock)
        self.ledgers = ledgers = MemoryLedgers(self.clock)
        deliveries = MemoryDeliveries()
        git = GitRepositories(allow_file=True, hosts=hosts)
        self._repositories = git if fetches else MemoryRepositories()
        self.plans = MemoryPlans(self.clock)
        self.receiver = WebhookReceiver(
            WebhookReceiverPorts(self.clock, deliveries, self.objects, self.invoker, secrets, self.logger),
            settings,
        )
        self.processor = EventProcessor(
            EventProcessorPorts(
                self.clock, self.objects, self.runs, ledgers, commit_jobs,
                OpenedCodeHosts(secrets, hosts=hosts), git, self.plans, MemoryGroups(self.clock), self.logger,
            ),
            Acceptance(self.objects, MemoryWatchdogs(), self.invoker, self.logger, "done"),
            self.receiver.connections,
            SourceGrants(secrets, settings.sources, settings.former_grants).of,
            settings,
        )  # fmt: skip
        self.reports = CodeHostReports(secrets, commit_jobs, self.clock, hosts=hosts)
        secrets.values[parse_location("ssm:/page-key")] = "a page key that has more than thirty-two characters"
        links = PageLinks("https://ci.example/live/runs", "ssm:/page-key", SharedSecrets(secrets))
        self._page_link = links.of
        self.preparer = Preparer(
            PreparationPorts(
                self.clock, self.runs, ledgers, self.objects, MemoryCodeStore(), self._repositories, secrets,
                MemorySealer(), self.reports, Sequential(), self.logger,
                JobTools(ToolReleases(self.objects, HttpDownloads()), OwnTools("/nonexistent")),
            ),
            100,
            page_link=self._page_link,
        )  # fmt: skip
        missed = MissedEventsPorts(
            self.clock, OpenedCodeHosts(secrets, hosts=hosts, seconds=10), ledgers, deliveries, self.objects,
            self.invoker, self.logger,
        )  # fmt: skip
        self._ticking = Tick(
            TickPorts(self.clock, self.objects, self.logger), RULE, [MissedEvents(missed, self.receiver.connections)]
        )
        self.activity = Activity(project, host.url, self, shape=type(host.shape))
        self._sent = 0

    def deliver(self, name, payload):
        """Deliver an event, process it and prepare the runs that it starts; return the endpoint's answer."""
        self._sent += 1
        body = json.dumps(payload).encode()
        headers = self.host.shape.headers(name, f"delivery-{self._sent}", body, SECRET)
        self.last = Request(body, {key.lower(): value for key, value in headers.items()})
        return self.receive(self.last)

    def send_again(self, name, payload, identity):
        """Deliver an event under the number of an earlier delivery."""
        body = json.dumps(payload).encode()
        headers = self.host.shape.headers(name, identity, body, SECRET)
        return self.receive(Request(body, {key.lower(): value for key, value in headers.items()}))

    def receive(self, request):
        """Receive a request of the host, process its event and prepare the runs; return the endpoint's answer."""
        with self._processing():
            return self.receiver.receive(Sender(self.host.shape.kind), request)

    def tick(self):
        """Let the stack's rule tick, and process what it starts."""
        with self._processing():
            return self._ticking.run({"source": "aws.events", "detail-type": "Scheduled Event", "resources": [RULE]})

    @contextmanager
    def _processing(self):
        """Process the events that begin inside, as the asynchronous invocations do, and prepare their runs."""
        events = len(self.invoker.triggered)
        yield
        for trigger_id in self.invoker.triggered[events:]:
            self.process(trigger_id)

    def process(self, trigger_id):
        """Process an event and prepare the runs that it starts."""
        runs = len(self.invoker.started)
        self.processor.process(trigger_id)
        self._prepare(runs)

    def plan_again(self, replan):
        """Make a plan again that an apply has made stale, as the orchestrator asks for it, and prepare its run."""
        runs = len(self.invoker.started)
        self.processor.plan_again(replan)
        self._prepare(runs)

    def _prepare(self, first):
        for run_id in self.invoker.started[first:]:
            self._serve(run_id)
            self.preparer.prepare(run_id)

    def begin(self, name, payload):
        """Deliver an event of the activity at once, in the place of ``Deliveries``."""
        self.answer = self.deliver(name, payload)
        return lambda: None

    def pull_request(self, action="opened", number=1, **fields):
        """Deliver an event of a pull request, as GitHub sends it."""
        pull = self.project.pull_request(number)
        return self.deliver(
            "pull_request", self.activity.shape.payload_of_pull_request(action, pull, pull.author) | fields
        )

    def comment(self, person, text, number=1):
        """Write a comment and deliver its event, as GitHub sends it."""
        return self.deliver(
            "issue_comment", self.activity.shape.payload_of_comment(self.project.write_comment(number, person, text))
        )

    def edit(self):
        """Report the newest run as running, as the orchestrator does from time to time."""
        rows = self.runs.read(self.jobs[-1].run_id)
        run = rows.run.model_copy(update={"status": RunState.RUNNING})
        assert publish(self.reports, run, rows.orders, with_status=False).failed == {}

    def end(self, state=OrderState.SUCCEEDED, **states):
        """Let the newest run end and report, each order with its own state or ``state``."""
        stored = self.jobs[-1]
        rows = self.runs.read(stored.run_id)
        orders = [order.model_copy(update={"status": states.get(order.order_name, state)}) for order in rows.orders]
        good = all(order.status is OrderState.SUCCEEDED for order in orders)
        ended = {"status": RunState.SUCCEEDED if good else RunState.FAILED, "reason": rows.run.preparation_error}
        run = rows.run.model_copy(update=ended)
        page = self._page_link(run, self.clock.now())
        assert publish(self.reports, run, orders, page=page, with_status=True).failed == {}

    @property
    def jobs(self):
        """Return the accepted jobs, oldest first."""
        return [
            StoredJob.from_stored(self.objects.get(keys.job(run_id))) for run_id in dict.fromkeys(self.invoker.started)
        ]

    def _serve(self, run_id):
        """Let git have the commit of a run."""
        if not isinstance(self._repositories, MemoryRepositories):
            return
        job = StoredJob.from_stored(self.objects.get(keys.job(run_id))).job
        self._repositories.trees[job.git_repo, job.commit_hash] = {"main.tf": b""}
