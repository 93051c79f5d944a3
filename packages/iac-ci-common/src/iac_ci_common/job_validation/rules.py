"""Checks the whole job against the stack's rules and returns every problem: pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from iac_ci_common import limits
from iac_ci_common.errors import Problem
from iac_ci_common.globs import matches
from iac_ci_common.grants import NOTHING, Grant, own_folder
from iac_ci_common.graph import find_cycle
from iac_ci_common.ids import order_num
from iac_ci_common.initial_rows import code_repository, order_name, target
from iac_ci_common.job_validation.approval_rules import approval_findings, override_problems
from iac_ci_common.job_validation.output_rules import output_problems
from iac_ci_common.job_validation.problem_paths import problem_path
from iac_ci_common.job_validation.run_time import longest_seconds, too_long_chains
from iac_ci_common.job_validation.when_rules import when_problems
from iac_ci_common.keys import code_digest
from iac_ci_common.locations import SecretStore, parse_location
from iac_ci_common.models.commands import command_text, exit_code_findings
from iac_ci_common.models.job import CredentialsDelivery, ExecutionTarget, Job, Mask, Order
from iac_ci_common.module_repositories import module_keys
from iac_ci_common.registries import registry_variable
from iac_ci_common.repository_url import repository_problem
from iac_ci_common.validation_messages import OWN_DEPENDENCY, too_long_chain, unknown_order
from iac_ci_common.validation_messages import cycle as cycle_message

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from iac_ci_common.draft import Location as Place
    from iac_ci_common.locations import Location

MAX_FOUND: Final = 1000
"""Most problems that are searched."""

CREDENTIALS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Environment variables that ``assume_role`` sets."""

TOO_SHORT_TO_MASK: Final = (
    f"is no variable of an order, and is shorter than {limits.MIN_MASKED_CHARS} characters without white space"
)

GROUP_OF_THE_JOB: Final = "cannot be named: the job's own concurrency holds a group for all of its orders"

_MAX_CYCLES: Final = 10
_LOCK_NAME: Final = ".terraform.lock.hcl"

API_HAS_NO_PEOPLE: Final = (
    "names people of a code host, who answer in comments on a pull request that started the run; a job that is sent has"
    " none: remove it and set api"
)

NEEDS_API: Final = "must be true: nobody else could answer, because no pull request started the job"

NEEDS_PULL_REQUEST: Final = (
    "must be true: nobody else could answer, because no pull request starts this run where people could comment"
)

TOKENS_FOLDER: Final = "tokens/"
"""Folder below the prefix with the code hosts' tokens; ``policies/orchestrator.json`` names it too."""

DEFAULT_SECRETS_PREFIX: Final = "/iac-ci/jobs/"
"""Prefix of the secrets that jobs may name, unless the stack sets another."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits of this stack; ``source`` is the origin of the job: ``api`` or a code host's repository.

    ``grant`` is what the source's jobs may use beside the secrets of its own folder. ``own_tokens`` are locations that
    the operator set for the source's code host: the engine itself adds them to jobs. ``own_buckets`` are those of the
    stack, of which a job may name code archives only. ``sizes`` are the machines that orders may name; None where they
    are not known.
    """

    source: str = "api"
    secrets_prefix: str = DEFAULT_SECRETS_PREFIX
    grant: Grant = NOTHING
    own_tokens: frozenset[str] = frozenset()
    allow_file_repositories: bool = False
    own_buckets: frozenset[str] = frozenset()
    sizes: frozenset[str] | None = None


def problems(job: Job, rules: Rules) -> list[Problem]:
    """Return every problem of a job: its own, each order's, and those between orders.

    The list is limited to ``MAX_FOUND``: a body can have a million problems, which do not fit into a function's memory.
    """
    found = chain(
        _job_problems(job, rules),
        _concurrency_problems(job),
        _name_problems(job),
        _cycle_problems(job),
        (problem for index, order in enumerate(job.orders) for problem in _order_problems(job, index, order, rules)),
        _dependency_problems(job),
        _chain_problems(job),
        output_problems(job, _numbers(job)),
        when_problems(job, _numbers(job)),
        override_problems(job, _numbers(job)),
    )
    return list(islice(found, MAX_FOUND))


def _job_problems(job: Job, rules: Rules) -> Iterator[Problem]:
    if job.git_repo is not None and (
        problem := repository_problem(job.git_repo, allow_file=rules.allow_file_repositories)
    ):
        yield Problem("git_repo", problem)
    if job.commit_hash is not None and job.git_repo is None:
        yield Problem("commit_hash", "needs a git_repo")
    for where in ("git_token_location", "git_ssh_key_location"):
        location = getattr(job, where)
        if location is not None and location not in rules.own_tokens:
            yield from _location_problems(where, location, rules)
    if job.git_token_location is not None and (job.pr_number or job.issue_number or job.commit_status):
        tokens = _tokens(job.git_token_location, rules)
        # The orchestrator writes the run's last comment, and its role may only read secrets below the tokens' folder.
        if not parse_location(job.git_token_location).name.startswith(tokens):
            yield Problem(
                "git_token_location",
                f"must begin with {tokens}, because the orchestrator reads no others",
            )
    # A longer one is a problem of its order.
    longest = min(max(order.timeout for order in job.orders), limits.MAX_CODEBUILD_ORDER_SECONDS)
    by_default = "" if "job_timeout" in job.model_fields_set else f"{job.job_timeout} by default, "
    if job.job_timeout < longest:
        text = f"is {by_default}shorter than the longest order's timeout; set at least {longest} seconds"
        yield Problem("job_timeout", text)
    yield from _approval_problems(job, rules, by_default, longest)
    shortest = limits.MIN_PRESIGN_SECONDS
    if job.presign_expiry is not None and job.presign_expiry < shortest:
        yield Problem("presign_expiry", f"is too short to use a URL; set at least {shortest} seconds")
    if job.mask is not None:
        yield from _mask_problems(job, job.mask)


def _approval_problems(job: Job, rules: Rules, by_default: str, longest: int) -> Iterator[Problem]:
    """Yield the problems of approvals that depend on the whole job: who could answer, and whether there is time."""
    expiries = [order.approval.expires or 0 for order in job.orders if order.approval is not None]
    if (expires := max(expiries, default=0)) > job.job_timeout >= longest:
        text = f"is {by_default}shorter than the longest approval's expires; set at least {expires} seconds"
        yield Problem("job_timeout", text)
    for index, order in enumerate(job.orders):
        if order.approval is None:
            continue
        where = f"orders[{index}].approval"
        if rules.source == "api":
            if order.approval.by:
                yield Problem(f"{where}.by", API_HAS_NO_PEOPLE)
            if not order.approval.api:
                yield Problem(f"{where}.api", NEEDS_API)
        elif job.pr_number is None and not order.approval.api:
            yield Problem(f"{where}.api", NEEDS_PULL_REQUEST)


def _concurrency_problems(job: Job) -> Iterator[Problem]:
    if job.concurrency is not None:
        for index, order in enumerate(job.orders):
            if order.concurrency is not None:
                yield Problem(f"orders[{index}].concurrency", GROUP_OF_THE_JOB)


def _mask_problems(job: Job, mask: Mask) -> Iterator[Problem]:
    # Which variables these become is known only when the secrets are read.
    if not any(order.ssm_paths or order.secret_manager_paths for order in job.orders):
        names = {name for order in job.orders for name in (*order.env_vars, *order.secrets)}
        for number in too_short_to_mask(mask, names):
            yield Problem(f"mask.also[{number}]", TOO_SHORT_TO_MASK)


def too_short_to_mask(mask: Mask, names: Container[str]) -> Iterator[int]:
    """Yield the indexes of the texts of ``also`` that are too short and name none of the variables ``names``."""
    for number, text in enumerate(mask.also):
        if text not in names and len("".join(text.split())) < limits.MIN_MASKED_CHARS:
            yield number


def _order_problems(job: Job, index: int, order: Order, rules: Rules) -> Iterator[Problem]:
    path = f"orders[{index}]"
    for below, message in order_findings(order):
        yield Problem(problem_path(("orders", index, *below)), message)
    if order.approval is not None:
        return
    yield from _code_problems(path, job, order, rules)
    yield from _git_problems(path, job, order)
    if order.assume_role is not None and not rules.grant.allows_role(order.assume_role):
        yield Problem(
            f"{path}.assume_role", f"is not on this stack's list of roles that jobs from {rules.source} may use"
        )
    if order.size is not None and rules.sizes is not None and order.size not in rules.sizes:
        known = ", ".join(sorted(rules.sizes)) or "none; its operator maps them with order_sizes"
        yield Problem(f"{path}.size", f"{order.size!r} is no size of this stack; its sizes: {known}")
    named = [
        *((f"{path}.ssm_paths[{number}]", location) for number, location in enumerate(order.ssm_paths)),
        *((f"{path}.secret_manager_paths[{number}]", entry) for number, entry in enumerate(order.secret_manager_paths)),
        *((f"{path}.secrets.{name}", location) for name, location in order.secrets.items()),
        *((f"{path}.registries.{host}", location) for host, location in order.registries.items()),
        *([(f"{path}.sops_key", order.sops_key)] if order.sops_key is not None else []),
    ]
    for where, location in named:
        yield from _location_problems(where, location, rules)
        if rules.source != "api" and parse_location(location).name.startswith(_tokens(location, rules)):
            # The base branch names the secrets, and many people may write to it: they must not get the engine's tokens.
            yield Problem(where, "is one of this stack's code host tokens, which a repository's jobs may not read")
    yield from _variable_problems(path, order)


def _variable_problems(path: str, order: Order) -> Iterator[Problem]:
    for name in sorted(set(order.env_vars) & set(order.secrets)):
        yield Problem(f"{path}.secrets.{name}", "is also set in env_vars; remove one of the two")
    for name, value in order.env_vars.items():
        if "\0" in value or len(value) > limits.MAX_COMMAND_CHARS:
            yield Problem(
                f"{path}.env_vars.{name}",
                f"contains a NUL or more than {limits.MAX_COMMAND_CHARS} characters",
            )
    size = sum(len(name.encode()) + len(value.encode()) + 2 for name, value in order.env_vars.items())
    if size > limits.MAX_VARIABLE_BYTES:
        yield Problem(f"{path}.env_vars", f"have more than {limits.MAX_VARIABLE_BYTES} bytes in total")


def order_findings(order: Order) -> Iterator[tuple[Place, str]]:
    """Yield the problems of a single order, from a job or a configuration, each with its path below the order."""
    if order.approval is not None:
        yield from approval_findings(order)
        return
    yield from _missing_findings(order)
    yield from _command_findings(order)
    yield from _target_findings(order)
    if order.git_folder is not None:
        folder = PurePosixPath(order.git_folder)
        if folder.is_absolute() or ".." in folder.parts or "\\" in order.git_folder:
            yield ("git_folder",), "must be a relative path without .."
    yield from _plan_findings(order)
    yield from _credentials_findings(order)
    yield from _registry_findings(order)
    if order.assume_role is not None:
        for field_name, variables in (("env_vars", order.env_vars), ("secrets", order.secrets)):
            for name in CREDENTIALS:
                if name in variables:
                    yield (field_name, name), "is also set by assume_role; remove one of the two"


def _missing_findings(order: Order) -> Iterator[tuple[Place, str]]:
    if not order.cmds:
        yield ("cmds",), "is empty" if "cmds" in order.model_fields_set else "is missing"
    if order.timeout < 1:
        yield ("timeout",), "must be more than 0" if "timeout" in order.model_fields_set else "is missing"


def _target_findings(order: Order) -> Iterator[tuple[Place, str]]:
    chosen = target(order)
    longest = {
        ExecutionTarget.LAMBDA: limits.MAX_LAMBDA_ORDER_SECONDS,
        ExecutionTarget.CODEBUILD: limits.MAX_CODEBUILD_ORDER_SECONDS,
    }[chosen]
    if order.timeout > longest:
        yield ("timeout",), f"is more than the {longest} seconds that {chosen.value} allows"
    elif (
        chosen is ExecutionTarget.LAMBDA and order.stop_grace is not None and order.timeout + order.stop_grace > longest
    ):
        left = longest - order.timeout
        room = f"; timeout leaves {left} seconds" if left else ", all of which timeout takes"
        yield (
            ("stop_grace",),
            f"is more than lambda allows: timeout and stop_grace together have {longest} seconds there{room}",
        )
    if order.size is not None and chosen is ExecutionTarget.LAMBDA:
        yield ("size",), "is of builds only; remove it, or the target lambda"


def _plan_findings(order: Order) -> Iterator[tuple[Place, str]]:
    if order.plan is not None and not matches(order.save, order.plan.file):
        yield ("plan", "file"), "is not among the files of save; add it, so that the plan is kept"
    if order.plan is not None and order.plan.json_file in {order.plan.file, _LOCK_NAME}:
        yield ("plan", "json_file"), "is the name of the plan or of its lock file; choose another one"


def _credentials_findings(order: Order) -> Iterator[tuple[Place, str]]:
    if order.credentials is None:
        return
    if order.assume_role is None:
        yield ("credentials",), "needs an assume_role, whose credentials it delivers"
    if order.credentials is not CredentialsDelivery.ENVIRONMENT:
        return
    for seconds, longest, limited in (
        (order.timeout, limits.MAX_ENVIRONMENT_CREDENTIALS_SECONDS, "timeout"),
        (
            order.timeout + (order.stop_grace or 0),
            limits.MAX_ENVIRONMENT_CREDENTIALS_GRACE_SECONDS,
            "timeout and stop_grace together",
        ),
    ):
        if seconds > longest:
            problem = (
                f"`environment` is for at most {longest} seconds of {limited}, and this order has {seconds}: nothing"
            )
            yield ("credentials",), f"{problem} renews these credentials; set less, or remove `credentials`"
            return


def _git_problems(path: str, job: Job, order: Order) -> Iterator[Problem]:
    for number, entry in enumerate(order.git_credentials):
        try:
            module_keys([entry], code_repository(job, order))
        except ValueError as error:
            yield Problem(f"{path}.git_credentials[{number}]", str(error))
    if order.git_credentials and job.git_token_location is None:
        yield Problem(
            f"{path}.git_credentials", "needs git_token_location, that of the connection that lists these repositories"
        )


def _registry_findings(order: Order) -> Iterator[tuple[Place, str]]:
    for host in order.registries:
        variable = registry_variable(host)
        for field_name, variables in (("env_vars", order.env_vars), ("secrets", order.secrets)):
            if variable in variables:
                yield ("registries", host), f"is also set in {field_name} as {variable}; remove one of the two"


def _command_findings(order: Order) -> Iterator[tuple[Place, str]]:
    for number, command in enumerate(order.cmds):
        if not command_text(command).strip():
            yield ("cmds", number) if isinstance(command, str) else ("cmds", number, "run"), "is empty"
    yield from exit_code_findings(order.cmds, order.retry, idempotent=order.idempotent)


def _code_problems(path: str, job: Job, order: Order, rules: Rules) -> Iterator[Problem]:
    if order.git_repo is not None:
        if problem := repository_problem(order.git_repo, allow_file=rules.allow_file_repositories):
            yield Problem(f"{path}.git_repo", problem)
        if order.s3_location is not None:
            yield Problem(
                f"{path}.s3_location",
                "is set together with git_repo; remove one of the two",
            )
    if order.s3_location is not None:
        bucket, _, key = order.s3_location.removeprefix("s3://").partition("/")
        if len(key.encode()) > limits.MAX_KEY_BYTES:
            yield Problem(f"{path}.s3_location", f"has a key of more than {limits.MAX_KEY_BYTES} bytes")
        if bucket in rules.own_buckets and code_digest(key) is None:
            yield Problem(
                f"{path}.s3_location",
                "is in a bucket of the stack and is no code archive there; use another bucket, or upload the code with "
                "`iac-ci submit --code`",
            )
    repository = order.git_repo or (job.git_repo if order.s3_location is None else None)
    if order.commit_hash is not None and repository is None:
        yield Problem(f"{path}.commit_hash", "needs a git_repo")
    yield from _merge_problems(path, order, repository)
    # The job's commit belongs to the job's repository, so it does not pin another one.
    pinned = order.commit_hash or (job.commit_hash if repository == job.git_repo else None)
    if repository is not None and pinned is None:
        yield Problem(f"{path}.commit_hash", "is missing; code from git needs a full commit hash")
    if order.git_folder is not None and repository is None and order.s3_location is None:
        yield Problem(f"{path}.git_folder", "needs a git_repo or an s3_location")


def _merge_problems(path: str, order: Order, repository: str | None) -> Iterator[Problem]:
    if order.merge_into is not None and order.s3_location is not None:
        yield Problem(f"{path}.merge_into", "excludes s3_location; only code from git can be merged")
    elif order.merge_into is not None and repository is None:
        yield Problem(f"{path}.merge_into", "needs a git_repo")
    if order.merge_commit is not None and order.merge_into is None:
        yield Problem(f"{path}.merge_commit", "needs merge_into, the commit that is merged into")


def _location_problems(where: str, location: str, rules: Rules) -> Iterator[Problem]:
    """Check that a job may name a secret: by the stack's prefix, then by what its source is granted."""
    secret = parse_location(location)
    prefix = _prefix(secret, rules)
    # A full ARN is refused too, because its name does not begin with the prefix.
    if not secret.name.startswith(prefix):
        yield Problem(where, f"does not begin with {prefix}, the prefix of this stack's secrets for jobs")
        return
    if not rules.grant.allows_secret(secret.name.removeprefix(prefix), rules.source):
        yield Problem(
            where,
            f"is not on this stack's list of secrets that jobs from {rules.source} may name; without an entry there "
            f"they may name those below {prefix}{own_folder(rules.source)}",
        )


def _tokens(location: str, rules: Rules) -> str:
    return f"{_prefix(parse_location(location), rules)}{TOKENS_FOLDER}"


def _prefix(location: Location, rules: Rules) -> str:
    return rules.secrets_prefix if location.store is SecretStore.SSM else rules.secrets_prefix.lstrip("/")


def _name_problems(job: Job) -> Iterator[Problem]:
    if job.order_statuses and len(job.orders) <= limits.MAX_ORDER_STATUSES:
        for index, message in shared_statuses((order_name(order, n) for n, order in enumerate(job.orders)), "order"):
            yield Problem(f"orders[{index}].order_name", message)
    names = Counter(order_name(order, index) for index, order in enumerate(job.orders))
    ids = Counter(order.queue_id for order in job.orders if order.queue_id is not None)
    for index, order in enumerate(job.orders):
        name = order_name(order, index)
        if names[name] > 1:
            yield Problem(f"orders[{index}].order_name", f"{name!r} is the name of more than one order")
        if order.queue_id is None:
            continue
        if ids[order.queue_id] > 1:
            yield Problem(f"orders[{index}].queue_id", f"{order.queue_id!r} is the queue_id of more than one order")
        elif order.queue_id in names and order.queue_id != name:
            yield Problem(f"orders[{index}].queue_id", f"{order.queue_id!r} is the name of another order")


def shared_statuses(names: Iterable[str], kind: str) -> Iterator[tuple[int, str]]:
    """Yield the indexes of names whose statuses are those of other names: code hosts compare them ignoring case.

    Each comes with a message; ``kind`` is what has the names.
    """
    spellings: dict[str, str] = {}
    for index, name in enumerate(names):
        if (other := spellings.setdefault(name.lower(), name)) != name:
            yield (
                index,
                f"has the name of the {kind} {other!r} in other letters, whose status would be the same; rename it",
            )


def _numbers(job: Job) -> dict[str, str]:
    """Return the number of the first order for every name that a dependency may use."""
    numbers: dict[str, str] = {}
    for index, order in enumerate(job.orders):
        for name in (order_name(order, index), order.queue_id):
            if name is not None:
                numbers.setdefault(name, order_num(index))
    return numbers


def _dependency_problems(job: Job) -> Iterator[Problem]:
    numbers = _numbers(job)
    for index, order in enumerate(job.orders):
        for position, name in enumerate(order.dependencies):
            where = f"orders[{index}].dependencies[{position}]"
            if name not in numbers:
                yield Problem(where, unknown_order(name))
            elif numbers[name] == order_num(index):
                yield Problem(where, OWN_DEPENDENCY)


def _cycle_problems(job: Job) -> Iterator[Problem]:
    """Yield cycles that share no order; an order's dependency on itself is reported as another problem."""
    names = {order_num(index): order_name(order, index) for index, order in enumerate(job.orders)}
    edges = _edges(job)
    for _ in range(_MAX_CYCLES):
        cycle = find_cycle(edges)
        if cycle is None:
            return
        yield Problem("orders", cycle_message([names[num] for num in cycle]))
        for num in set(cycle):
            del edges[num]


def _chain_problems(job: Job) -> Iterator[Problem]:
    """Yield orders that cannot end while the run lives, because of those that must end before them."""
    names = {order_num(index): order_name(order, index) for index, order in enumerate(job.orders)}
    indexes = {order_num(index): index for index in range(len(job.orders))}
    seconds = {order_num(index): longest_seconds(order) for index, order in enumerate(job.orders)}
    for num, chain_of_nums, total in too_long_chains(seconds, _edges(job)):
        message = too_long_chain([names[one] for one in chain_of_nums], total)
        yield Problem(f"orders[{indexes[num]}].dependencies", message)


def _edges(job: Job) -> dict[str, list[str]]:
    """Return the numbers of the orders that each order depends on; unknown ones and itself are left out."""
    numbers = _numbers(job)
    return {
        order_num(index): [
            num for name in order.dependencies if (num := numbers.get(name)) not in {None, order_num(index)}
        ]
        for index, order in enumerate(job.orders)
    }
