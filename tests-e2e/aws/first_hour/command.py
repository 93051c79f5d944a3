"""The command: runs the steps, writes the report, and always cleans up."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aws.first_hour import orders, pipelines, services
from aws.first_hour.report import Line, write
from aws.first_hour.steps import BUDGET_DOLLARS, Account, Seen, Step, Verdict

IN_THE_STACK = (*services.FIRST, *orders.STEPS, *services.LAST)
ALL = (pipelines.CHECK, pipelines.DEPLOY, *IN_THE_STACK, pipelines.TEARDOWN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the first hour; return 0 if everything is as the engine assumes, 1 if something differs or failed."""
    parser = argparse.ArgumentParser(description="Show in a throw-away account what no emulator can.")
    parser.add_argument("--stack", default="iac-ci-hour", help="name of the stack that is created and removed")
    parser.add_argument("--region", default=os.environ.get("AWS_REGION"), help="AWS region (AWS_REGION)")
    parser.add_argument("--report", type=Path, default=Path("first-hour-report.md"), help="file of the report")
    parser.add_argument("--deployed", action="store_true", help="the stack exists: neither create nor remove it")
    parser.add_argument("--only", action="append", default=[], metavar="STEP", help="only this step; may be repeated")
    parser.add_argument("--yes", action="store_true", help="create and remove resources that cost money")
    chosen = parser.parse_args(arguments)
    if not chosen.region:
        parser.error("no region: use --region or AWS_REGION")
    if unknown := sorted(set(chosen.only) - {step.name for step in ALL}):
        parser.error(f"unknown step {', '.join(unknown)}: use {', '.join(step.name for step in ALL)}")
    emulated = "AWS_ENDPOINT_URL" in os.environ
    account = Account(chosen.stack, chosen.region, emulated=emulated, scale=0.1 if emulated else 1.0)
    steps = [step for step in IN_THE_STACK if not chosen.only or step.name in chosen.only]
    first = [pipelines.CONNECT] if chosen.deployed else [pipelines.CHECK, pipelines.DEPLOY]
    last = [] if chosen.deployed else [pipelines.TEARDOWN]
    dollars = sum(step.dollars for step in (*first, *steps, *last))
    if dollars > BUDGET_DOLLARS:
        parser.error(f"the steps may cost ${dollars:.2f}, more than ${BUDGET_DOLLARS:.2f}")
    if not chosen.yes:
        print(f"{len(steps)} steps in {account.stack}, {account.region}, for at most ${dollars:.2f}.")
        print("Nothing was done: use --yes.")
        for step in (*first, *steps, *last):
            print(f"  {step.name}: {step.question}")
        return 0
    return _play(account, first, steps, last, chosen.report)


def _play(account: Account, first: list[Step], steps: list[Step], last: list[Step], report: Path) -> int:
    lines: list[Line] = []
    try:
        for step in (*first, *steps):
            lines.append(_run(account, step))
            write(report, account, lines)
            if step.name == "deploy" and lines[-1].seen.verdict is not Verdict.AS_EXPECTED:
                break
    finally:
        # Also after Ctrl-C: what was created costs money until it is removed.
        lines.extend(_run(account, step) for step in last)
        write(report, account, lines)
    bad = [line for line in lines if line.seen.verdict in {Verdict.DIFFERENT, Verdict.FAILED}]
    unanswered = sum(line.seen.verdict is Verdict.NOT_ANSWERED for line in lines)
    print(f"{len(lines)} steps, {len(bad)} different or failed, {unanswered} not answered: {report}")
    return 1 if bad else 0


def _run(account: Account, step: Step) -> Line:
    print(f"── {step.name}: {step.question}", file=sys.stderr)
    began = time.monotonic()
    try:
        seen = step.run(account)
    except Exception as error:  # noqa: BLE001 - a step that fails is a line of the report; the others still run
        seen = Seen(Verdict.FAILED, f"{type(error).__name__}: {error}")
    if account.emulated and step.only_aws and seen.verdict is not Verdict.AS_EXPECTED:
        seen = Seen(Verdict.NOT_ANSWERED, f"only AWS answers this; the emulator: {seen.text}")
    line = Line(step, seen, time.monotonic() - began)
    print(f"   {seen.verdict.value}: {seen.text}", file=sys.stderr)
    return line
