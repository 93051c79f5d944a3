"""Reads the fields of a job: strictly, and as far as possible, so that every problem is reported at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common import limits
from iac_ci_common.errors import Problem
from iac_ci_common.job_validation.json_body import MAX_PROBLEMS
from iac_ci_common.job_validation.places import where
from iac_ci_common.models.job import Job, Order
from iac_ci_common.partial_reading import REMOVE, Draft, Without, read_partially
from iac_ci_common.validation_messages import meant

if TYPE_CHECKING:
    from iac_ci_common.partial_reading import Location


@dataclass(slots=True)
class JobDraft:
    """A job as far as it could be read.

    ``problems`` are those that its parts show by themselves. ``job`` holds stand-ins in the places of ``mended``, so
    that the whole can be checked too; it is None where there are too many problems to go on. ``renamed`` maps places
    as the model names them to what was written. ``nameless`` says that the name of an order could not be read.
    """

    job: Job | None = None
    problems: list[Problem] = field(default_factory=list)
    mended: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    nameless: bool = False


def read_job_draft(content: dict[str, Any], problems: list[Problem]) -> JobDraft:
    """Read a job as far as possible; ``content`` is changed, and ``problems`` are those of the body itself.

    Order after order is read, so that no more problems are kept than are reported, and then the job around them.
    """
    draft = JobDraft(problems=list(problems))
    key = _key_of_orders(content)
    given = content.get(key)
    if isinstance(given, list) and given:
        orders: list[Order] = []
        for index, order in enumerate(given[: limits.MAX_ORDERS]):
            orders.append(_read_order(order, index, key, draft))
            if len(draft.problems) > MAX_PROBLEMS:
                return draft
        draft.nameless |= len(given) > limits.MAX_ORDERS
        # One more is enough for the model to refuse so many.
        content[key] = [*orders, *orders[:1]] if len(given) > limits.MAX_ORDERS else orders
    part = read_partially(Job, content, _job_stand_in)
    _add(draft, part, (), ())
    draft.nameless |= ("orders",) in part.mended
    draft.job = part.value
    return draft


def read_order_draft(content: Any) -> Draft[Order]:
    """Read an order as far as possible; ``content`` is changed."""
    return read_partially(Order, content, _order_stand_in)


def limited(problems: list[Problem]) -> list[Problem]:
    """Return the problems without repetition, at most ``MAX_PROBLEMS`` and one that says that there are more."""
    found = list(dict.fromkeys(problems))
    if len(found) <= MAX_PROBLEMS:
        return found
    return [*found[:MAX_PROBLEMS], Problem("job", f"has more problems; these are the first {MAX_PROBLEMS}")]


def _read_order(content: Any, index: int, key: str, draft: JobDraft) -> Order:
    if isinstance(content, Order):
        return content
    part = read_order_draft(content)
    _add(draft, part, ("orders", index), (key, index))
    draft.nameless |= ("order_name",) in part.mended or ("queue_id",) in part.mended
    if part.value is not None:
        return part.value
    draft.mended.add(where(("orders", index)))
    draft.nameless = True
    return Order.model_validate(_ORDER)


def _key_of_orders(content: dict[str, Any]) -> str:
    if "orders" in content:
        return "orders"
    others = (name for name in content if name not in Job.model_fields)
    return next((name for name in others if meant(name, Job.model_fields) == "orders"), "orders")


def _add(draft: JobDraft, part: Draft[Any], prefix: Location, written: Location) -> None:
    """Add what was found below ``prefix``, which the input calls ``written``."""
    draft.problems += [Problem(where((*written, *location)), what) for location, what in part.findings]
    draft.mended |= {where((*prefix, *location)) for location in part.mended}
    for location, name in part.renamed.items():
        draft.renamed[where((*prefix, *location))] = where((*written, *location[:-1], name))


_ORDER: Final = {"cmds": ["true"], "timeout": 1}


def _job_stand_in(location: Location) -> Any:
    match location:
        case ("username",):
            return "stand-in"
        case ("job_timeout",):
            return limits.MAX_JOB_SECONDS
        case ("orders",):
            return [Order.model_validate(_ORDER)]
        case ("orders", int()):
            return Order.model_validate(_ORDER)
    return REMOVE


def _order_stand_in(location: Location) -> Any:
    match location:
        case ():
            return Without(("use_lambda", "execution_target"))
        case ("cmds",):
            return ["true"]
        case ("cmds", int()):
            return "true"
        case ("timeout",):
            return 1
        case ("git_repo",):
            return "https://stand-in.invalid/code"
        case ("commit_hash",):
            return "0" * 40
        case ("s3_location",):
            return "s3://stand-in/code"
        case ("git_folder",) | ("dependencies" | "secret_manager_paths", int()):
            return "stand-in"
        case ("ssm_paths", int()):
            return "/stand-in"
    return REMOVE
