"""In-memory ports that behave as ``iac_ci_common.ports`` describes, for tests and for the simulation."""

from iac_ci_common.testing.broker import MemoryBroker
from iac_ci_common.testing.commit_jobs import MemoryCommitJobs
from iac_ci_common.testing.deliveries import MemoryDeliveries
from iac_ci_common.testing.doubles import (
    FakeClock,
    MemoryAsyncInvoker,
    MemoryCodeStore,
    MemoryLogger,
    MemorySealer,
    MemorySecrets,
    MemoryTargetRoles,
    MemoryWatchdogs,
    MemoryWorkers,
    Sequential,
)
from iac_ci_common.testing.event_bus import MemoryEventBus
from iac_ci_common.testing.groups import MemoryGroups
from iac_ci_common.testing.history import MemoryHistory
from iac_ci_common.testing.last_writes import MemoryLastWrites
from iac_ci_common.testing.locks import MemoryLocks
from iac_ci_common.testing.objects import MemoryObjects
from iac_ci_common.testing.observed import Observed
from iac_ci_common.testing.plans import MemoryPlans
from iac_ci_common.testing.runs import MemoryRuns
from iac_ci_common.testing.ticket_chains import MemoryTicketChains

__all__ = [
    "FakeClock",
    "MemoryAsyncInvoker",
    "MemoryBroker",
    "MemoryCodeStore",
    "MemoryCommitJobs",
    "MemoryDeliveries",
    "MemoryEventBus",
    "MemoryGroups",
    "MemoryHistory",
    "MemoryLastWrites",
    "MemoryLocks",
    "MemoryLogger",
    "MemoryObjects",
    "MemoryPlans",
    "MemoryRuns",
    "MemorySealer",
    "MemorySecrets",
    "MemoryTargetRoles",
    "MemoryTicketChains",
    "MemoryWatchdogs",
    "MemoryWorkers",
    "Observed",
    "Sequential",
]
