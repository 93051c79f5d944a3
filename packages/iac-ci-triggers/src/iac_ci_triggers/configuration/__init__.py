"""The repository's own configuration, ``.iac-ci.yml``: read, checked, and made into the orders of a job.

``read_configuration`` gives a ``Configuration`` or every problem; ``jobs_for_…`` choose what an event starts;
``expand`` gives a chosen job's orders. All of it is pure: no host, no clock, no AWS.
"""

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_triggers.commands import BUILT_IN as BUILT_IN_COMMANDS
from iac_ci_triggers.configuration.expansion import Expansion, LeftOut, expand
from iac_ci_triggers.configuration.loader import read_configuration
from iac_ci_triggers.configuration.models import FILE_NAME, Configuration, Statuses
from iac_ci_triggers.configuration.selection import (
    Selection,
    commands,
    jobs_for_command,
    jobs_for_pull_request,
    jobs_for_push,
)
from iac_ci_triggers.configuration.templates import TemplateValues
from iac_ci_triggers.configuration.yaml_document import MAX_BYTES

__all__ = [
    "BUILT_IN_COMMANDS",
    "FILE_NAME",
    "MAX_BYTES",
    "Configuration",
    "ConfigurationProblems",
    "Expansion",
    "LeftOut",
    "Selection",
    "Statuses",
    "TemplateValues",
    "commands",
    "expand",
    "jobs_for_command",
    "jobs_for_pull_request",
    "jobs_for_push",
    "read_configuration",
]
