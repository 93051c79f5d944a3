"""Plays 1,000 runs that share an account's quotas: ``uv run --no-sync python tests-e2e/fairness.py``.

The time is the simulator's: the runs come within ten seconds, each with one order whose command takes a minute. The
account runs a limited number of builds at once, or of functions. One line for each limit says how long runs waited for
their first command, and how long the commands alone would take.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from random import Random
from statistics import median, quantiles

from simulation.faults import CALM, Quotas
from simulation.generator import Submission, WorldPlan
from simulation.graphs import Behaviour, Story
from simulation.scheduler import EPOCH
from simulation.simulate import play
from simulation.world import World

from iac_ci_common.states import OrderState

COMMAND_SECONDS = 60.0
JOB_SECONDS = 4 * 3600
ARRIVAL_SECONDS = 10.0


def plan(runs: int, target: str, quotas: Quotas) -> WorldPlan:
    """Return the world of so many runs, without faults besides the quotas."""
    random = Random(f"{runs} {target}")
    order = {"order_name": "o", "cmds": ["true"], "timeout": 300, "execution_target": target, "env_vars": {}}
    job = {"username": "simulation", "job_timeout": JOB_SECONDS, "orders": [order]}
    story = Story(job, {"0001": Behaviour(COMMAND_SECONDS)})
    delays = [random.uniform(0.0, ARRIVAL_SECONDS) for _ in range(runs)]
    submissions = {f"run{number}": Submission(story, delay, has_key=True) for number, delay in enumerate(delays)}
    return WorldPlan(submissions, CALM, None, None, chance=33, quotas=quotas)


def measure(runs: int, target: str, quotas: Quotas) -> tuple[str, int]:
    """Play the world; return what came of it in one line, and the number of broken promises."""
    waits: list[float] = []
    ended: list[datetime] = []

    def at_end(world: World) -> None:
        for run_id, run in world.runs.run_rows.items():
            (order,) = world.runs.order_rows[run_id].values()
            if run.finished_at is not None and order.ended_at is not None and order.status is OrderState.SUCCEEDED:
                waits.append((order.ended_at - run.accepted_at).total_seconds() - COMMAND_SECONDS)
                ended.append(run.finished_at)

    outcome = play(plan(runs, target, quotas), at_end=at_end)
    quota = quotas.builds or quotas.functions or runs
    commands_alone, longest = -(-runs // quota) * COMMAND_SECONDS, max(waits)
    seconds = (max(ended) - EPOCH).total_seconds()
    line = (
        f"{len(ended)} of {runs} runs on {target} with {quota} at once succeeded in {seconds:.0f} s "
        f"(commands alone: {commands_alone:.0f} s); the first command after {median(waits):.0f} s in the median, "
        f"{quantiles(waits, n=10)[-1]:.0f} s for nine of ten, {longest:.0f} s at most "
        f"({longest / median(waits):.1f} times the median); {len(outcome.violations)} promises broken"
    )
    return "\n".join([line, *map(str, outcome.violations[:5])]), len(outcome.violations)


def main() -> int:
    """Play both quotas and print a line for each; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--builds", type=int, default=60, help="builds at once (60)")
    parser.add_argument("--functions", type=int, default=200, help="functions at once (200)")
    chosen = parser.parse_args()
    broken = 0
    for target, quotas in (("codebuild", Quotas(builds=chosen.builds)), ("lambda", Quotas(functions=chosen.functions))):
        line, violations = measure(chosen.runs, target, quotas)
        print(line)
        broken += violations
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
