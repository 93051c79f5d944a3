"""Draws a whole simulated world from one source of randomness.

``draw_world`` is the only generator: seeds call it with ``random.Random``, hypothesis with its own ``Random`` (which it
can shrink), and ``size`` and ``profile`` are the constraints that both accept.

A new rule of the engine joins the simulation in four places:

1. **Its input** becomes a field of ``WorldPlan`` (or of ``Story``, if it belongs to a job) and is drawn at the end of
   ``draw_world`` (or of ``draw_story``), so that a seed still draws what it drew before. Draw with ``happens`` and put
   the plain value first in ``random.choice``: hypothesis shrinks to the lowest draw, and that must be the uneventful
   one.
2. **Its effect** on the play goes where the plan is played: ``simulate.play``, ``world`` or ``workers``. What can only
   be decided during the play (a latency, a fault at one call) is drawn there from ``plan.stream(name)``.
3. **Its promise** becomes a named check in ``checks``: after a step, or in ``Checks.at_end``.
4. **Its mutation** gets a name and the first seed that notices it in ``mutations``; ``test_mutations`` then requires
   that the simulator notices when the rule is switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from iac_ci_common.job_validation.run_time import longest_seconds, too_long_chains
from iac_ci_common.models.job import Order
from simulation.applies import drawn_ages
from simulation.approvers import Attempt, drawn_attempts, with_approvals, with_overrides
from simulation.faults import Profile, Quotas, SingleFault, draw_fault_in_groups, draw_profile, draw_single_fault
from simulation.graphs import OUTPUT, TAKEN, Behaviour, Story, draw_story, happens
from simulation.groups import COMMITS, GroupPlan, at_commit, drawn_plans, with_groups
from simulation.merges import with_pull_request
from simulation.repository_plan import RepositoryPlan, draw_repository

_SMALL_ORDERS = 10
"""A world with several runs has no run of this many orders or more, because the runs multiply the steps."""

REPEATED_CODES = (7, 137)
"""Exit codes after which orders are repeated; commands that are killed end with the second one."""

CHANGED_CODE = 2

_LONG_DEADLINE = 1800.0
"""A run has at least this many seconds if one of its orders is silent for ten minutes."""


@dataclass(frozen=True)
class Submission:
    """One job and how its client sends it: ``delay`` seconds after the start, with an idempotency key or without."""

    story: Story
    delay: float
    has_key: bool


@dataclass(frozen=True)
class WorldPlan:
    """Everything that is decided before the play begins.

    ``submissions`` are by flow label. ``cancel_at`` is when every run is cancelled (seconds), or None.
    ``watchdogs_die_at`` is when every execution of the watchdog ends before its time (seconds), or None. ``chance`` is
    the seed of what is decided during the play. ``session_ends`` is the chance that the session that signed a worker's
    URL has ended when it uses it, ``replays`` the chance that a person shows a ticket that was traded; with ``stop``,
    who cancels asks running commands to stop too. ``early_begins`` is the chance that a person shows the ticket of a
    build and asks for what its order begins with, perhaps before the build has claimed it. With ``names_orders`` the
    person who cancels asks the commands of each running order to stop, by its name, and not those of the run. With
    ``swaps`` a person who may write the rows and the bucket gives orders the sealed outputs of another run's orders.
    The person who asks running commands to stop asks again ``asks_again`` seconds later, never if that is 0.
    ``applies`` are the orders, by flow label and number, that apply a reviewed plan of one project, with its age in
    generations; -1 is an apply that plans for itself. ``answers`` are when people answer orders with approvals.
    ``groups`` says what concurrency groups are about. ``repository`` is what people and the tick do with a repository
    on a code host, None if there is none. With ``merges``, all jobs apply something of one pull request, which is
    merged when everything is applied. ``quotas`` are what the account may run at once.
    """

    submissions: Mapping[str, Submission]
    profile: Profile
    single_fault: SingleFault | None
    cancel_at: float | None
    chance: int
    watchdogs_die_at: float | None = None
    session_ends: float = 0.0
    replays: float = 0.0
    stop: bool = False
    early_begins: float = 0.0
    names_orders: bool = False
    swaps: bool = False
    asks_again: float = 0.0
    applies: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    answers: tuple[Attempt, ...] = ()
    groups: GroupPlan = field(default_factory=GroupPlan)
    repository: RepositoryPlan | None = None
    merges: bool = False
    quotas: Quotas = field(default_factory=Quotas)

    @property
    def orders(self) -> int:
        """Return the number of orders of all jobs."""
        return sum(submission.story.size for submission in self.submissions.values())

    @property
    def last_deadline(self) -> float:
        """Return the longest time that a job has (seconds), or the events of a repository with theirs."""
        of_repository = self.repository.until if self.repository is not None else 0.0
        of_jobs = (float(submission.story.job["job_timeout"]) for submission in self.submissions.values())
        return max(of_repository, *of_jobs)

    def stream(self, name: str) -> Random:
        """Return the source of one part's decisions during the play; parts do not influence each other's draws."""
        return Random(f"{name} {self.chance}")


def draw_world(random: Random, *, size: int | None = None, profile: str | None = None) -> WorldPlan:
    """Draw a world; ``size`` (orders of its only run) and ``profile`` (a name) are drawn unless they are given."""
    chance = random.getrandbits(64)
    submissions = {"run1": _submission(random, draw_story(random, size=size))}
    story = submissions["run1"].story
    deadline = float(story.job["job_timeout"])
    weather = draw_profile(random, deadline, name=profile)
    single_fault = draw_single_fault(random, story.size) if weather.single else None
    cancel_at = random.uniform(0.0, deadline) if happens(random, 0.1) else None
    if size is None and story.size < _SMALL_ORDERS and happens(random, 0.1):
        for number in (2, 3):
            submissions[f"run{number}"] = _submission(random, draw_story(random, size=random.randint(1, 6)))
    watchdogs_die_at = random.uniform(0.0, deadline) if happens(random, 0.15) else None
    if deadline >= _LONG_DEADLINE and happens(random, 0.2):
        submissions["run1"] = replace(submissions["run1"], story=_with_silent_order(random, story))
    session_ends = random.choice((0.05, 0.3)) if happens(random, 0.3) else 0.0
    replays = 0.2 if happens(random, 0.2) else 0.0
    stop = happens(random, 0.5)
    early_begins = 0.5 if happens(random, 0.2) else 0.0
    names_orders = happens(random, 0.5)
    if happens(random, 0.35):
        submissions["run1"] = replace(submissions["run1"], story=_with_slow_ends(random, submissions["run1"].story))
        if cancel_at is None and happens(random, 0.4):
            cancel_at, stop = random.uniform(5.0, min(deadline, 600.0)), True
    swaps = False
    if happens(random, 0.1) and all(one.story.size < _SMALL_ORDERS for one in submissions.values()):
        submissions = {name: replace(one, story=_with_outputs(random, one.story)) for name, one in submissions.items()}
        if happens(random, 0.5):
            swaps = True
            submissions["run2"] = replace(submissions["run1"], delay=random.uniform(0.0, 5.0))
    asks_again = random.uniform(1.0, 120.0) if happens(random, 0.3) else 0.0
    if happens(random, 0.3):
        submissions["run1"] = replace(submissions["run1"], story=_with_attempts(random, submissions["run1"].story))
    if happens(random, 0.3):
        submissions["run1"] = replace(submissions["run1"], story=_with_conditions(random, submissions["run1"].story))
    submissions = {name: _that_fits(one) for name, one in submissions.items()}
    applies: dict[str, Mapping[str, int]] = {}
    if happens(random, 0.15) and all(one.story.size < _SMALL_ORDERS for one in submissions.values()):
        if len(submissions) == 1:
            submissions["run2"] = replace(submissions["run1"], delay=random.uniform(0.0, 300.0))
        applies = {name: drawn_ages(random, one.story) for name, one in submissions.items()}
    groups = GroupPlan()
    if size is None and happens(random, 0.25) and all(one.story.size < _SMALL_ORDERS for one in submissions.values()):
        submissions, applies, groups = _in_groups(random, submissions, applies)
    answers: tuple[Attempt, ...] = ()
    if happens(random, 0.2):
        submissions = {
            name: _with_approvals(random, one, _about_projects(name, applies, groups))
            for name, one in submissions.items()
        }
        answers = drawn_attempts(random, deadline)
        if happens(random, 0.5):
            submissions = {
                name: replace(one, story=with_overrides(random, one.story)) for name, one in submissions.items()
            }
    if weather.single and groups.are_drawn and happens(random, 0.5):
        single_fault = draw_fault_in_groups(random)
    repository: RepositoryPlan | None = None
    if size is None and happens(random, 0.05) and all(one.story.size < _SMALL_ORDERS for one in submissions.values()):
        repository = draw_repository(random)
    merges = not groups.are_drawn and repository is None and happens(random, 0.15)
    if merges:
        submissions = with_pull_request(submissions)
    return WorldPlan(
        submissions,
        weather,
        single_fault,
        cancel_at,
        chance,
        watchdogs_die_at,
        session_ends,
        replays,
        stop,
        early_begins,
        names_orders,
        swaps,
        asks_again,
        applies,
        answers,
        groups,
        repository,
        merges,
    )


def _about_projects(name: str, applies: Mapping[str, Mapping[str, int]], groups: GroupPlan) -> frozenset[str]:
    """Return the numbers of a run's orders that plan or apply a project."""
    return frozenset(applies.get(name, {})) | groups.plans.get(name, frozenset())


def _in_groups(
    random: Random, submissions: dict[str, Submission], applies: dict[str, Mapping[str, int]]
) -> tuple[dict[str, Submission], dict[str, Mapping[str, int]], GroupPlan]:
    """Let the runs of a world meet in groups: those of one branch run the same job, each at a commit of its own."""
    is_branch = happens(random, 0.5)
    first = submissions["run1"]
    for number in range(len(submissions) + 1, random.randint(2, 4) + 1):
        story = draw_story(random, size=random.randint(1, 6))
        delay = random.choice((first.delay, random.uniform(0.0, 5.0), random.uniform(0.0, 120.0)))
        submissions[f"run{number}"] = replace(_submission(random, story), delay=delay)
    if is_branch:
        story, applies = with_groups(random, first.story), {}
        submissions = {name: replace(one, story=story) for name, one in submissions.items()}
    else:
        submissions = {name: replace(one, story=with_groups(random, one.story)) for name, one in submissions.items()}
    if not applies and happens(random, 0.6):
        name = random.choice(sorted(submissions))
        applies = {name: drawn_ages(random, submissions[name].story)}
    commits = zip(submissions.items(), COMMITS * 2, strict=False)
    submissions = {name: _that_fits(replace(one, story=at_commit(one.story, sha))) for (name, one), sha in commits}
    plans = {name: drawn_plans(random, one.story, applies.get(name, {})) for name, one in submissions.items()}
    return submissions, applies, GroupPlan(plans, is_branch, are_drawn=True)


def _with_approvals(random: Random, submission: Submission, untouchable: frozenset[str]) -> Submission:
    """Return a submission in which orders wait for approvals; as it was if a chain would outlast a run then."""
    asking = _that_fits(replace(submission, story=with_approvals(random, submission.story, untouchable)))
    return submission if _outlasts_a_run(asking) else asking


def _outlasts_a_run(submission: Submission) -> bool:
    orders = {order["order_name"]: Order.model_validate(order) for order in submission.story.job["orders"]}
    seconds = {name: longest_seconds(order) for name, order in orders.items()}
    return next(too_long_chains(seconds, {name: one.dependencies for name, one in orders.items()}), None) is not None


def _that_fits(submission: Submission) -> Submission:
    """Return a submission whose orders have neither graces nor attempts, if a chain of them outlasts a run.

    Hundreds of builds outlast it by their default graces alone; they name shorter ones.
    """
    job = submission.story.job
    if not _outlasts_a_run(submission):
        return submission
    shorter = [
        {name: value for name, value in order.items() if name not in {"stop_grace", "retry", "idempotent"}}
        for order in job["orders"]
    ]
    fits = replace(submission, story=Story(job | {"orders": shorter}, submission.story.behaviours))
    if not _outlasts_a_run(fits):
        return fits
    shortest = [
        order | {"stop_grace": 60} if order.get("execution_target") == "codebuild" else order for order in shorter
    ]
    return replace(submission, story=Story(job | {"orders": shortest}, submission.story.behaviours))


def _with_slow_ends(random: Random, story: Story) -> Story:
    """Let orders apply and name a grace, and let their commands take their time to end."""
    orders, behaviours = list(story.job["orders"]), dict(story.behaviours)
    for index, order in enumerate(orders):
        num = f"{index + 1:04d}"
        if happens(random, 0.4):
            orders[index] = orders[index] | {"cmds": [random.choice(("terraform plan", "terraform apply"))]}
        if happens(random, 0.3) and order.get("execution_target") == "codebuild":
            orders[index] = orders[index] | {"stop_grace": random.choice((60, 600, 1800))}
        ends_after = random.choice((0.0, 5.0, 200.0, 5000.0))
        behaviours[num] = replace(behaviours[num], ends_after=ends_after)
        if happens(random, 0.4) and story.job["job_timeout"] >= _LONG_DEADLINE:
            orders[index] = orders[index] | {"timeout": 500}
            behaviours[num] = replace(behaviours[num], seconds=random.uniform(120.0, 480.0))
    return Story(story.job | {"orders": orders}, behaviours)


def _with_outputs(random: Random, story: Story) -> Story:
    """Let every order write an output, and orders take those of orders that they depend on."""
    orders, behaviours = list(story.job["orders"]), dict(story.behaviours)
    for index, order in enumerate(orders):
        num = f"{index + 1:04d}"
        behaviours[num] = replace(behaviours[num], writes=True)
        taken = [name for name in order["dependencies"] if happens(random, 0.7)][:3]
        variables = {f"{TAKEN}{number}": f"{{{{ orders.{name}.{OUTPUT} }}}}" for number, name in enumerate(taken)}
        orders[index] = order | {"env_vars": order["env_vars"] | variables}
    return Story(story.job | {"orders": orders}, behaviours)


def _with_attempts(random: Random, story: Story) -> Story:
    """Let orders be repeated after two exit codes, and let their first attempts end with these or with others."""
    orders, behaviours = list(story.job["orders"]), dict(story.behaviours)
    for index, order in enumerate(orders):
        if not happens(random, 0.6):
            continue
        num = f"{index + 1:04d}"
        orders[index] = order | {
            "idempotent": True,
            "retry": {"attempts": random.randint(2, 4), "on": list(REPEATED_CODES)},
        }
        earlier = tuple(random.choice((*REPEATED_CODES, *REPEATED_CODES, 3)) for _ in range(random.randint(0, 5)))
        behaviours[num] = replace(behaviours[num], earlier=earlier)
    return Story(story.job | {"orders": orders}, behaviours)


def _with_conditions(random: Random, story: Story) -> Story:
    """Let orders end with an exit code that makes them changed, and let dependents run only if they are."""
    orders, behaviours = list(story.job["orders"]), dict(story.behaviours)
    indexes = {order["order_name"]: index for index, order in enumerate(orders)}
    for index, order in enumerate(orders):
        named = [name for name in order["dependencies"] if happens(random, 0.5)]
        if not named:
            continue
        orders[index] = orders[index] | {"when": dict.fromkeys(named, "changed")}
        for name in named:
            before = indexes[name]
            (command,) = orders[before]["cmds"]
            if isinstance(command, str):
                orders[before] = orders[before] | {"cmds": [{"run": command, "ok": [0, CHANGED_CODE]}]}
                num = f"{before + 1:04d}"
                if behaviours[num].exit_code == 0 and happens(random, 0.6):
                    behaviours[num] = replace(behaviours[num], exit_code=CHANGED_CODE)
    return Story(story.job | {"orders": orders}, behaviours)


def _with_silent_order(random: Random, story: Story) -> Story:
    """Let one order run for ten minutes and more, of which nothing is heard from its claim to its result."""
    index = random.randrange(story.size)
    orders = list(story.job["orders"])
    orders[index] = orders[index] | {"timeout": 1200, "execution_target": "codebuild"}
    silent = Behaviour(random.uniform(660.0, 1100.0))
    return Story(story.job | {"orders": orders}, dict(story.behaviours) | {f"{index + 1:04d}": silent})


def _submission(random: Random, story: Story) -> Submission:
    return Submission(story, delay=random.uniform(0.0, 5.0), has_key=not happens(random, 0.3))
