"""Parses the fields of a job strictly, and as far as possible, so that all problems are reported at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common import limits
from iac_ci_common.draft import REMOVE, Draft, Without, read_partially
from iac_ci_common.errors import Problem
from iac_ci_common.job_validation.json_body import MAX_PROBLEMS
from iac_ci_common.job_validation.problem_paths import problem_path
from iac_ci_common.models.job import Job, Order
from iac_ci_common.validation_messages import meant

if TYPE_CHECKING:
    from iac_ci_common.draft import Location


@dataclass(slots=True)
class JobDraft:
    """A job as far as it can be parsed.

    ``problems`` are those of single fields. ``job`` has stand-ins at the paths in ``replaced``, so that the whole
    job can be checked; it is None if there are too many problems to continue. ``renamed`` maps paths of the model to
    paths of the input. ``has_unknown_names`` is true if the name of an order could not be parsed.
    """

    job: Job | None = None
    problems: list[Problem] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    has_unknown_names: bool = False


def read_job_draft(content: dict[str, Any], problems: list[Problem]) -> JobDraft:
    """Return the draft of a job. ``content`` is changed; ``problems`` are those of the body.

    Orders are parsed one after another, so that no more problems are kept than are reported; then the job itself.
    """
    draft = JobDraft(problems=list(problems))
    key = _key_of_orders(content)
    entries = content.get(key)
    if isinstance(entries, list) and entries:
        orders: list[Order] = []
        for index, order in enumerate(entries[: limits.MAX_ORDERS]):
            orders.append(_read_order(order, index, key, draft))
            if len(draft.problems) > MAX_PROBLEMS:
                return draft
        draft.has_unknown_names |= len(entries) > limits.MAX_ORDERS
        # One order beyond the limit is enough for the model to refuse the number.
        content[key] = [*orders, *orders[:1]] if len(entries) > limits.MAX_ORDERS else orders
    part = read_partially(Job, content, _job_stand_in)
    _add(draft, part, (), ())
    draft.has_unknown_names |= ("orders",) in part.replaced
    draft.job = part.value
    return draft


def read_order_draft(content: Any) -> Draft[Order]:
    """Return the draft of an order; ``content`` is changed."""
    return read_partially(Order, content, _order_stand_in)


def limited(problems: list[Problem]) -> list[Problem]:
    """Return the distinct problems, at most ``MAX_PROBLEMS`` and one more if there are others."""
    found = list(dict.fromkeys(problems))
    if len(found) <= MAX_PROBLEMS:
        return found
    return [*found[:MAX_PROBLEMS], Problem("job", f"has more problems; this list has the first {MAX_PROBLEMS}")]


def _read_order(content: Any, index: int, key: str, draft: JobDraft) -> Order:
    if isinstance(content, Order):
        return content
    part = read_order_draft(content)
    _add(draft, part, ("orders", index), (key, index))
    draft.has_unknown_names |= ("order_name",) in part.replaced or ("queue_id",) in part.replaced
    if part.value is not None:
        return part.value
    draft.replaced.add(problem_path(("orders", index)))
    draft.has_unknown_names = True
    return Order.model_validate(_ORDER)


def _key_of_orders(content: dict[str, Any]) -> str:
    if "orders" in content:
        return "orders"
    others = (name for name in content if name not in Job.model_fields)
    return next((name for name in others if meant(name, Job.model_fields) == "orders"), "orders")


def _add(draft: JobDraft, part: Draft[Any], prefix: Location, written: Location) -> None:
    """Add the problems of a part below ``prefix``, whose path in the input is ``written``."""
    draft.problems += [Problem(problem_path((*written, *location)), message) for location, message in part.findings]
    draft.replaced |= {problem_path((*prefix, *location)) for location in part.replaced}
    for location, name in part.renamed.items():
        draft.renamed[problem_path((*prefix, *location))] = problem_path((*written, *location[:-1], name))


_STAND_IN_CODES: Final = 200
STAND_IN_ROLE: Final = "arn:aws:iam::000000000000:role/stand-in"
"""A role that nothing assumes."""

_REPOSITORY: Final = "https://stand-in.invalid/code"
_COMMIT: Final = "0" * 40
_ORDER_FIELDS: Final = {
    "timeout": 1,
    "git_repo": _REPOSITORY,
    "git_folder": "stand-in",
    "commit_hash": _COMMIT,
    "merge_into": _COMMIT,
    "s3_location": "s3://stand-in/code",
    "assume_role": STAND_IN_ROLE,
    "idempotent": True,
}
_ORDER: Final = {"cmds": ["true"], "timeout": 1}


def _job_stand_in(location: Location) -> Any:
    match location:
        case ("username",):
            return "stand-in"
        case ("git_repo",):
            return _REPOSITORY
        case ("commit_hash",):
            return _COMMIT
        case ("git_token_location",):
            return "ssm:/stand-in"
        case ("job_timeout",):
            return limits.MAX_JOB_SECONDS
        case ("orders",):
            return [Order.model_validate(_ORDER)]
        case ("orders", int()):
            return Order.model_validate(_ORDER)
        case ("concurrency", "group"):
            return "stand-in"
    return REMOVE


def _order_stand_in(location: Location) -> Any:
    match location:
        case ():
            return Without(("use_lambda", "execution_target"))
        case (str(name),) if name in _ORDER_FIELDS:
            return _ORDER_FIELDS[name]
        case ("cmds",):
            return ["true"]
        case ("cmds", int()):
            return "true"
        case ("dependencies" | "secret_manager_paths", int()) | ("concurrency", "group"):
            return "stand-in"
        case ("ssm_paths", int()):
            return "/stand-in"
    return exit_code_stand_in(location) or approval_stand_in(location) or _hand_on_stand_in(location)


def approval_stand_in(location: Location) -> Any:
    """Return the stand-in for a location of an ``approval`` in an order, None for another location."""
    match location:
        case ("approval",):
            return {"api": True}
        case ("approval", "api"):
            return True
        case ("approval", "by", int()):
            return "stand-in"
        case ("approval", "overrides", int(position)):
            return f"stand-in-{position}"
    return None


def exit_code_stand_in(location: Location) -> Any:
    """Return the stand-in for a location of a command or of ``retry`` in an order, None for another location."""
    match location:
        case ("cmds", int(), "run"):
            return "true"
        case ("cmds", int(), "ok", int(position)) | ("retry", "on", int(position)):
            # Distinct codes that no signal has are no problem themselves.
            return _STAND_IN_CODES + position
        case ("retry", "attempts"):
            return 2
        case ("retry", "on"):
            return [_STAND_IN_CODES]
    return None


def _hand_on_stand_in(location: Location) -> Any:
    match location:
        case ("verbatim", int()):
            return "STAND_IN"
        case ("save",):
            return ["**"]
        case ("save", int()):
            return "**"
        case ("restore", int()):
            return {"order": "stand-in"}
        case ("keep_on_failure", int()) | ("restore", int(), "order") | ("restore", int(), "files", int()):
            return "stand-in"
    return REMOVE
