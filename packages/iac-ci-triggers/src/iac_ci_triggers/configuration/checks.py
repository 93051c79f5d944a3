"""Checks of a whole configured job: pure. Findings have their path below the job."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Final

from iac_ci_common import limits
from iac_ci_common.globs import check_path_pattern
from iac_ci_common.graph import find_cycle
from iac_ci_common.job_validation.approval_rules import NOT_FOR_AN_APPROVAL, other_fields
from iac_ci_common.job_validation.output_rules import variable_findings
from iac_ci_common.job_validation.parser import read_order_draft
from iac_ci_common.job_validation.rules import (
    GROUP_OF_THE_JOB,
    NEEDS_PULL_REQUEST,
    TOO_SHORT_TO_MASK,
    order_findings,
    shared_statuses,
    too_short_to_mask,
)
from iac_ci_common.job_validation.run_time import longest_seconds, too_long_chains
from iac_ci_common.limits import DEFAULT_ORDER_SECONDS
from iac_ci_common.models.commands import command_text, may_change
from iac_ci_common.models.job import ExecutionTarget, Order
from iac_ci_common.order_outputs import looks_like_reference, reference
from iac_ci_common.validation_messages import (
    OWN_CONDITION,
    OWN_DEPENDENCY,
    OWN_FILES,
    OWN_OUTPUT,
    UNKNOWN_ORDER,
    needs_a_dependency,
    never_changed,
    not_a_dependency,
    overrides_an_approval,
    saves_nothing,
    too_long_chain,
    unknown_order,
)
from iac_ci_common.validation_messages import cycle as cycle_message
from iac_ci_triggers.configuration.expansion import (
    Copy,
    conditions,
    copies,
    order_fields,
    overridden_orders,
    restored_orders,
    taking_texts,
)
from iac_ci_triggers.configuration.models import ConfiguredOrder
from iac_ci_triggers.configuration.templates import (
    MATRIX,
    VARIABLES,
    command_problems,
    for_name,
    matrix_values,
    substitute,
    template_problems,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from iac_ci_common.draft import Location
    from iac_ci_triggers.configuration.models import ConfiguredJob, Settings
    from iac_ci_triggers.configuration.yaml_document import Part
    from iac_ci_triggers.required import Requirements

    Found = tuple[tuple[Part, ...], str]

_NONE: Final[frozenset[str]] = frozenset()
_ALL: Final = frozenset(VARIABLES)
_CONFIGURATION_NAMES: Final[dict[str | int, str]] = {
    "order_name": "name",
    "git_folder": "folder",
    "dependencies": "depends_on",
}
_MAX_CYCLES: Final = 10
_COMBINATION: Final = " (for "

_OF_APPROVALS: Final = frozenset({"name", "approval", "depends_on", "when"})
"""Fields that an order with an approval may have."""

_DEFAULT_ORDER: Final = Order.model_construct()
"""An order with nothing set: a copy costs a hundredth of an order that pydantic fills with all defaults."""


def job_findings(job: ConfiguredJob, defaults: Settings, *, order_statuses: bool = False) -> Iterator[Found]:
    """Yield the problems of a job whose single fields are valid; ``order_statuses`` says that orders have statuses.

    A problem of the matrix or of a template hides no others: the orders are checked with the valid values.
    """
    matrix = frozenset(matrix_values(dict.fromkeys(job.matrix, "")))
    matrix_problems = list(_matrix_findings(job, defaults))
    templates = [
        ((*("orders", index), *path), problem)
        for index, order in enumerate(job.orders)
        for path, problem in _template_findings(order, defaults, matrix)
    ]
    yield from matrix_problems
    yield from templates
    yield from _trigger_findings(job)
    yield from _require_findings(job)
    yield from _mask_findings(job, defaults)
    yield from _concurrency_findings(job)
    for index, order in enumerate(job.orders):
        for number, command in enumerate(order.cmds):
            where: tuple[Part, ...] = ("orders", index, "cmds", number)
            where = where if isinstance(command, str) else (*where, "run")
            for problem in command_problems(command_text(command)):
                yield where, problem
        for name in order.env_vars.keys() & order.secrets.keys():
            yield ("orders", index, "secrets", name), "is also set in env_vars; remove one of the two"
    yield from _approval_findings(job)
    yield from _timeout_findings(job, defaults)
    with_problems = {path for path, _ in templates}
    uncertain = bool(matrix_problems) or any(path[2:] == ("name",) for path in with_problems)
    valid = _with_valid_matrix(job) if matrix_problems else job
    for path, problem in _expanded_findings(valid, defaults, order_statuses=order_statuses):
        if path not in with_problems and not (uncertain and problem.startswith(UNKNOWN_ORDER)):
            yield path, problem


def defaults_findings(defaults: Settings, axes: Iterable[str]) -> Iterator[Found]:
    """Yield the problems of ``defaults``, also of values that every order sets itself; ``axes`` are those of all jobs.

    Paths are below ``defaults``.
    """
    matrix = frozenset(matrix_values(dict.fromkeys(axes, "")))
    variables = ((("env_vars", name), text, _ALL) for name, text in defaults.env_vars.items())
    others = ((path, text, _NONE) for path, text in _settings_texts(defaults))
    for path, text, allowed in chain(variables, others):
        if "{{" in text:
            for problem in template_problems(text, allowed, matrix):
                yield path, problem
    for name in defaults.env_vars.keys() & defaults.secrets.keys():
        yield ("secrets", name), "is also set in env_vars; remove one of the two"
    order = ConfiguredOrder(name="defaults", cmds=["true"])
    for path, problem in _value_findings([Copy(0, order, {}, "defaults", None, ())], _without_templates(defaults)):
        yield path[2:], problem


def takes_from_defaults(order: ConfiguredOrder, path: tuple[Part, ...]) -> bool:
    """Return whether an order's value at a path is that of ``defaults``."""
    value = getattr(order, str(path[0]), None)
    if isinstance(value, dict):
        return path[-1] not in value
    return value is None


def _without_templates(defaults: Settings) -> Settings:
    """Return ``defaults`` without the values that templates complete and without variables that are secrets too."""
    fields: dict[str, object] = {}
    for name in type(defaults).model_fields:
        value = getattr(defaults, name)
        if isinstance(value, dict):
            kept = {key: text for key, text in value.items() if "{{" not in text}
            fields[name] = {
                key: text for key, text in kept.items() if name != "env_vars" or key not in defaults.secrets
            }
        elif isinstance(value, list):
            fields[name] = [text for text in value if "{{" not in text]
        elif not (isinstance(value, str) and "{{" in value):
            fields[name] = value
    return defaults.model_copy(update={name: fields.get(name) for name in type(defaults).model_fields})


def _settings_texts(settings: Settings) -> Iterator[Found]:
    """Yield the texts of ``defaults`` that may contain templates of the matrix only, each with its path."""
    for field in ("assume_role", "sops_key"):
        text = getattr(settings, field)
        if text is not None:
            yield (field,), text
    for field in ("ssm_paths", "secret_manager_paths"):
        for number, text in enumerate(getattr(settings, field) or ()):
            yield (field, number), text
    for field in ("secrets", "registries"):
        for name, text in getattr(settings, field).items():
            yield (field, name), text


def _with_valid_matrix(job: ConfiguredJob) -> ConfiguredJob:
    """Return a job with the first valid value of each axis, so that its orders can be checked."""
    axes = {
        axis: [next((value for value in values if "{{" not in value), "none")] for axis, values in job.matrix.items()
    }
    return job.model_copy(update={"matrix": axes})


def _matrix_findings(job: ConfiguredJob, defaults: Settings) -> Iterator[Found]:
    axes = Counter(axis.upper() for axis in job.matrix)
    for axis, values in job.matrix.items():
        if axes[axis.upper()] > 1:
            yield ("matrix", axis), "differs from another axis only in case, and both set the same variable; rename one"
        for value, times in Counter(values).items():
            if times > 1:
                yield ("matrix", axis, values.index(value)), "is in the list more than once; remove one"
        for number, value in enumerate(values):
            if "{{" in value:
                yield ("matrix", axis, number), "cannot contain a template"
    combinations = prod(map(len, job.matrix.values()))
    if combinations * len(job.orders) > limits.MAX_ORDERS:
        copied = f"{combinations} combinations of " if job.matrix else ""
        yield ("matrix",), f"gives {copied}{len(job.orders)} orders; a job has at most {limits.MAX_ORDERS} orders"
    size = sum(len(order.model_dump_json()) + len(defaults.model_dump_json()) for order in job.orders) * combinations
    if size > limits.MAX_EXPANDED_BYTES:
        yield ("orders",), f"have more than {limits.MAX_EXPANDED_BYTES} bytes with all combinations of the matrix"


def _trigger_findings(job: ConfiguredJob) -> Iterator[Found]:
    for name, trigger in (("pull_request", job.on.pull_request), ("push", job.on.push)):
        if trigger is None:
            continue
        for field, patterns in (("branches", trigger.branches), ("paths", trigger.paths)):
            for number, pattern in enumerate(patterns or ()):
                if "{{" in pattern:
                    yield ("on", name, field, number), "cannot contain a template"
    for number, word in enumerate(job.on.command):
        if word in job.on.command[:number]:
            yield ("on", "command", number), f"{word} is in the list more than once; remove one"


def _require_findings(job: ConfiguredJob) -> Iterator[Found]:
    """Yield the problems of requirements, which are asked for when a comment starts the job."""
    places: list[tuple[tuple[Part, ...], Requirements | None]] = [(("require",), job.require)]
    places += [(("orders", index, "require"), order.require) for index, order in enumerate(job.orders)]
    for path, required in places:
        if required is None:
            continue
        others = [name for name in ("pull_request", "push", "schedule") if getattr(job.on, name) is not None]
        if others and not required.is_empty:
            shown = " and ".join(others)
            yield path, f"is for a job that only a command starts; remove {shown}, or move it to such a job"
        for where, problem in requirement_findings(required):
            yield (*path, *where), problem


def requirement_findings(required: Requirements) -> Iterator[Found]:
    """Yield what can never be met, and texts with templates, which requirements cannot have."""
    if required.approved is not None:
        if (problem := required.approved.impossible) is not None:
            yield ("approved",), problem
        for name in required.approved.empty_lists:
            yield (
                ("approved", name),
                "is empty, so that the approval of any writer counts; name people or teams, or leave it out",
            )
    reads = required.undiverged if isinstance(required.undiverged, list) else []
    for name, texts in (("checks", required.checks), ("from", required.from_ or ()), ("undiverged", reads)):
        for number, text in enumerate(texts):
            if "{{" in text:
                yield (name, number), "cannot contain a template"


def _mask_findings(job: ConfiguredJob, defaults: Settings) -> Iterator[Found]:
    if job.mask is None:
        return
    for field in ("also", "never"):
        for number, text in enumerate(getattr(job.mask, field)):
            if "{{" in text:
                yield ("mask", field, number), "cannot contain a template"
    settings: list[Settings] = [*job.orders, defaults]
    if not any(order.ssm_paths or order.secret_manager_paths for order in settings):
        names = {name for order in settings for name in (*order.env_vars, *order.secrets)}
        for number in too_short_to_mask(job.mask, names):
            yield ("mask", "also", number), TOO_SHORT_TO_MASK


def _concurrency_findings(job: ConfiguredJob) -> Iterator[Found]:
    if job.concurrency is not None:
        for index, order in enumerate(job.orders):
            if order.concurrency is not None:
                yield ("orders", index, "concurrency"), GROUP_OF_THE_JOB


def _template_findings(order: ConfiguredOrder, defaults: Settings, matrix: frozenset[str]) -> Iterator[Found]:
    """Yield the problems of templates in the order's texts and in those it takes from ``defaults``."""
    variables = ((("env_vars", name), text, _ALL) for name, text in (defaults.env_vars | order.env_vars).items())
    others = ((path, text, _NONE) for path, text in _matrix_texts(order, defaults))
    for path, text, allowed in chain(others, variables):
        # Templates of outputs are checked with the names of the expanded orders.
        if "{{" in text and not (allowed is _ALL and looks_like_reference(text)):
            for problem in template_problems(text, allowed, matrix):
                yield path, problem


def _matrix_texts(order: ConfiguredOrder, defaults: Settings) -> Iterator[Found]:
    """Yield the texts that may contain templates of the matrix only, each with its path."""
    yield ("name",), order.name
    if order.project is not None:
        yield ("project",), order.project
    for field in ("folder", "assume_role", "sops_key"):
        text = getattr(order, field) or getattr(defaults, field, None)
        if text is not None:
            yield (field,), text
    for field in ("paths", "depends_on", "ssm_paths", "secret_manager_paths"):
        texts = getattr(order, field)
        for number, text in enumerate((getattr(defaults, field, None) if texts is None else texts) or ()):
            yield (field, number), text
    for field in ("secrets", "registries"):
        for name, text in (getattr(defaults, field) | getattr(order, field)).items():
            yield (field, name), text
    yield from _names_of_others(order)
    if order.concurrency is not None:
        yield ("concurrency", "group"), order.concurrency.group


def _names_of_others(order: ConfiguredOrder) -> Iterator[Found]:
    for text in order.when:
        yield ("when", text), text
    for number, restore in enumerate(order.restore):
        yield ("restore", number, "order"), restore.order
    for number, text in enumerate(order.approval.overrides if order.approval is not None else ()):
        yield ("approval", "overrides", number), text


def _approval_findings(job: ConfiguredJob) -> Iterator[Found]:
    for index, order in enumerate(job.orders):
        if order.approval is None:
            continue
        for name in other_fields(order, _OF_APPROVALS):
            yield ("orders", index, name), NOT_FOR_AN_APPROVAL
        if order.approval.by and job.on.push is not None and not order.approval.api:
            yield ("orders", index, "approval", "api"), NEEDS_PULL_REQUEST
        if (order.approval.expires or 0) > job.job_timeout:
            where = ("orders", index, "approval", "expires")
            yield where, f"is more than the {job.job_timeout} seconds of job_timeout"


def _timeout_findings(job: ConfiguredJob, defaults: Settings) -> Iterator[Found]:
    for index, order in enumerate(job.orders):
        if order.approval is not None:
            continue
        seconds = order.timeout or defaults.timeout or DEFAULT_ORDER_SECONDS
        if seconds > job.job_timeout:
            where: tuple[Part, ...] = ("orders", index, "timeout")
            yield where, f"is {seconds} seconds, more than the {job.job_timeout} seconds of job_timeout"


def _expanded_findings(job: ConfiguredJob, defaults: Settings, *, order_statuses: bool) -> Iterator[Found]:
    """Yield the problems of the expanded orders; a problem of several copies is reported for the first."""
    all_copies = list(copies(job))
    first: dict[tuple[Part, ...], str] = {}
    findings = (
        _value_findings(all_copies, defaults),
        _name_findings(all_copies),
        _status_findings(all_copies) if order_statuses else (),
        _output_findings(all_copies, defaults),
        _when_findings(all_copies),
        _override_findings(all_copies),
    )
    for path, problem in chain.from_iterable(findings):
        first.setdefault(path, problem)
    yield from first.items()
    yield from _cycle_findings(all_copies)
    yield from _chain_findings(all_copies, defaults)


def _value_findings(all_copies: list[Copy], defaults: Settings) -> Iterator[Found]:
    for copy in all_copies:
        order_path: tuple[Part, ...] = ("orders", copy.index)
        for number, pattern in enumerate(copy.paths or ()):
            try:
                check_path_pattern(pattern)
            except ValueError as error:
                yield (*order_path, "paths", number), str(error) + _shown(copy)
        draft = read_order_draft(order_fields(copy, defaults, dict.fromkeys(VARIABLES, ""), copy.dependencies))
        for location, problem in draft.findings:
            yield (*order_path, *_in_configuration(location)), problem + _shown(copy)
        for path, problem in order_findings(draft.value) if draft.value is not None else ():
            if not draft.is_about_a_stand_in(path):
                yield (*order_path, *_in_configuration(path)), problem + _shown(copy)


def _in_configuration(location: Location) -> Location:
    """Return a location in an order of a job with the configuration's names of the fields."""
    return (_CONFIGURATION_NAMES.get(location[0], location[0]), *location[1:]) if location else location


def _shown(copy: Copy) -> str:
    if not copy.values:
        return ""
    pairs = ", ".join(f"{name.removeprefix(MATRIX)} {value[:40]!a}" for name, value in copy.values.items())
    return f"{_COMBINATION}{pairs})"


def without_combination(problem: str) -> str:
    """Return the message of a finding without the combination of the matrix that it is about."""
    return problem.partition(_COMBINATION)[0]


def _name_findings(all_copies: list[Copy]) -> Iterator[Found]:
    times = Counter(copy.name for copy in all_copies)
    for copy in all_copies:
        if times[copy.name] > 1:
            hint = "; add the matrix's values to the name" if copy.values else ""
            yield ("orders", copy.index, "name"), f"{copy.name!r} is the name of more than one order{hint}"
        if copy.name not in copy.dependencies and times.keys() >= set(copy.dependencies):
            continue
        for number, text in enumerate(copy.template.depends_on):
            name = substitute(text, copy.values, for_name)
            if name == copy.name or name not in times:
                problem = OWN_DEPENDENCY if name == copy.name else unknown_order(name)
                yield ("orders", copy.index, "depends_on", number), problem + _shown(copy)


def _status_findings(all_copies: list[Copy]) -> Iterator[Found]:
    for index, problem in shared_statuses((copy.name for copy in all_copies), "order"):
        yield ("orders", all_copies[index].index, "name"), problem


def _output_findings(all_copies: list[Copy], defaults: Settings) -> Iterator[Found]:
    savers = {copy.name: bool(copy.template.save) for copy in all_copies}
    for copy in all_copies:
        texts = taking_texts(copy, defaults)
        for variable, problem in variable_findings(texts, []):
            yield ("orders", copy.index, "env_vars", variable), problem + _shown(copy)
        for variable, text in texts.items():
            found = reference(text)
            if found is not None and (message := _not_to_take(found.order, copy, savers, OWN_OUTPUT)):
                yield ("orders", copy.index, "env_vars", variable), message + _shown(copy)
        for position, name in enumerate(restored_orders(copy)):
            message = _not_to_take(name, copy, savers, OWN_FILES)
            if message is None and not savers[name]:
                message = saves_nothing(name)
            if message is not None:
                yield ("orders", copy.index, "restore", position, "order"), message + _shown(copy)


def _when_findings(all_copies: list[Copy]) -> Iterator[Found]:
    commands = {copy.name: copy.template.cmds for copy in all_copies}
    for copy in all_copies:
        for text, name in conditions(copy).items():
            if name not in commands:
                message = unknown_order(name)
            elif name == copy.name:
                message = OWN_CONDITION
            elif name not in copy.dependencies:
                message = needs_a_dependency(name, "depends_on")
            elif not any(map(may_change, commands[name])):
                message = never_changed(name)
            else:
                continue
            yield ("orders", copy.index, "when", text), message + _shown(copy)


def _override_findings(all_copies: list[Copy]) -> Iterator[Found]:
    approvals = {copy.name: copy.template.approval is not None for copy in all_copies}
    for copy in all_copies:
        for number, name in enumerate(overridden_orders(copy)):
            if name not in approvals:
                message = unknown_order(name)
            elif name == copy.name:
                message = OWN_CONDITION
            elif name not in copy.dependencies:
                message = needs_a_dependency(name, "depends_on")
            elif approvals[name]:
                message = overrides_an_approval(name)
            else:
                continue
            yield ("orders", copy.index, "approval", "overrides", number), message + _shown(copy)


def _not_to_take(name: str, copy: Copy, names: Container[str], own: str) -> str | None:
    """Return why an order cannot take something of the order ``name``, None if it can."""
    if name not in names:
        return unknown_order(name)
    if name == copy.name:
        return own
    if name not in copy.dependencies:
        return not_a_dependency(name, "depends_on")
    return None


def _cycle_findings(all_copies: list[Copy]) -> Iterator[Found]:
    edges = {copy.name: [name for name in copy.dependencies if name != copy.name] for copy in all_copies}
    for _ in range(_MAX_CYCLES):
        cycle = find_cycle(edges)
        if cycle is None:
            return
        yield ("orders",), cycle_message(cycle)
        for name in set(cycle):
            del edges[name]


def _chain_findings(all_copies: list[Copy], defaults: Settings) -> Iterator[Found]:
    by_name = {copy.name: copy for copy in all_copies}
    seconds = {name: longest_seconds(_timed(copy, defaults)) for name, copy in by_name.items()}
    chains = too_long_chains(seconds, {name: copy.dependencies for name, copy in by_name.items()})
    reported: set[int] = set()
    for name, names, total in chains:
        copy = by_name[name]
        if copy.index not in reported:
            reported.add(copy.index)
            yield ("orders", copy.index, "depends_on"), too_long_chain(names, total)


def _timed(copy: Copy, defaults: Settings) -> Order:
    """Return an order with the fields of its time and target alone, of which each is valid by itself."""
    own = copy.template
    execution_target = own.execution_target or defaults.execution_target
    fields = {
        "approval": own.approval,
        "retry": own.retry,
        "timeout": own.timeout or defaults.timeout or DEFAULT_ORDER_SECONDS,
        "stop_grace": defaults.stop_grace if own.stop_grace is None else own.stop_grace,
        "execution_target": execution_target or ExecutionTarget.AUTO,
        "size": own.size or defaults.size,
    }
    return _DEFAULT_ORDER.model_copy(update=fields)
