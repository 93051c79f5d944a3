"""In-memory ports that behave as ``iac_ci_vcs.ports`` requires, for tests and the simulation."""

from iac_ci_vcs.testing.doubles import MemoryReports, MemoryRepositories
from iac_ci_vcs.testing.memory_code_host import MemoryCodeHost

__all__ = ["MemoryCodeHost", "MemoryReports", "MemoryRepositories"]
