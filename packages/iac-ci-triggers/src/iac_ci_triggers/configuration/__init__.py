"""The repository's configuration, ``.iac-ci.yml``: parsing, checks, and expansion into the orders of a job.

``read_configuration`` returns a ``Configuration`` or raises every problem; ``with_project_jobs`` adds the jobs of the
projects that a commit has; ``jobs_for_…`` select the jobs that an event
starts; ``expand`` returns a job's orders. All of it is pure: without code host, clock or AWS.
"""

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_triggers.commands import BUILT_IN as BUILT_IN_COMMANDS
from iac_ci_triggers.configuration.expansion import (
    Expansion,
    LeftOut,
    applies_after_merge,
    expand,
    merged_orders,
    order_names,
    own_requirements,
    planned_by,
    reads_after_merge,
    uses_merge,
)
from iac_ci_triggers.configuration.folders import folders_of, possibly_deleted
from iac_ci_triggers.configuration.loader import read_configuration
from iac_ci_triggers.configuration.models import CONFIGURATION_STATUS, FILE_NAME, Configuration, Schedule, Statuses
from iac_ci_triggers.configuration.plan_orders import (
    PlannedState,
    applied_states,
    planned_states,
    planning_jobs,
    unnamed_states,
)
from iac_ci_triggers.configuration.project_jobs import PROJECT_JOBS, ProjectJobs, with_project_jobs
from iac_ci_triggers.configuration.scheduled_jobs import orders_beside_plans, scheduled_jobs
from iac_ci_triggers.configuration.schedules import due_minutes, next_minutes, shown_minute
from iac_ci_triggers.configuration.selection import (
    Selection,
    commands,
    jobs_before_merge,
    jobs_for_command,
    jobs_for_pull_request,
    jobs_for_push,
)
from iac_ci_triggers.configuration.templates import TemplateValues
from iac_ci_triggers.configuration.yaml_document import MAX_BYTES

__all__ = [
    "BUILT_IN_COMMANDS",
    "CONFIGURATION_STATUS",
    "FILE_NAME",
    "MAX_BYTES",
    "PROJECT_JOBS",
    "Configuration",
    "ConfigurationProblems",
    "Expansion",
    "LeftOut",
    "PlannedState",
    "ProjectJobs",
    "Schedule",
    "Selection",
    "Statuses",
    "TemplateValues",
    "applied_states",
    "applies_after_merge",
    "commands",
    "due_minutes",
    "expand",
    "folders_of",
    "jobs_before_merge",
    "jobs_for_command",
    "jobs_for_pull_request",
    "jobs_for_push",
    "merged_orders",
    "next_minutes",
    "order_names",
    "orders_beside_plans",
    "own_requirements",
    "planned_by",
    "planned_states",
    "planning_jobs",
    "possibly_deleted",
    "read_configuration",
    "reads_after_merge",
    "scheduled_jobs",
    "shown_minute",
    "unnamed_states",
    "uses_merge",
    "with_project_jobs",
]
