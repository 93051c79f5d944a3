"""Makes the jobs ``plan`` and ``apply`` from the projects that were found: pure. They are ordinary configured jobs."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from posixpath import normpath
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.errors import ConfigurationProblems, PreparationFailed, Problem
from iac_ci_common.globs import compiled, escape
from iac_ci_common.graph import find_cycle
from iac_ci_common.left_out import LeftOut
from iac_ci_common.tree import Tree, joined
from iac_ci_projects import (
    MAX_PROJECTS,
    Found,
    FoundProject,
    Rule,
    Tool,
    TooManyProjects,
    find_projects,
    without_circles,
)
from iac_ci_triggers.configuration.expansion import NEVER_CHANGED
from iac_ci_triggers.configuration.models import (
    AppliedOn,
    AppliedPlan,
    ApplyRule,
    ConcurrencyTemplate,
    ConfiguredJob,
    ConfiguredOrder,
    PlanTemplate,
    ProjectRule,
    PullRequestTrigger,
    RestoreTemplate,
    Settings,
    Triggers,
)
from iac_ci_triggers.configuration.templates import for_name, matrix_values, substitute

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from iac_ci_triggers.configuration.models import Configuration, Workflow

PLAN: Final = "plan"
APPLY: Final = "apply"
DRIFT: Final = "drift"
PROJECT_JOBS: Final = (PLAN, APPLY)
"""The names of the jobs of projects, which are also the commands that start them."""

JOB_SECONDS: Final = 12 * 3600
"""``job_timeout`` of the jobs of projects: a chain of applies, each up to the longest order, and the waiting."""

PLAN_FILE: Final = "iac-ci.tfplan"
LOCK_FILE: Final = ".terraform.lock.hcl"

_MAX_NAME: Final = 100
_PROGRAMS: Final = {Tool.TERRAFORM: "terraform", Tool.OPENTOFU: "tofu"}
_ENVIRONMENT: Final = {"TF_IN_AUTOMATION": "true"}
_TERRAGRUNT: Final = {"TG_NON_INTERACTIVE": "true", "TERRAGRUNT_NON_INTERACTIVE": "true"}


@dataclass(frozen=True, slots=True)
class ProjectJobs:
    """A configuration with the jobs of its projects.

    ``deleted`` are the folders of projects that the change deletes. ``left_out`` are folders that cannot be projects,
    with the reason, and ``remarks`` are about files that cannot be read; both are for the user.
    """

    configuration: Configuration
    deleted: frozenset[str] = frozenset()
    left_out: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Project:
    """A folder with one combination of the matrix of the rule that finds it."""

    rule: ProjectRule
    found: FoundProject
    values: Mapping[str, str]
    """The combination's values by their axes."""

    name: str = ""
    after: list[_Project] = field(default_factory=list)

    def put(self, text: str) -> str:
        """Return text with the templates of the matrix replaced."""
        return substitute(text, matrix_values(self.values))

    @property
    def workspace(self) -> str | None:
        """The workspace, None for the default one."""
        return None if self.rule.workspace is None else self.put(self.rule.workspace)

    @property
    def own_files(self) -> tuple[str, ...]:
        """The files of variables and of backend settings, from the project's folder."""
        return tuple(self.put(path) for path in (*self.rule.var_files, *self.rule.backend_config))

    @property
    def key(self) -> tuple[object, ...]:
        """What tells two projects apart."""
        return self.found.folder, self.workspace, self.own_files


def with_project_jobs(
    configuration: Configuration, tree: Tree, removed: Iterable[str] = (), changed: Collection[str] = ()
) -> ProjectJobs:
    """Return the configuration with the jobs ``plan`` and ``apply`` for the projects of a commit.

    ``removed`` are the paths that the change removes, with the former names of moved files, ``changed`` all that it
    changes. ``iac-ci expand`` prints these jobs and the engine runs them. Raises ``ConfigurationProblems`` for too many
    projects, where ``depends_on`` leads back to a project, and if ``.iac-ci-ignore`` cannot be read.
    """
    if not configuration.projects:
        return ProjectJobs(configuration)
    rules = [
        Rule(tuple(rule.find or ()), None if rule.folder is None else _from_root(rule.folder), rule.tool)
        for rule in configuration.projects
    ]
    try:
        found = find_projects(rules, tree, removed)
        if LeftOut.FILE_NAME in changed:
            found = _with_hidden(found, find_projects(rules, _without_left_out(tree), removed))
    except TooManyProjects as error:
        raise ConfigurationProblems([Problem("projects", str(error))]) from None
    except PreparationFailed as error:
        raise ConfigurationProblems([Problem("projects", error.message)]) from None
    projects = _named(_combined(configuration.projects, found))
    remarks = [*_without_projects(configuration.projects, found, projects)]
    remarks += [remark for project in found.projects for remark in project.remarks] + _order(projects)
    files = {project.name: _own_paths(project, tree) for project in projects}
    orders = {project.name: _Orders(project, projects, files, configuration) for project in projects}
    plans = [each.plan() for each in orders.values()]
    if configuration.drift is not None:
        remarks += _without_drift(orders.values())
    applies = [
        order
        for each in orders.values()
        for order in each.applies([f"{APPLY}-{other.name}" for other in each.project.after])
    ]
    # The orders were made of checked values; a job without projects has none, which no file can say.
    plan_job = ConfiguredJob.model_construct(
        on=Triggers(pull_request=PullRequestTrigger(), command=[PLAN]), job_timeout=JOB_SECONDS, orders=plans
    )
    apply_job = ConfiguredJob.model_construct(
        on=Triggers(command=[APPLY], before_merge=True), job_timeout=JOB_SECONDS, orders=applies
    )
    jobs = {**configuration.jobs, PLAN: plan_job, APPLY: apply_job}
    if configuration.drift is not None:
        jobs[DRIFT] = ConfiguredJob.model_construct(
            on=Triggers(schedule=configuration.drift),
            job_timeout=JOB_SECONDS,
            orders=[each.drift() for each in orders.values() if each.project.rule.drift and each.is_readable],
        )
    return ProjectJobs(
        configuration.model_copy(update={"jobs": jobs, "projects": [], "workflows": {}, "drift": None}),
        frozenset(project.folder for project in found.projects if project.is_deleted),
        found.left_out,
        tuple(dict.fromkeys(remarks)),
    )


def _without_left_out(tree: Tree) -> Tree:
    """Return a tree in which nothing is left out."""
    return Tree(tree.entries, {path: text for path, text in tree.contents.items() if path != LeftOut.FILE_NAME})


def _with_hidden(found: Found, every: Found) -> Found:
    """Return what was found, and as deleted the projects that the change may have left out of the code.

    Otherwise a pull request could change a project and hide it by one line of ``.iac-ci-ignore``, without a word.
    """
    known = {project.folder for project in found.projects}
    hidden = [
        FoundProject(project.rules, project.folder, is_deleted=True)
        for project in every.projects
        if project.folder not in known
    ]
    return Found(tuple(sorted([*found.projects, *hidden], key=_folder)), found.left_out)


def _folder(project: FoundProject) -> str:
    return project.folder


def _without_projects(rules: Sequence[ProjectRule], found: Found, projects: list[_Project]) -> Iterator[str]:
    """Yield a remark for each entry of ``projects`` that finds nothing, or nothing that no earlier entry has."""
    numbers = {number for project in found.projects for number in project.rules}
    counting = {id(project.rule) for project in projects}
    for number, rule in enumerate(rules):
        looked_for = ", ".join(rule.find or [rule.folder or ""])[:200]
        if number not in numbers:
            yield f"projects[{number}] finds no folder: {looked_for}"
        elif id(rule) not in counting:
            yield f"projects[{number}] counts nowhere, because earlier entries find all of its folders: {looked_for}"


def _from_root(folder: str) -> str:
    return "" if folder == "." else folder


def _combined(rules: Sequence[ProjectRule], found: Found) -> list[_Project]:
    """Return a project for each folder and combination; the first rule that has one counts.

    Raises ``ConfigurationProblems`` for more than ``MAX_PROJECTS``.
    """
    projects: dict[tuple[object, ...], _Project] = {}
    for each in found.projects:
        for number in each.rules:
            rule = rules[number]
            for combination in product(*rule.matrix.values()):
                project = _Project(rule, each, dict(zip(rule.matrix, combination, strict=True)))
                projects.setdefault(project.key, project)
        if len(projects) > MAX_PROJECTS:
            message = (
                f"the configuration finds more than {MAX_PROJECTS} projects, with all combinations of their matrix"
            )
            raise ConfigurationProblems([Problem("projects", message)])
    return list(projects.values())


def _named(projects: list[_Project]) -> list[_Project]:
    """Set each project's own name: folder and matrix values; those that would be equal get a digest."""
    for project in projects:
        parts = [project.found.folder.replace("/", "-") or "root", *project.values.values()]
        project.name = for_name("-".join(parts)).lstrip("-_")[:_MAX_NAME] or "project"
    # Code hosts compare contexts of statuses ignoring case.
    times = Counter(project.name.lower() for project in projects)
    taken: set[str] = set()
    for project in projects:
        if times[project.name.lower()] > 1:
            text = "\0".join([project.found.folder, *project.values.values(), *map(str, project.key[1:])])
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            project.name = f"{project.name}-{digest[:12]}"
        # A folder may have the name of another one with its digest; without a number, one of the two would be lost.
        name, number = project.name, 2
        while project.name.lower() in taken:
            project.name, number = f"{name}-{number}", number + 1
        taken.add(project.name.lower())
    return projects


def _order(projects: list[_Project]) -> list[str]:
    """Enter the projects that each comes after and return remarks; raise ``ConfigurationProblems`` for circles."""
    by_folder: dict[str, list[_Project]] = {}
    for project in projects:
        by_folder.setdefault(project.found.folder, []).append(project)
    remarks: list[str] = []
    by_hand: dict[str, list[str]] = {}
    read: dict[str, list[str]] = {}
    by_name = {project.name: project for project in projects}
    for project in projects:
        by_hand[project.name] = []
        for pattern in project.rule.depends_on:
            wanted = _folder_pattern(project, pattern)
            try:
                matching = [] if wanted is None else [other for other in by_folder if _is_meant(wanted, other)]
            except ValueError as error:
                # Its templates have been replaced only now.
                raise ConfigurationProblems([Problem("projects", f"depends_on {pattern!a} {error}")]) from None
            if not matching:
                remarks.append(f"{project.found.folder or '.'}: depends_on {pattern!a} matches no project")
            by_hand[project.name] += _names(project, matching, by_folder)
        read[project.name] = _names(project, project.found.after, by_folder)
    cycle = find_cycle(by_hand)
    if cycle is not None:
        shown = " → ".join(by_name[name].found.folder or "." for name in cycle[:10])
        raise ConfigurationProblems([Problem("projects", f"depends_on leads back to a project: {shown}")])
    kept, left_out = without_circles(read, by_hand)
    for name, others in left_out.items():
        shown = ", ".join(by_name[other].found.folder or "." for other in others[:5])
        remarks.append(f"{by_name[name].found.folder or '.'}: reads {shown}, which comes after it; no order follows")
    for project in projects:
        project.after = [by_name[name] for name in kept[project.name]]
    return remarks


def _folder_pattern(project: _Project, pattern: str) -> str | None:
    """Return a pattern of folders from the root; None if it leads out of the repository."""
    text = substitute(pattern, matrix_values(project.values), escape)
    if text in {".", ".."} or text.startswith(("./", "../")):
        return joined(escape(project.found.folder), text)
    return "" if text == "." else normpath(text)


def folder_pattern_problem(pattern: str) -> str | None:
    """Return what is wrong with a pattern of ``depends_on``, None if nothing is known to be."""
    if pattern.startswith("!"):
        return "excludes; write patterns of the projects that come before"
    if pattern.startswith("/"):
        return "begins with a slash; write paths from the repository's root without one"
    if "{{" in pattern:
        return None
    try:
        compiled(pattern)
    except ValueError as error:
        return str(error)
    return None


def _is_meant(pattern: str, folder: str) -> bool:
    return compiled(pattern).matches(folder) if pattern and folder else pattern == folder


def _names(project: _Project, folders: Iterable[str], by_folder: Mapping[str, list[_Project]]) -> list[str]:
    """Return the projects of folders that go with a project: those with the same values of the axes that both have."""
    found: list[str] = []
    for folder in folders:
        for other in by_folder.get(folder, ()):
            shared = project.values.keys() & other.values.keys()
            if other is not project and all(project.values[axis] == other.values[axis] for axis in shared):
                found.append(other.name)
    return list(dict.fromkeys(found))


def _own_paths(project: _Project, tree: Tree) -> frozenset[str]:
    """Return the files of variables and of the backend, from the root, with what links on the way stand for."""
    paths = [path for name in project.own_files if (path := joined(project.found.folder, name)) is not None]
    links = [link for path in paths for link in tree.links_on(path)]
    return frozenset([*paths, *links, *filter(None, map(tree.resolved, paths))])


class _Orders:
    """Makes the orders of one project."""

    def __init__(
        self,
        project: _Project,
        projects: list[_Project],
        files: Mapping[str, frozenset[str]],
        configuration: Configuration,
    ) -> None:
        self.project = project
        rule = project.rule
        self._workflow: Workflow | None = None if rule.workflow is None else configuration.workflows.get(rule.workflow)
        self._saves = self._workflow is None or self._workflow.saves_plan
        # The engine reads plans of Terraform and OpenTofu; Terragrunt's folders of work are its own.
        readable = self._saves and rule.tool is not Tool.TERRAGRUNT
        wanted = rule.apply.plan if rule.apply is not None else AppliedPlan.REVIEWED
        self._is_reviewed = readable and wanted is AppliedPlan.REVIEWED
        self._plan = (
            PlanTemplate.model_validate(
                {
                    "file": PLAN_FILE,
                    "tool": rule.tool.value,
                    "workspace": self._planned_workspace(),
                }
                | ({"backend_config": list(map(project.put, rule.backend_config))} if rule.backend_config else {})
                | ({"replan_when_stale": True} if rule.replan_when_stale else {})
            )
            if readable
            else None
        )
        self._group = None if readable else _group(project)
        folders = {other.found.folder for other in projects}
        siblings = {other.name for other in projects if other.found.folder == project.found.folder}
        of_siblings = frozenset().union(*(files[name] for name in siblings)) - files[project.name]
        reads = list(_paths(project, folders, files[project.name], of_siblings))
        self._paths = reads if rule.autoplan else [NEVER_CHANGED]
        required = (rule.apply or ApplyRule.model_validate({})).require.of_order(reads)
        self._require = None if required.is_empty else required
        on = rule.apply.on if rule.apply is not None else AppliedOn.COMMENT
        self._after_merge: bool | list[str] = reads if on is AppliedOn.MERGE else False
        self._settings = _settings(project)
        environment = {**_ENVIRONMENT, **(_TERRAGRUNT if rule.tool is Tool.TERRAGRUNT else {})}
        if self._workflow is not None:
            environment |= {
                "PLANFILE": PLAN_FILE,
                "PROJECT_NAME": project.name,
                "WORKSPACE": project.workspace or "default",
            }
        taken = {**configuration.defaults.env_vars, **configuration.defaults.secrets, **rule.secrets}
        own = {name: value for name, value in environment.items() if name not in taken}
        self._settings["env_vars"] = own | self._settings["env_vars"]

    @property
    def is_readable(self) -> bool:
        """Return whether the engine reads the project's plans."""
        return self._plan is not None

    def plan(self, after: Sequence[str] = ()) -> ConfiguredOrder:
        """Return the order that plans."""
        role = self.project.rule.role
        return self._made(
            PLAN,
            cmds=_plan_commands(self.project) if self._workflow is None else self._workflow.plan,
            assume_role=None if role is None else self.project.put(role.plan),
            save=[PLAN_FILE, LOCK_FILE] if self._saves else [],
            plan=self._plan,
            idempotent=self.project.rule.retry is not None,
            retry=self.project.rule.retry,
            depends_on=list(after),
        )

    def drift(self) -> ConfiguredOrder:
        """Return the order that plans to find drift, whatever has changed."""
        planned = self.plan()
        name = f"{DRIFT}-{self.project.name}"
        return planned.model_copy(update={"name": name, "paths": None})

    def applies(self, after: Sequence[str]) -> list[ConfiguredOrder]:
        """Return the orders that apply: the reviewed plan, or one that the order before makes."""
        if not self._is_reviewed:
            return [self.plan(after), self._apply_fresh()]
        role = self.project.rule.role
        reviewed = self._made(
            APPLY,
            cmds=_apply_commands(self.project, checked=True) if self._workflow is None else self._workflow.apply,
            assume_role=None if role is None else self.project.put(role.apply),
            apply_plan=f"{PLAN}-{self.project.name}",
            after_merge=self._after_merge,
            require=self._require,
            depends_on=list(after),
        )
        return [reviewed]

    def _planned_workspace(self) -> str | None:
        """Return the workspace that the plan must be for; commands of a workflow may choose one by themselves."""
        if self.project.workspace is not None:
            return self.project.workspace
        return "default" if self._workflow is None else None

    def _apply_fresh(self) -> ConfiguredOrder:
        """Return the order that applies what the order before planned."""
        role = self.project.rule.role
        plan = f"{PLAN}-{self.project.name}"
        return self._made(
            APPLY,
            cmds=_apply_commands(self.project) if self._workflow is None else self._workflow.apply,
            assume_role=None if role is None else self.project.put(role.apply),
            restore=[RestoreTemplate(order=plan, overwrite=True)] if self._saves else [],
            apply_plan=plan if self._plan is not None else None,
            require=self._require,
            depends_on=[plan],
        )

    def _made(self, word: str, **fields: Any) -> ConfiguredOrder:
        base = ConfiguredOrder(name=f"{word}-{self.project.name}", cmds=["true"])
        folder = self.project.found.folder
        group = self._group
        return base.model_copy(
            update={
                **self._settings,
                "concurrency": None if group is None else ConcurrencyTemplate(group=group, shared=word == PLAN),
                "folder": folder or None,
                "project": self.project.name,
                "paths": self._paths,
                **fields,
            }
        )


def _group(project: _Project) -> str:
    """Return the concurrency group of a project whose plans the engine does not read; others have their project's."""
    parts = "\0".join(
        [project.found.folder, project.workspace or "default", *map(project.put, project.rule.backend_config)]
    )
    digest = hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()
    # Not by the project's name: projects of one folder with other variables may have one state.
    folder = for_name(project.found.folder.replace("/", "-") or "root").lstrip("-_")[:_MAX_NAME]
    return f"project/{folder}-{digest[:12]}"


def _without_drift(orders: Iterable[_Orders]) -> Iterator[str]:
    """Yield a remark for each project whose drift cannot be found."""
    for each in orders:
        if each.project.rule.drift and not each.is_readable:
            yield f"{each.project.found.folder or '.'}: no drift is found: the engine cannot read the project's plans"


def _settings(project: _Project) -> dict[str, Any]:
    """Return the settings of the rule with the matrix's values."""
    found: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = getattr(project.rule, name)
        if isinstance(value, dict):
            found[name] = {key: project.put(text) for key, text in value.items()}
        elif isinstance(value, list):
            found[name] = [project.put(text) for text in value]
        else:
            found[name] = project.put(value) if type(value) is str else value
    return found


def _paths(project: _Project, folders: set[str], own: frozenset[str], of_siblings: frozenset[str]) -> Iterator[str]:
    """Yield the patterns of the files that concern a project; of those that match a path, the last one decides."""
    found, folder = project.found, project.found.folder
    inside = f"{folder}/" if folder else ""
    if found.may_read_more:
        # What is not known may be any file that is no other project's own.
        yield "**"
        yield from (f"!{escape(other)}/**" for other in sorted(folders) if other and other != folder)
    yield f"{escape(inside)}**"
    yield from (f"!{escape(other)}/**" for other in sorted(folders) if other != folder and other.startswith(inside))
    for path in sorted(found.folders):
        yield f"{escape(path)}/**" if path else "**"
    yield from (f"!{escape(path)}" for path in sorted(of_siblings))
    yield from map(escape, sorted({path for path in found.files if path} - of_siblings | own))
    yield from project.rule.watch or ()


def _plan_commands(project: _Project) -> list[str]:
    """Return the commands that plan. They lock no state: no apply of the engine runs beside a plan."""
    rule = project.rule
    if rule.tool is Tool.TERRAGRUNT:
        return [f'terragrunt plan -input=false -no-color -lock=false -out="$PWD/{PLAN_FILE}"']
    files = "".join(f" -var-file={quote(project.put(path))}" for path in rule.var_files)
    return [
        *_prepared(project),
        f"{_PROGRAMS[rule.tool]} plan -input=false -no-color -lock=false -out={PLAN_FILE}{files}",
    ]


def _apply_commands(project: _Project, *, checked: bool = False) -> list[str]:
    """Return the commands that apply; ``checked`` ones end before the apply in any other workspace than the plan's.

    Up to 1.14 Terraform applies a saved plan into whatever workspace is selected.
    """
    rule = project.rule
    if rule.tool is Tool.TERRAGRUNT:
        return [f'terragrunt apply -input=false -no-color "$PWD/{PLAN_FILE}"']
    program = _PROGRAMS[rule.tool]
    check = f'[ "$({program} workspace show)" = {quote(project.workspace or "default")} ]'
    return [
        *_prepared(project),
        *([check] if checked else []),
        f"{program} apply -input=false -no-color {PLAN_FILE}",
    ]


def _prepared(project: _Project) -> list[str]:
    """Return the commands that come before the plan and before the apply."""
    program = _PROGRAMS[project.rule.tool]
    files = "".join(f" -backend-config={quote(project.put(path))}" for path in project.rule.backend_config)
    commands = [f"{program} init -input=false -no-color{files}"]
    if project.workspace is not None:
        commands.append(f"{program} workspace select -or-create=true {quote(project.workspace)}")
    return commands


__all__ = ["APPLY", "DRIFT", "PLAN", "PROJECT_JOBS", "ProjectJobs", "with_project_jobs"]
