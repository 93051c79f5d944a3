"""No printer shows six characters of a secret: every value of ``values.json``, printed by every program of
``printers.toml``, through the worker.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

from iac_ci_local.terraform_tool import write_terraform
from redaction import order, readings

HERE = Path(__file__).parent
VALUES: dict[str, str] = json.loads((HERE / "values.json").read_text("utf-8"))
PRINTERS = tomllib.loads((HERE / "printers.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """``PATH`` of the commands, with Terraform from its package where the system has none."""
    if shutil.which("terraform"):
        return os.environ["PATH"]
    return f"{write_terraform(tmp_path_factory.mktemp('tools')).parent}:{os.environ['PATH']}"


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def chosen(value: str) -> dict[str, dict]:
    """Return the printers for a value, those left out whose program is not there."""
    return {
        name: printer
        for name, printer in PRINTERS.items()
        if value in printer.get("values", [value])
        and (printer.get("needs") in (None, "terraform") or shutil.which(printer["needs"]))
    }


def test_the_corpus_is_as_large_as_it_is_said_to_be():
    assert len(VALUES) >= 25
    assert len(PRINTERS) >= 40
    assert {printer["reading"] for printer in PRINTERS.values()} <= set(readings.READINGS)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", VALUES)
def test_no_printer_shows_a_value(name, path):
    value = VALUES[name]
    printers = chosen(name)
    unmasked, masked = printed(value, printers, path)
    for printer, how in printers.items():
        # Unless the reading finds the value in what the program printed, that it finds none later means nothing.
        readable = readings.shown(value, unmasked[printer], how["reading"])
        assert readable, f"{printer}: no reading of {unmasked[printer]!r:.300}"
        ordinary = readings.shown(value, printed_by_itself(printer, how, path), how["reading"])
        shown = readings.shown(value, masked[printer], how["reading"]) - ordinary
        assert not shown, f"{printer} shows {sorted(shown)[:3]} in {masked[printer]!r:.600}"


def printed(value, printers, path):
    """Run all printers in one order; return what each printed, and what of it stands in the log, by its name."""
    with tempfile.TemporaryDirectory() as copies:
        commands = [
            f"echo '--- {name}'; mkdir {name}; cd {name}\n"
            f"{{ {printer['command'].strip()}\n}} 2>&1 | tee {copies}/{name}\n"
            f"echo; echo '=== {name}'"
            for name, printer in printers.items()
        ]
        ran = order.run(commands, {"VALUE": value}, path=path)
        assert ran.result.exit_code == 0, ran.log[-2000:]
        before = {name: Path(copies, name).read_bytes() for name in printers}
    after = {}
    for name in printers:
        _, begun, rest = ran.log.partition(b"\n--- %s\n" % name.encode())
        part, ended, _ = rest.partition(b"\n=== %s\n" % name.encode())
        assert begun, f"{name}: its first line is masked"
        assert ended, f"{name}: its last line is masked"
        after[name] = part
    return before, after


ORDINARY: dict[str, bytes] = {}


def printed_by_itself(name, printer, path):
    """Return what a printer prints without any value of the corpus: words of its own may occur in one."""
    if name not in ORDINARY:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", printer["command"]],
                cwd=folder,
                env={"PATH": path, "HOME": folder, "LANG": "C.UTF-8", "VALUE": "0123456789"},
                capture_output=True,
                timeout=120,
            )
        ORDINARY[name] = done.stdout + done.stderr
    return ORDINARY[name]
