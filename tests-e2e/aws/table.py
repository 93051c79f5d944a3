"""Prints the largest legal inputs, AWS's numbers and the headroom: ``python tests-e2e/aws/table.py``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests-e2e"))

from offline import program  # noqa: E402

from aws import largest_job, largest_stack  # noqa: E402
from aws.limits import LIMITS, Measure  # noqa: E402


def main() -> int:
    """Print the table; return 1 if something does not fit."""
    program.put_on_path()
    said = subprocess.run([ROOT / ".ci/terraform", "--stand-in"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        stage = largest_stack.stage_of(Path(folder) / "deploy", said.stdout.strip())
        found = [*largest_job.measures(), *largest_stack.measures(largest_stack.plan(stage))]
    for line in lines(found):
        print(line)
    return 1 if any(not entry.fits for entry in found) else 0


def lines(found: Sequence[Measure]) -> Iterator[str]:
    """Yield the lines of the table, the least headroom first, and one with the counts."""
    yield f"{'headroom':>8}  {'largest':>9} {'of':>10}  {'unit':10}  what"
    for entry in sorted(found, key=_headroom):
        yield (
            f"{_headroom(entry):7.0%}   {entry.size:>9,} {entry.number:>10,}  {LIMITS[entry.limit].unit:10}  "
            f"{entry.what} ({LIMITS[entry.limit].thing})"
        )
    yield f"{len(found)} measured, {sum(not entry.fits for entry in found)} too large"


def _headroom(entry: Measure) -> float:
    return 1 - entry.size / entry.number


if __name__ == "__main__":
    sys.exit(main())
