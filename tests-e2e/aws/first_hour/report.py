"""The report of the first hour, in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aws.first_hour.steps import Account, Seen, Step


@dataclass(frozen=True, slots=True)
class Line:
    """What a step saw, and how long it took."""

    step: Step
    seen: Seen
    seconds: float


def write(path: Path, account: Account, lines: list[Line]) -> None:
    """Write the report; called after each step, so that it survives what ends the command."""
    path.write_text(text(account, lines), "utf-8")


def text(account: Account, lines: list[Line]) -> str:
    """Return the report."""
    dollars = sum(line.step.dollars for line in lines)
    where = "an emulator of AWS" if account.emulated else "AWS"
    rows = "\n".join(
        f"| {line.step.name} | {_cell(line.step.question)} | {_cell(line.step.assumed)} | {_cell(line.seen.text)} "
        f"| {line.seen.verdict.value} | {line.seconds:.0f} |"
        for line in lines
    )
    return (
        f"# The first hour of {account.stack}\n\n"
        f"Region {account.region}, on {where}. The steps cost ${dollars:.2f} at most.\n\n"
        "| step | question | assumed | seen | verdict | seconds |\n|---|---|---|---|---|--:|\n" + rows + "\n"
    )


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())[:600]
