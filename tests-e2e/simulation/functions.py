"""The engine's own functions, wired to the simulated world instead of AWS."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import ModuleType
from typing import Any
from unittest.mock import patch

import iac_ci_broker.act
import iac_ci_broker.handler
import iac_ci_init.handler
import iac_ci_init.job_intake
import iac_ci_init.preparation
import iac_ci_orchestrator.act
import iac_ci_orchestrator.handler
import iac_ci_orchestrator.ports
import iac_ci_watchdog.act
import iac_ci_watchdog.handler
import iac_ci_watchdog.ports
from iac_ci_broker.hand_on import HandOn
from iac_ci_broker.module_tokens import ModuleTokens
from iac_ci_broker.start import OrderStart
from iac_ci_common.acceptance import Acceptance
from iac_ci_common.granted import SourceGrants
from iac_ci_common.grants import ANY_SOURCE, Grants
from iac_ci_common.testing import MemoryCodeStore, MemorySecrets, MemoryTargetRoles
from iac_ci_init.approval_intake import ApprovalIntake
from iac_ci_init.downloads import HttpDownloads
from iac_ci_init.job_tools import JobTools
from iac_ci_init.own_tools import OwnTools
from iac_ci_init.schedules import Schedules, SchedulesPorts
from iac_ci_init.settings import InitSettings
from iac_ci_init.tick import Tick, TickPorts
from iac_ci_init.tool_releases import ToolReleases
from iac_ci_triggers.act import EventProcessor, EventProcessorPorts
from iac_ci_vcs.testing import MemoryRepositories
from simulation.applies import WithProjects
from simulation.client import SECRET
from simulation.graphs import TOKEN_LOCATION
from simulation.repository import CONNECTIONS, HOST_TOKEN, RULE, SimulatedPlanReader
from simulation.world import (
    AsyncInvokerService,
    BusService,
    ReportsService,
    RunsPort,
    Silent,
    Threads,
    WatchdogsService,
    WorkersService,
    World,
)

_SETTINGS = InitSettings(
    internal_bucket="internal",
    orders_table="orders",
    events_table="events",
    locks_table="locks",
    done_bucket="done",
    kms_key_arn="key",
    watchdog_arn="watchdog",
    init_function="init",
    webhook_secrets=["ssm:/iac-ci/simulation/webhook-secret"],
    secret_allow_list={"*": ["*"]},
)

WARM = (4, 2, 1)
"""Warm environments of the orchestrator, and how often each gets an event."""


def job_intake(world: World) -> iac_ci_init.job_intake.JobIntake:
    """Build init's first leg."""
    secrets = MemorySecrets({_SETTINGS.webhook_secrets[0]: SECRET})
    intake = iac_ci_init.job_intake.JobIntake(
        iac_ci_init.job_intake.JobIntakePorts(
            clock=world,
            deliveries=world.port("deliveries", world.deliveries),
            objects=world.port("objects", world.objects),
            watchdogs=world.port("watchdogs", WatchdogsService(world)),
            invoker=world.port("invoker", AsyncInvokerService(world)),
            secrets=world.port("secrets", secrets),
        ),
        _SETTINGS,
    )
    intake._acceptance = WithProjects(world, intake._acceptance)
    return intake


def approval_intake(world: World) -> ApprovalIntake:
    """Build the part of init that answers orders by signed requests."""
    secrets = MemorySecrets({_SETTINGS.webhook_secrets[0]: SECRET})
    return ApprovalIntake(
        world,
        RunsPort(world, world.runs),
        world.port("objects", world.objects),
        world.port("secrets", secrets),
        _SETTINGS.webhook_secrets,
    )


def preparer(world: World, trees: MemoryRepositories) -> iac_ci_init.preparation.Preparer:
    """Build init's second leg."""
    return iac_ci_init.preparation.Preparer(
        iac_ci_init.preparation.PreparationPorts(
            clock=world,
            runs=RunsPort(world, world.runs),
            ledgers=world.port("ledgers", world.ledgers),
            objects=world.port("objects", world.objects),
            code_store=world.port("code_store", MemoryCodeStore()),
            repositories=world.port("repositories", trees),
            secrets=world.port("secrets", MemorySecrets({TOKEN_LOCATION: "a token", HOST_TOKEN: "a token"})),
            sealer=world.port("sealer", world.sealer),
            reports=world.port("reports", ReportsService(world)),
            parallel=Threads(world),
            logger=Silent(),
            tools=JobTools(ToolReleases(world.objects, HttpDownloads()), OwnTools("/nonexistent")),
        ),
        max_parallel=100,
    )


def event_processor(world: World, trees: MemoryRepositories) -> EventProcessor:
    """Build the part of init that processes the events of a repository."""
    assert world.repository is not None
    invoker = world.port("invoker", AsyncInvokerService(world))
    objects = world.port("objects", world.objects)
    return EventProcessor(
        EventProcessorPorts(
            clock=world,
            objects=objects,
            runs=RunsPort(world, world.runs),
            ledgers=world.port("ledgers", world.ledgers),
            commit_jobs=world.port("commit_jobs", world.reports.commit_jobs),
            code_hosts=world.repository.host,
            trees=world.port("trees", trees),
            plans=world.port("plans", world.plans),
            groups=world.port("groups", world.groups),
            logger=Silent(),
        ),
        Acceptance(objects, world.port("watchdogs", WatchdogsService(world)), invoker, Silent(), "done"),
        lambda now: CONNECTIONS,
        SourceGrants(MemorySecrets(), None, Grants(secrets={ANY_SOURCE: ("*",)})).of,
        _SETTINGS,
    )


def tick(world: World) -> Tick:
    """Build the part of init that looks for planned minutes."""
    assert world.repository is not None
    invoker = world.port("invoker", AsyncInvokerService(world))
    objects = world.port("objects", world.objects)
    schedules = Schedules(
        SchedulesPorts(
            clock=world,
            code_hosts=world.repository.host,
            ledgers=world.port("ledgers", world.ledgers),
            deliveries=world.port("deliveries", world.deliveries),
            objects=objects,
            invoker=invoker,
            logger=Silent(),
        ),
        lambda now: CONNECTIONS,
    )
    return Tick(TickPorts(world, objects, Silent()), RULE, [schedules], [schedules.start_due])


def orchestrators(world: World) -> list[iac_ci_orchestrator.act.Orchestrator]:
    """Build the orchestrators of the function's warm environments, each with a memory of its own."""
    ports = iac_ci_orchestrator.ports.OrchestratorPorts(
        clock=world,
        runs=RunsPort(world, world.runs),
        locks=world.port("locks", world.locks),
        last_writes=world.port("last_writes", world.last_writes),
        objects=world.port("objects", world.objects),
        done=world.port("done", world.done),
        workers=world.port("workers", WorkersService(world)),
        watchdogs=world.port("watchdogs", WatchdogsService(world)),
        reports=world.port("reports", ReportsService(world)),
        plans=world.port("plans", world.plans),
        invoker=world.port("invoker", AsyncInvokerService(world)),
        groups=world.port("groups", world.groups),
        bus=BusService(world),
        parallel=Threads(world),
        logger=Silent(),
        wait=world.scheduler.pause,
    )
    return [iac_ci_orchestrator.act.Orchestrator(ports) for _ in WARM]


def watchdog(world: World) -> iac_ci_watchdog.act.Watchdog:
    """Build the watchdog."""
    return iac_ci_watchdog.act.Watchdog(
        iac_ci_watchdog.ports.WatchdogPorts(
            clock=world,
            runs=RunsPort(world, world.runs),
            locks=world.port("locks", world.locks),
            objects=world.port("objects", world.objects),
            workers=world.port("workers", WorkersService(world)),
            invoker=world.port("invoker", AsyncInvokerService(world)),
            parallel=Threads(world),
            logger=Silent(),
        )
    )


def broker(world: World) -> iac_ci_broker.act.Broker:
    """Build the broker."""
    return iac_ci_broker.act.Broker(
        iac_ci_broker.act.BrokerPorts(
            clock=world,
            runs=RunsPort(world, world.runs),
            chains=world.port("chains", world.chains),
            objects=world.port("objects", world.objects),
            logger=Silent(),
            start=OrderStart(
                _SETTINGS.stack,
                world.port("objects", world.objects),
                world.port("sealer", world.sealer),
                world.port("roles", MemoryTargetRoles(world)),
                SourceGrants(MemorySecrets(), None, Grants(roles={ANY_SOURCE: ("*",)})),
                HandOn(_SETTINGS.stack, world.port("objects", world.objects), world.port("sealer", world.sealer)),
            ),
            modules=ModuleTokens(MemorySecrets(), None, {}),
        )
    )


@contextmanager
def installed(world: World, trees: MemoryRepositories) -> Iterator[None]:
    """Let the real handlers find engines that work on the simulated world."""
    engines: dict[str, dict[str, Any]] = {
        "iac_ci_init.wiring": {
            "job_intake": job_intake(world),
            "approval_intake": approval_intake(world),
            "preparer": preparer(world, trees),
            "logger": Silent(),
        },
        "iac_ci_watchdog.wiring": {"watchdog": watchdog(world)},
        "iac_ci_broker.wiring": {"broker": broker(world)},
    }
    if world.repository is not None:
        engines["iac_ci_init.wiring"] |= {"event_processor": event_processor(world, trees), "tick": tick(world)}
    modules: dict[str, Any] = {}
    for name, values in engines.items():
        module = modules[name] = ModuleType(name)
        for function, engine in values.items():
            setattr(module, function, lambda engine=engine: engine)
    # Lambda often sends an event to the environment that it used last.
    warm, chosen = orchestrators(world), Random("warm environments")
    module = modules["iac_ci_orchestrator.wiring"] = ModuleType("iac_ci_orchestrator.wiring")
    module.orchestrator = lambda: chosen.choices(warm, WARM)[0]  # type: ignore[attr-defined]
    world.doors["init"] = lambda event: iac_ci_init.handler.handler(event, None)
    world.doors["orchestrator"] = lambda event: iac_ci_orchestrator.handler.handler(event, None)
    world.doors["watchdog"] = lambda event: iac_ci_watchdog.handler.handler(event, None)
    world.doors["broker"] = lambda event: iac_ci_broker.handler.handler(event, None)
    with (
        patch.dict(sys.modules, modules),
        # What a plan was made from, and what a worker does with its bytes, are not simulated.
        patch("iac_ci_orchestrator.project_ledger._check", lambda *_: None),
        patch("iac_ci_init.preparation._saved_plan", lambda stored, index: None),
        patch("iac_ci_broker.hand_on.HandOn.saved_plan", lambda handing, run, order, now: None),
        patch("iac_ci_worker.packages.engine_tool", lambda tool, workspace, path: None),
        patch("iac_ci_worker.act.SavedPlanReader", SimulatedPlanReader),
    ):
        yield
