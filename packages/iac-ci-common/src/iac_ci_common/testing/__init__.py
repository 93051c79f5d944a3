"""In-memory ports that keep every promise of ``iac_ci_common.ports``, for tests and for the simulation."""

from iac_ci_common.testing.code_host import MemoryCodeHost
from iac_ci_common.testing.doubles import (
    FakeClock,
    MemoryCodeStore,
    MemoryNotes,
    MemoryPreparations,
    MemoryReports,
    MemoryRepositories,
    MemorySealer,
    MemorySecrets,
    MemoryWatchdogs,
    MemoryWorkers,
    Sequential,
)
from iac_ci_common.testing.ledgers import MemoryLedgers
from iac_ci_common.testing.locks import MemoryLocks
from iac_ci_common.testing.objects import MemoryObjects
from iac_ci_common.testing.observed import Observed
from iac_ci_common.testing.runs import MemoryRuns

__all__ = [
    "FakeClock",
    "MemoryCodeHost",
    "MemoryCodeStore",
    "MemoryLedgers",
    "MemoryLocks",
    "MemoryNotes",
    "MemoryObjects",
    "MemoryPreparations",
    "MemoryReports",
    "MemoryRepositories",
    "MemoryRuns",
    "MemorySealer",
    "MemorySecrets",
    "MemoryWatchdogs",
    "MemoryWorkers",
    "Observed",
    "Sequential",
]
