"""Expands a configured job into orders: pure. It applies matrix, templates, changed paths and a target."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from posixpath import normpath
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common import limits
from iac_ci_common.errors import InputProblems, Problem
from iac_ci_common.globs import Paths, escape
from iac_ci_common.limits import DEFAULT_ORDER_SECONDS
from iac_ci_common.models.job import Order
from iac_ci_common.order_outputs import looks_like_reference, reference
from iac_ci_triggers.configuration.models import AppliedOn, CheckoutTarget
from iac_ci_triggers.configuration.templates import for_name, matrix_values, substitute, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from iac_ci_common.models.job import Concurrency, Mask
    from iac_ci_triggers.configuration.models import (
        Configuration,
        ConfiguredJob,
        ConfiguredOrder,
        Settings,
    )
    from iac_ci_triggers.configuration.templates import TemplateValues
    from iac_ci_triggers.required import Requirements

NEVER_CHANGED: Final = ".git/**"
"""Pattern of files that no commit can have: git refuses paths below ``.git``."""

_MOST_NAMES = 50


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A job or an order that does not run, with the reason for the user.

    ``is_skipped`` is True for an order that would run if the pull request did not delete its folder.
    """

    name: str
    reason: str
    is_skipped: bool = False


@dataclass(frozen=True, slots=True)
class Expansion:
    """The expanded fields of a ``Job``, with the same names. ``orders`` may be empty; ``left_out`` has the reasons.

    ``whole`` are the names of the orders that run without a target, ``merged`` of those of ``orders`` whose code is the
    merged result.
    """

    flow_label: str
    job_timeout: int
    max_parallel: int | None
    mask: Mask | None
    concurrency: Concurrency | None
    orders: tuple[Order, ...]
    left_out: tuple[LeftOut, ...]
    whole: tuple[str, ...]
    merged: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Copy:
    """A configured order for one combination of the matrix, independent of the pull request."""

    index: int
    template: ConfiguredOrder
    values: Mapping[str, str]
    """The combination's values by their templates' names."""
    name: str
    paths: tuple[str, ...] | None
    dependencies: tuple[str, ...]


def copies(job: ConfiguredJob) -> Iterator[Copy]:
    """Yield every order for every combination: first all orders of the first combination."""
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


def folder_of(copy: Copy) -> str | None:
    """Return an order's folder, None for the repository's root."""
    if copy.template.folder is None:
        return None
    folder = normpath(substitute(copy.template.folder, copy.values))
    return None if folder == "." else folder


def project_of(copy: Copy) -> str | None:
    """Return the project that an order belongs to, None if it belongs to none."""
    return None if copy.template.project is None else substitute(copy.template.project, copy.values, for_name)


def order_of(copy: Copy, defaults: Settings, known: Mapping[str, str], dependencies: Sequence[str]) -> Order:
    """Return the order; ``known`` are all values except the matrix's, by their templates' names.

    Raises pydantic's ``ValidationError`` if a value is not valid for its field after substitution.
    """
    return Order.model_validate(order_fields(copy, defaults, known, dependencies))


def order_fields(
    copy: Copy, defaults: Settings, known: Mapping[str, str], dependencies: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of the order that ``order_of`` returns, after substitution and before the check."""
    template = copy.template
    if template.approval is not None:
        # Of an order that does not run, nothing can be overridden.
        overrides = [name for name in overridden_orders(copy) if name in dependencies]
        approving = {
            "order_name": copy.name,
            "approval": template.approval.model_dump(exclude_unset=True, exclude={"overrides"})
            | ({"overrides": overrides} if overrides else {}),
            "dependencies": list(dependencies),
            "when": {name: template.when[text] for text, name in conditions(copy).items()} or None,
        }
        return {name: value for name, value in approving.items() if value is not None}
    everything = {**known, **copy.values}

    def put(text: str) -> str:
        return substitute(text, copy.values)

    env_vars = {name: value for name, value in defaults.env_vars.items() if name not in template.secrets}
    secrets = {name: location for name, location in defaults.secrets.items() if name not in template.env_vars}
    texts = env_vars | template.env_vars
    values = {
        **{name: substitute(value, everything) for name, value in texts.items()},
        **{variable(name): value for name, value in everything.items()},
    }
    role = _first(template.assume_role, defaults.assume_role)
    fields: dict[str, Any] = {
        "order_name": copy.name,
        "cmds": [command if isinstance(command, str) else command.model_dump() for command in template.cmds],
        "timeout": _first(template.timeout, defaults.timeout, DEFAULT_ORDER_SECONDS),
        "stop_grace": _first(template.stop_grace, defaults.stop_grace),
        "execution_target": _first(template.execution_target, defaults.execution_target),
        "size": _first(template.size, defaults.size),
        "tools": defaults.tools | template.tools,
        "git_folder": None if template.folder is None else put(template.folder),
        "env_vars": values,
        # A branch may be named like a template; only the file's author may take an output.
        "verbatim": [name for name, value in values.items() if looks_like_reference(value) and value != texts.get(name)]
        or None,
        "secrets": {name: put(location) for name, location in (secrets | template.secrets).items()},
        "git_credentials": _first(template.git_credentials, defaults.git_credentials),
        "registries": {host: put(location) for host, location in (defaults.registries | template.registries).items()},
        "ssm_paths": _each(put, _first(template.ssm_paths, defaults.ssm_paths)),
        "secret_manager_paths": _each(put, _first(template.secret_manager_paths, defaults.secret_manager_paths)),
        "assume_role": _put_if(put, role),
        # The file's choice for all orders means those that have a role.
        "credentials": template.credentials or (defaults.credentials if role is not None else None),
        "sops_key": _put_if(put, _first(template.sops_key, defaults.sops_key)),
        "save": template.save or None,
        "plan": None
        if template.plan is None
        else template.plan.model_dump(exclude={"backend_config", "replan_when_stale"})
        | {"workspace": _put_if(put, template.plan.workspace)},
        "restore": [
            {**wanted.model_dump(), "order": substitute(wanted.order, copy.values, for_name)}
            for wanted in template.restore
        ]
        or None,
        "keep_on_failure": template.keep_on_failure,
        "must_succeed": _first(template.must_succeed, defaults.must_succeed),
        "dependencies": list(dependencies),
        "when": {name: template.when[text] for text, name in conditions(copy).items()} or None,
        "concurrency": _concurrency(copy),
        "idempotent": template.idempotent or None,
        "retry": None if template.retry is None else template.retry.model_dump(),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _concurrency(copy: Copy) -> dict[str, Any] | None:
    concurrency = copy.template.concurrency
    if concurrency is None:
        return None
    return concurrency.model_dump() | {"group": substitute(concurrency.group, copy.values, for_name)}


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _put_if(put: Callable[[str], str], text: str | None) -> str | None:
    return None if text is None else put(text)


def _each(put: Callable[[str], str], texts: list[str] | None) -> list[str] | None:
    return None if texts is None else [put(text) for text in texts]


def concerned(copy: Copy, changed: Paths | None) -> bool:
    """Return whether an order's paths have changed; true if it has no paths or the changes are unknown.

    An order whose only pattern is ``NEVER_CHANGED`` runs for a command that names it alone.
    """
    if copy.paths is None or changed is None:
        return copy.paths != (NEVER_CHANGED,)
    return changed.any_included(copy.paths)


def _untouched(copy: Copy) -> str:
    if copy.paths == (NEVER_CHANGED,):
        return "runs only for a command that names it"
    return "none of its paths have changed"


def order_names(
    configuration: Configuration, job_name: str, changed: Sequence[str] | None, deleted_folders: Collection[str]
) -> tuple[str, ...]:
    """Return the names of the orders that a job runs before the merge; the arguments are as for ``expand``."""
    by_name = {copy.name: copy for copy in copies(configuration.jobs[job_name])}
    chosen = _concerned(by_name, configuration.defaults, changed)
    runs = {
        name
        for name in chosen
        if folder_of(by_name[name]) not in deleted_folders and by_name[name].template.after_merge is False
    }
    idle = _idle_overrides(by_name, runs)
    return tuple(name for name in by_name if name in runs and name not in idle)


def planned_by(configuration: Configuration, job_name: str) -> dict[str, str]:
    """Return, for the orders of a job, the order ``<job>/<order>`` of another job that plans the same folder.

    It is the only order of a job with ``on.pull_request`` that has the folder and the same values of the matrix. An
    order of which that cannot be said is left out.
    """
    planning = [
        (f"{name}/{copy.name}", copy)
        for name, job in configuration.jobs.items()
        if name != job_name and job.on.pull_request is not None
        for copy in copies(job)
        if copy.template.approval is None
    ]
    found: dict[str, str] = {}
    for copy in copies(configuration.jobs[job_name]):
        if copy.template.approval is not None:
            continue
        named = applied_order(copy)
        if named is not None:
            planner = next((name for name, other in planning if other.name == named), None)
            if planner is not None:
                found[copy.name] = planner
            continue
        same = [name for name, other in planning if _is_same_project(copy, other)]
        if len(same) == 1:
            found[copy.name] = same[0]
    return found


def applied_order(copy: Copy) -> str | None:
    """Return the name of the order whose plan an order applies, None if it applies none."""
    named = copy.template.apply_plan
    return None if named is None else substitute(named, copy.values, for_name)


def _is_same_project(one: Copy, other: Copy) -> bool:
    shared = one.values.keys() & other.values.keys()
    return folder_of(one) == folder_of(other) and all(one.values[name] == other.values[name] for name in shared)


def _concerned(
    by_name: Mapping[str, Copy], defaults: Settings, changed: Sequence[str] | None, also: Collection[str] = ()
) -> set[str]:
    """Return the orders whose paths have changed, and those that they take something from or are conditional on."""
    paths = None if changed is None else Paths(changed)
    runs = [name for name, copy in by_name.items() if concerned(copy, paths) or name in also]
    return _closure(by_name, runs, lambda copy: taken_orders(copy, defaults))


def expand(
    configuration: Configuration,
    job_name: str,
    values: TemplateValues,
    changed: Sequence[str] | None,
    target: str | None,
    deleted_folders: Collection[str] = (),
    also: Collection[str] = (),
) -> Expansion:
    """Return the orders that a job runs; equal arguments give an equal result.

    ``changed`` are the changed paths, with old and new names of moved files; None means unknown, and then every order
    runs. The orders ``also`` run whatever has changed. A ``target`` is the name of an order or project, the folder of a
    project or a value of the matrix: the orders that it names and their dependencies run, whatever has changed; of
    dependencies of a project's order only those of the same project. An order that depends on an order that does not
    run depends on that order's dependencies instead. An order does not run if its folder is one of ``deleted_folders``,
    which the pull request deletes.

    Raises ``InputProblems`` for an unknown job or target (with the known ones), and if the values make the job too
    large.
    """
    job = configuration.jobs.get(job_name)
    if job is None:
        raise InputProblems([Problem("job", f"unknown job {job_name[:80]!a}; known are {_names(configuration.jobs)}")])
    by_name = {copy.name: copy for copy in copies(job)}
    left_out: dict[str, str]
    if target:
        chosen = _closure(by_name, _targeted(by_name, job_name, target), lambda copy: _needed(copy, by_name))
        left_out = {name: f"is not part of the target {target[:80]}" for name in by_name if name not in chosen}
    else:
        chosen = _concerned(by_name, configuration.defaults, changed, also)
        left_out = {name: _untouched(copy) for name, copy in by_name.items() if name not in chosen}
    deleted = {
        name: f"is skipped: the pull request deletes its folder {folder[:80]}"
        for name, copy in by_name.items()
        if (folder := folder_of(copy)) is not None and folder in deleted_folders and name not in left_out
    }
    left_out |= deleted
    left_out |= dict.fromkeys(_idle_overrides(by_name, by_name.keys() - left_out.keys()), "overrides nothing that runs")
    bridged = _bridged(by_name, left_out)
    known = values.named(job_name) | ({"target": target} if target else {})
    orders: list[Order] = []
    size = 0
    for name, copy in by_name.items():
        if name in left_out:
            continue
        order = order_of(copy, configuration.defaults, known, bridged[name])
        _check_variables(order)
        size += sum(map(len, order.env_vars.values()))
        if size > limits.MAX_EXPANDED_BYTES:
            raise InputProblems(
                [Problem("env_vars", f"have more than {limits.MAX_EXPANDED_BYTES} characters in total")]
            )
        orders.append(order)
    return Expansion(
        job_name,
        job.job_timeout,
        job.max_parallel,
        job.mask,
        job.concurrency,
        tuple(orders),
        tuple(LeftOut(name, reason, name in deleted) for name, reason in left_out.items()),
        order_names(configuration, job_name, changed, deleted_folders),
        frozenset(
            order.order_name
            for order in orders
            if order.order_name is not None and _is_merged(by_name[order.order_name].template, job, configuration)
        ),
    )


def _is_merged(order: ConfiguredOrder, job: ConfiguredJob, configuration: Configuration) -> bool:
    if order.approval is not None:
        return False
    return _first(order.checkout, job.checkout, configuration.defaults.checkout) is CheckoutTarget.MERGE


def uses_merge(configuration: Configuration) -> bool:
    """Return whether an order of any job runs on the merged result."""
    return any(_is_merged(order, job, configuration) for job in configuration.jobs.values() for order in job.orders)


def merged_orders(configuration: Configuration, job_name: str) -> frozenset[str]:
    """Return the names of the orders of a job that run on the merged result."""
    job = configuration.jobs[job_name]
    return frozenset(copy.name for copy in copies(job) if _is_merged(copy.template, job, configuration))


def own_requirements(
    configuration: Configuration, job_name: str
) -> dict[str, tuple[Requirements | None, tuple[str, ...] | None]]:
    """Return what each order of a job requires itself or by its job, and the patterns of its paths."""
    job = configuration.jobs[job_name]
    return {copy.name: (_first(copy.template.require, job.require), copy.paths) for copy in copies(job)}


def applies_after_merge(configuration: Configuration) -> bool:
    """Return whether something is applied after the merge of a pull request, also by projects not found yet."""
    projects = (rule.apply.on is AppliedOn.MERGE for rule in configuration.projects if rule.apply is not None)
    orders = (order.after_merge is not False for job in configuration.jobs.values() for order in job.orders)
    return any(projects) or any(orders)


def reads_after_merge(configuration: Configuration, job_name: str) -> dict[str, tuple[str, ...] | None]:
    """Return the patterns of what is compared after the merge, by the orders that run then; None means all files."""
    found: dict[str, tuple[str, ...] | None] = {}
    for copy in copies(configuration.jobs[job_name]):
        wanted = copy.template.after_merge
        if wanted is not False:
            found[copy.name] = tuple(wanted) if isinstance(wanted, list) else copy.paths
    return found


def _check_variables(order: Order) -> None:
    for name, value in order.env_vars.items():
        if len(value) > limits.MAX_COMMAND_CHARS:
            message = f"of {order.order_name} has more than {limits.MAX_COMMAND_CHARS} characters"
            raise InputProblems([Problem(f"env_vars.{name}", message)])


def _targeted(by_name: Mapping[str, Copy], job_name: str, target: str) -> list[str]:
    found = [name for name, copy in by_name.items() if target in _targets(copy)]
    if not found:
        values = (value for copy in by_name.values() for value in copy.values.values())
        # A project's orders are best named by the project.
        known = dict.fromkeys([*(project_of(copy) or name for name, copy in by_name.items()), *values])
        message = f"unknown order or matrix value {target[:80]!a} of the job {job_name}; known are {_names(known)}"
        raise InputProblems([Problem("target", message)])
    return found


def _targets(copy: Copy) -> set[str]:
    """Return the words that name an order in a command."""
    project = project_of(copy)
    names = {copy.name, *copy.values.values()}
    return names if project is None else {*names, project, folder_of(copy) or "."}


def _needed(copy: Copy, by_name: Mapping[str, Copy]) -> Sequence[str]:
    """Return the dependencies that run with an order that a target names; approvals are never left out."""
    project = project_of(copy)
    if project is None:
        return copy.dependencies
    return [
        name
        for name in copy.dependencies
        if project_of(by_name[name]) == project or by_name[name].template.approval is not None
    ]


def _names(names: Mapping[str, object]) -> str:
    shown = list(names)[:_MOST_NAMES]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def taken_orders(copy: Copy, defaults: Settings) -> tuple[str, ...]:
    """Return the orders from which an order takes something, and those that its ``when`` is about."""
    found = (reference(text) for text in taking_texts(copy, defaults).values())
    names = [*(taken.order for taken in found if taken is not None), *restored_orders(copy), *conditions(copy).values()]
    return tuple(dict.fromkeys(names))


def restored_orders(copy: Copy) -> list[str]:
    """Return the orders of whose files an order restores some, in the sequence of its ``restore``."""
    return [substitute(wanted.order, copy.values, for_name) for wanted in copy.template.restore]


def conditions(copy: Copy) -> dict[str, str]:
    """Return the names of the orders that an order's ``when`` is about, by their templates."""
    return {text: substitute(text, copy.values, for_name) for text in copy.template.when}


def overridden_orders(copy: Copy) -> list[str]:
    """Return the names of the orders whose failure an order's approval overrides."""
    approval = copy.template.approval
    return [] if approval is None else [substitute(text, copy.values, for_name) for text in approval.overrides]


def _idle_overrides(by_name: Mapping[str, Copy], runs: Collection[str]) -> set[str]:
    """Return the approvals of an event that override orders of which none runs."""
    found = {name: overridden_orders(by_name[name]) for name in runs}
    return {name for name, names in found.items() if names and not any(one in runs for one in names)}


def taking_texts(copy: Copy, defaults: Settings) -> dict[str, str]:
    """Return the variables that take outputs of other orders, or look so, with their templates."""
    texts = {name: text for name, text in defaults.env_vars.items() if name not in copy.template.secrets}
    return {name: text for name, text in (texts | copy.template.env_vars).items() if looks_like_reference(text)}


def _closure(by_name: Mapping[str, Copy], names: list[str], needs: Callable[[Copy], Sequence[str]]) -> set[str]:
    """Return the orders ``names`` and, again and again, those that the chosen ones need."""
    chosen = set(names)
    waiting = list(names)
    while waiting:
        for name in needs(by_name[waiting.pop()]):
            if name not in chosen:
                chosen.add(name)
                waiting.append(name)
    return chosen


def _bridged(by_name: Mapping[str, Copy], left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Return each order's dependencies; a dependency that does not run is replaced by its own dependencies."""
    if not left_out:
        return {name: list(copy.dependencies) for name, copy in by_name.items()}
    bridged: dict[str, list[str]] = {}
    entered: set[str] = set()
    for start in by_name:
        if start in entered:
            continue
        entered.add(start)
        stack = [(start, iter(by_name[start].dependencies))]
        while stack:
            name, direct = stack[-1]
            deeper = next((other for other in direct if other in left_out and other not in entered), None)
            if deeper is not None:
                entered.add(deeper)
                stack.append((deeper, iter(by_name[deeper].dependencies)))
                continue
            stack.pop()
            far = (
                other
                for near in by_name[name].dependencies
                for other in (bridged.get(near, ()) if near in left_out else (near,))
            )
            bridged[name] = list(dict.fromkeys(far))
    return bridged
