"""Open runs of every recorded version end under this one, as they would have under their own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from selection import only_in_full

from upgrade.cloud import Cloud
from upgrade.playing import Player, Version
from upgrade.promises import broken_promises
from upgrade.stories import STORIES

VERSIONS = sorted(path.name for path in (Path(__file__).parent / "recordings").iterdir())
RECORDINGS = sorted(path for path in (Path(__file__).parent / "recordings").glob("*/*.json") if path.stem in STORIES)


@pytest.mark.parametrize(
    "path",
    only_in_full(RECORDINGS, lambda path: path.parent.name != VERSIONS[-1]),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_a_recorded_open_run_ends_under_this_version(path, tmp_path):
    recorded = json.loads(path.read_text("utf-8"))
    with Cloud(datetime.now(UTC)).running() as cloud:
        cloud.restore(recorded)
        with Version(cloud, tmp_path).running() as version:
            version.starts.write_text("".join(f"{name}\n" for name in recorded["starts"]))
            player = Player(cloud, version)
            player.play()
        broken = list(broken_promises(cloud, STORIES[path.stem], version.starts))
        assert not broken, (broken, player.errors, version.log()[-3000:])
