"""In-memory ports that keep every promise of ``iac_ci_vcs.ports``, for tests and for the simulation."""

from iac_ci_vcs.testing.code_host import MemoryCodeHost
from iac_ci_vcs.testing.doubles import MemoryReports, MemoryRepositories

__all__ = ["MemoryCodeHost", "MemoryReports", "MemoryRepositories"]
