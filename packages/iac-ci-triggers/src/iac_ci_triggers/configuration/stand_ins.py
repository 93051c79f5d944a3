"""Stand-ins for values of a configuration with problems, so that the rest can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_common import limits
from iac_ci_common.draft import REMOVE
from iac_ci_common.job_validation.parser import STAND_IN_ROLE, approval_stand_in, exit_code_stand_in
from iac_ci_triggers.configuration.models import VERSION

if TYPE_CHECKING:
    from iac_ci_common.draft import Location

_SCHEDULE: Final = {"cron": "0 0 * * *"}


def stand_in(location: Location) -> Any:
    """Return the stand-in for a location of ``Configuration``, or ``REMOVE``."""
    match location:
        case ("version",):
            return VERSION
        case ("jobs",):
            return {"stand-in": _job()}
        case ("jobs", str(), *inner):
            return _of_job(tuple(inner)) if inner else _job()
        case ("defaults", "timeout"):
            return 1
        case ("defaults", "assume_role"):
            return STAND_IN_ROLE
        case ("drift", *inner):
            return _of_schedule(tuple(inner))
        case ("projects",):
            return []
        case ("projects", int(), *inner):
            return _of_rule(tuple(inner))
        case ("workflows", str(), *inner):
            return _of_workflow(tuple(inner))
    return _of_item(location)


def _of_schedule(location: Location) -> Any:
    match location:
        case ():
            return _SCHEDULE
        case ("cron",):
            return _SCHEDULE["cron"]
    return REMOVE


def _of_job(location: Location) -> Any:
    match location:
        case ("orders", int(index), *inner) if inner:
            return _of_order(index, tuple(inner))
        case ("on",):
            return {"command": ["stand-in"]}
        case ("on", "command") | ("matrix", str()):
            return ["stand-in"]
        case ("on", "pull_request" | "push"):
            return {}
        case ("on", "schedule", *inner):
            return _of_schedule(tuple(inner))
        case ("matrix", str(), int(index)):
            return f"stand-in-{index}"
        case ("job_timeout",):
            return limits.MAX_JOB_SECONDS
        case ("orders",):
            return [_order(0)]
        case ("orders", int(index)):
            return _order(index)
    return _of_item(location)


def _of_order(index: int, location: Location) -> Any:
    match location:
        case ("name",):
            return f"stand-in-{index}"
        case ("cmds",):
            return ["true"]
        case ("timeout",):
            return 1
        case ("assume_role",):
            return STAND_IN_ROLE
        case ("idempotent",):
            return True
        case ("save",):
            return ["**"]
    return exit_code_stand_in(location) or approval_stand_in(location) or _of_item(location)


def _of_rule(location: Location) -> Any:
    match location:
        case ():
            return {"folder": "stand-in"}
        case ("folder",):
            return "stand-in"
        case ("find",):
            return ["**"]
        case ("role", "plan" | "apply"):
            return STAND_IN_ROLE
        case ("matrix", str()):
            return ["stand-in"]
        case ("matrix", str(), int(index)):
            return f"stand-in-{index}"
        case ("find" | "watch", int()):
            return "**"
        case ("var_files" | "backend_config", int()):
            return "stand-in"
        case ("timeout",):
            return 1
    return _of_item(location)


def _of_workflow(location: Location) -> Any:
    match location:
        case ():
            return {"plan": ["true"], "apply": ["true"]}
        case ("plan" | "apply",):
            return ["true"]
        case ("plan" | "apply", int()):
            return "true"
    return REMOVE


def _of_item(location: Location) -> Any:
    match location[-2:]:
        case ("paths" | "branches" | "from" | "undiverged" | "save" | "keep_on_failure" | "files", int()):
            return "**"
        case ("cmds", int()):
            return "true"
        case ("ssm_paths", int()):
            return "/stand-in"
        case ("restore", int()):
            return {"order": "stand-in"}
        case (int(), "order") | ("concurrency", "group"):
            return "stand-in"
        case ("depends_on" | "secret_manager_paths" | "command", int(index)):
            return f"stand-in-{index}"
    return REMOVE


def _order(index: int) -> dict[str, Any]:
    return {"name": f"stand-in-{index}", "cmds": ["true"]}


def _job() -> dict[str, Any]:
    return {"on": {"command": ["stand-in"]}, "orders": [_order(0)]}
