"""Makes the orders of a job from its configuration: pure. The matrix, templates, changed paths and a target."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from iac_ci_common import limits
from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.models.job import Order
from iac_ci_triggers.configuration.globs import Paths, escape
from iac_ci_triggers.configuration.models import DEFAULT_ORDER_SECONDS
from iac_ci_triggers.configuration.templates import for_name, matrix_values, substitute, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from iac_ci_triggers.configuration.models import (
        Configuration,
        ConfiguredJob,
        ConfiguredOrder,
        Settings,
    )
    from iac_ci_triggers.configuration.templates import TemplateValues

_MOST_NAMES = 50


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A job or an order that does not run, and why, in words for the user."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a configured job gives to a ``Job``: fields of the same names. ``orders`` may be empty: see ``left_out``."""

    flow_label: str
    job_timeout: int
    max_parallel: int | None
    orders: tuple[Order, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """A configured order for one combination of the matrix, before the pull request is looked at."""

    index: int
    template: ConfiguredOrder
    values: Mapping[str, str]
    """The combination, by the names of its templates."""
    name: str
    paths: tuple[str, ...] | None
    dependencies: tuple[str, ...]


def copies(job: ConfiguredJob) -> Iterator[Copy]:
    """Copy every order for every combination: all orders of the first combination first."""
    for combination in product(*job.matrix.values()):
        values = matrix_values(dict(zip(job.matrix, combination, strict=True)))
        for index, template in enumerate(job.orders):
            paths = template.paths
            yield Copy(
                index,
                template,
                values,
                substitute(template.name, values, for_name),
                None if paths is None else tuple(substitute(pattern, values, escape) for pattern in paths),
                tuple(dict.fromkeys(substitute(name, values, for_name) for name in template.depends_on)),
            )


def order_of(copy: Copy, defaults: Settings, known: Mapping[str, str], dependencies: Sequence[str]) -> Order:
    """Make the order; ``known`` are all values but the matrix's, by the names of their templates.

    Raises pydantic's ``ValidationError`` where a value does not fit its field once it is put in.
    """
    return Order.model_validate(order_fields(copy, defaults, known, dependencies))


def order_fields(
    copy: Copy, defaults: Settings, known: Mapping[str, str], dependencies: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of the order that ``order_of`` makes, with the values put in and not yet checked."""
    template = copy.template
    everything = {**known, **copy.values}

    def put(text: str) -> str:
        return substitute(text, copy.values)

    env_vars = {name: value for name, value in defaults.env_vars.items() if name not in template.secrets}
    secrets = {name: place for name, place in defaults.secrets.items() if name not in template.env_vars}
    fields: dict[str, Any] = {
        "order_name": copy.name,
        "cmds": template.cmds,
        "timeout": _first(template.timeout, defaults.timeout, DEFAULT_ORDER_SECONDS),
        "execution_target": _first(template.execution_target, defaults.execution_target),
        "git_folder": None if template.folder is None else put(template.folder),
        "env_vars": {
            **{name: substitute(value, everything) for name, value in (env_vars | template.env_vars).items()},
            **{variable(name): value for name, value in everything.items()},
        },
        "secrets": {name: put(place) for name, place in (secrets | template.secrets).items()},
        "ssm_paths": _each(put, _first(template.ssm_paths, defaults.ssm_paths)),
        "secret_manager_paths": _each(put, _first(template.secret_manager_paths, defaults.secret_manager_paths)),
        "assume_role": _put_if(put, _first(template.assume_role, defaults.assume_role)),
        "sops_key": _put_if(put, _first(template.sops_key, defaults.sops_key)),
        "must_succeed": _first(template.must_succeed, defaults.must_succeed),
        "dependencies": list(dependencies),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _put_if(put: Callable[[str], str], text: str | None) -> str | None:
    return None if text is None else put(text)


def _each(put: Callable[[str], str], texts: list[str] | None) -> list[str] | None:
    return None if texts is None else [put(text) for text in texts]


def concerned(copy: Copy, changed: Paths | None) -> bool:
    """Return whether an order's paths have changed; none given means always, unknown changes mean yes."""
    return copy.paths is None or changed is None or changed.any_meant(copy.paths)


def expand(
    configuration: Configuration,
    job_name: str,
    values: TemplateValues,
    changed: Sequence[str] | None,
    target: str | None,
) -> Expansion:
    """Return what a job runs; the same in gives the same out.

    ``changed`` are the changed paths, old and new names of what was moved; None means unknown, and then every order
    runs. A ``target`` is the name of an order or a value of the matrix: what it names runs, and what that depends on,
    whatever has changed. An order that waits for one that is left out waits for what that one would have waited for.

    Raises ``InputProblems`` for a job or target that is unknown (with those there are), and where values make the job
    larger than a job may be.
    """
    job = configuration.jobs.get(job_name)
    if job is None:
        raise InputProblems([Problem("job", f"{job_name[:80]!a} is none of {_names(configuration.jobs)}")])
    every = {copy.name: copy for copy in copies(job)}
    left_out: dict[str, str]
    if target:
        chosen = _with_dependencies(every, _targeted(every, job_name, target))
        left_out = {name: f"is not part of the target {target[:80]}" for name in every if name not in chosen}
    else:
        paths = None if changed is None else Paths(changed)
        left_out = {name: "none of its paths have changed" for name in every if not concerned(every[name], paths)}
    bridged = _bridged(every, left_out)
    known = values.named(job_name) | ({"target": target} if target else {})
    orders: list[Order] = []
    size = 0
    for name, copy in every.items():
        if name in left_out:
            continue
        order = order_of(copy, configuration.defaults, known, bridged[name])
        _check_variables(order)
        size += sum(map(len, order.env_vars.values()))
        if size > limits.MAX_BODY_BYTES:
            raise InputProblems([Problem("env_vars", f"hold more than {limits.MAX_BODY_BYTES} characters in all")])
        orders.append(order)
    return Expansion(
        job_name,
        job.job_timeout,
        job.max_parallel,
        tuple(orders),
        tuple(LeftOut(name, reason) for name, reason in left_out.items()),
    )


def _check_variables(order: Order) -> None:
    for name, value in order.env_vars.items():
        if len(value) > limits.MAX_COMMAND_CHARS:
            what = f"of {order.order_name} holds more than {limits.MAX_COMMAND_CHARS} characters"
            raise InputProblems([Problem(f"env_vars.{name}", what)])


def _targeted(every: Mapping[str, Copy], job_name: str, target: str) -> list[str]:
    found = [name for name, copy in every.items() if target == name or target in copy.values.values()]
    if not found:
        there = dict.fromkeys([*every, *(value for copy in every.values() for value in copy.values.values())])
        what = f"{target[:80]!a} is no order or matrix value of the job {job_name}; there are {_names(there)}"
        raise InputProblems([Problem("target", what)])
    return found


def _names(names: Mapping[str, object]) -> str:
    shown = list(names)[:_MOST_NAMES]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def _with_dependencies(every: Mapping[str, Copy], names: list[str]) -> set[str]:
    chosen = set(names)
    waiting = list(names)
    while waiting:
        for name in every[waiting.pop()].dependencies:
            if name not in chosen:
                chosen.add(name)
                waiting.append(name)
    return chosen


def _bridged(every: Mapping[str, Copy], left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Return each order's dependencies with those of left-out orders in their place, in the order they are named."""
    if not left_out:
        return {name: list(copy.dependencies) for name, copy in every.items()}
    bridged: dict[str, list[str]] = {}
    entered: set[str] = set()
    for start in every:
        if start in entered:
            continue
        entered.add(start)
        stack = [(start, iter(every[start].dependencies))]
        while stack:
            name, direct = stack[-1]
            deeper = next((other for other in direct if other in left_out and other not in entered), None)
            if deeper is not None:
                entered.add(deeper)
                stack.append((deeper, iter(every[deeper].dependencies)))
                continue
            stack.pop()
            far = (
                other
                for near in every[name].dependencies
                for other in (bridged.get(near, ()) if near in left_out else (near,))
            )
            bridged[name] = list(dict.fromkeys(far))
    return bridged
