"""What only a whole job can show: pure. Findings come with their path below the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iac_ci_common.triggers.configuration.document import Part
    from iac_ci_common.triggers.configuration.models import ConfiguredJob, Settings


def job_findings(name: str, job: ConfiguredJob, defaults: Settings) -> Iterator[tuple[tuple[Part, ...], str]]:
    """Find what is wrong with a job whose fields are each right."""
    del name, job, defaults
    yield from ()
