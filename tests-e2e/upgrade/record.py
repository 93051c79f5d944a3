"""Records this version's open runs: ``uv run --no-sync python tests-e2e/upgrade/record.py 0002-NAME``.

Each recording is one JSON file below ``recordings/<name>/``: the whole state of the cloud at the open point, and the
orders whose commands have started. ``version.json`` says which fields the version's shapes have and which commit it is,
null while that is not known. To record another version, name the ``src`` folders of its packages with ``--sources``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import pyrage  # noqa: E402 - after the path is set

from upgrade.cloud import Cloud  # noqa: E402
from upgrade.playing import CURRENT, Player, Version  # noqa: E402
from upgrade.stories import STORIES, prepare  # noqa: E402

RECORDINGS = HERE / "recordings"
BEGINS = datetime(2026, 1, 1, 12, tzinfo=UTC)


def record(name: str, sources: tuple[str, ...] = CURRENT) -> dict[str, object]:
    """Play one story to its open point and give what is there then."""
    with tempfile.TemporaryDirectory() as folder, Cloud(BEGINS).running() as cloud:
        cloud.lay_out()
        prepare(cloud, str(pyrage.x25519.Identity.generate()))
        with Version(cloud, Path(folder), sources).running() as version:
            STORIES[name].reach(cloud, Player(cloud, version))
            return {"schema_version": 1, **cloud.snapshot(), "starts": version.starts.read_text().split()}


def main() -> None:
    """Write the recordings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="folder of the recordings: a number that counts up and what this version is")
    parser.add_argument("--commit", help="commit of the code that is recorded, once it is known for good")
    parser.add_argument("--sources", nargs="+", default=list(CURRENT), help="src folders of the packages")
    options = parser.parse_args()
    folder = RECORDINGS / options.name
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(options.sources)}
    shapes = subprocess.run(
        [sys.executable, str(HERE / "shapes.py")], env=environment, capture_output=True, text=True, check=True
    )
    about = {"schema_version": 1, "commit": options.commit, "fields": json.loads(shapes.stdout)}
    _write(folder / "version.json", about)
    for name in STORIES:
        _write(folder / f"{name}.json", record(name, tuple(options.sources)))


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")
    print(path)


if __name__ == "__main__":
    main()
