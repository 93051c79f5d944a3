"""No printer shows six characters of a secret: every value of ``values.json``, printed by every program of
``printers.toml``, through the worker.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from selection import FULL

from redaction import order, readings

HERE = Path(__file__).parent
VALUES: dict[str, Any] = json.loads((HERE / "values.json").read_text("utf-8"))
PRINTERS: dict[str, dict[str, Any]] = tomllib.loads((HERE / "printers.toml").read_text("utf-8"))
# The Python of the tests comes first: it has PyYAML.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
PLAYED = ("specials", "passphrase", "short", "database-json", "pem-ec")
"""The values of a usual run, one of each kind; a full run plays all of them."""

ALWAYS = {None, "terraform"}
"""The program that every machine has, and the one that the tests bring along."""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def text_of(value):
    return value if isinstance(value, str) else value["text"]


def secrets_of(value):
    return [value] if isinstance(value, str) else value["secret"]


def ways(printer):
    return [printer["reading"]] if isinstance(printer["reading"], str) else printer["reading"]


def chosen(value: str) -> dict[str, dict]:
    """Return the printers for a value, without those whose program is missing."""
    return {
        name: printer
        for name, printer in PRINTERS.items()
        if value in printer.get("values", [value])
        and (printer.get("needs") in ALWAYS or shutil.which(printer["needs"], path=PATH))
    }


def test_the_corpus_is_as_large_as_the_documents_state():
    assert len(VALUES) >= 25
    assert len(PRINTERS) >= 40
    assert {name for printer in PRINTERS.values() for name in ways(printer)} <= set(readings.READINGS)
    assert all(part in text_of(value) for value in VALUES.values() for part in secrets_of(value) if "\n" not in part)


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES if FULL else PLAYED)
def test_no_printer_shows_a_value(name):
    secrets = secrets_of(VALUES[name])
    printers = chosen(name)
    unmasked, masked = printed(text_of(VALUES[name]), printers)
    problems = []
    for printer, how in printers.items():
        # A reading that does not find all of the value before masking cannot find a leak after it.
        printable = [part for secret in secrets for part in re.split(how.get("loses", r"\A\Z"), secret) if part]
        missing = readings.fragments(printable) - readings.shown(printable, unmasked[printer], how["reading"])
        if missing:
            problems.append(f"{printer}: the reading misses {sorted(missing)[:3]} in {unmasked[printer]!r:.300}")
        ordinary = readings.shown(secrets, printed_by_itself(printer), how["reading"])
        shown = readings.shown(secrets, masked[printer], how["reading"]) - ordinary
        if shown:
            problems.append(f"{printer} shows {sorted(shown)[:3]} in {masked[printer]!r:.600}")
    assert not problems, "\n".join(problems)


def printed(value, printers):
    """Run all printers in one order; return the output of each, and the part of it in the log, by its name."""
    with tempfile.TemporaryDirectory() as copies:
        commands = [
            f"echo '--- {name}'; mkdir {name}; cd {name}\n"
            f"{{ {printer['command'].strip()}\n}} 2>&1 | tee {copies}/{name}\n"
            f"echo; echo '### {name}'"
            for name, printer in printers.items()
        ]
        ran = order.run(commands, {"VALUE": value}, path=PATH)
        assert ran.result.exit_code == 0, ran.log[-2000:]
        before = {name: Path(copies, name).read_bytes() for name in printers}
    after = {}
    for name in printers:
        _, begun, rest = ran.log.partition(b"\n--- %s\n" % name.encode())
        part, ended, _ = rest.partition(b"\n### %s\n" % name.encode())
        assert begun, f"{name}: its first line is masked"
        assert ended, f"{name}: its last line is masked"
        after[name] = part
    return before, after


@cache
def printed_by_itself(name):
    """Return what a printer prints around a value: words of its own may occur in a value of the corpus."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", PRINTERS[name]["command"]],
            cwd=folder,
            env={"PATH": PATH, "HOME": folder, "LANG": "C.UTF-8", "VALUE": "0123456789"},
            capture_output=True,
            timeout=600,
        )
    return done.stdout + done.stderr
