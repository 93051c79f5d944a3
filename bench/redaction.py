"""``python -m bench.redaction``: how fast output is masked, beside ``cat`` of the same file.

``cat`` prints the file into a pipe; what comes out is written into a log as it is (the time of ``cat``), and then by
the worker's own log writer with secrets to mask. The log writer also reads plans, which takes the same time whatever
the secrets are: it is measured by itself, and left out and counted in. Times are those of the processor, of ``cat`` and
the reader together, so that other work on the machine changes them little; the ratios of one run can be compared on
any machine.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import resource
import statistics
import string
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from iac_ci_common.redaction import Redactor
from iac_ci_plans import PlanReader
from iac_ci_worker.log_writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 64 * 1024
_ALPHABET = string.ascii_letters + string.digits + "!@#$%&*()-_=+[]{}<>:?"
"""The characters of ``random_password``."""


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench.redaction", description="Measure how fast output is masked.")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the output")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many counts")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    chosen = parser.parse_args()
    measured = list(measure(chosen.megabytes, chosen.rounds))
    if chosen.json:
        print(json.dumps(measured, indent=2))
        return
    table = Table(title=f"Masking {chosen.megabytes} MB")
    for name in measured[0]:
        table.add_column(name, justify="left" if name in {"output", "secrets"} else "right")
    for row in measured:
        table.add_row(*(str(cell) for cell in row.values()))
    Console().print(table)


def measure(megabytes: int, rounds: int) -> Iterator[dict[str, object]]:
    """Measure each output with each set of secrets."""
    with tempfile.TemporaryDirectory(prefix="iac-ci-bench-") as name:
        folder = Path(name)
        for output, content in (("Terraform", terraform_output(megabytes)), ("base64", base64_output(megabytes))):
            file = folder / output
            file.write_bytes(content)
            sets = secret_sets()
            log = folder / "log"
            # Side by side in each round: whatever else runs slows down all.
            measured = [
                {
                    secrets: (_cat(file, log), _logged(file, log, values), _read(content))
                    for secrets, values in sets.items()
                }
                for _ in range(rounds)
            ]
            # The same file whatever the secrets are: runs of some hundredths of a second differ by a factor of two.
            cat = statistics.median(times[0] for one in measured for times in one.values())
            reading = statistics.median(times[2] for one in measured for times in one.values())
            for secrets, values in sets.items():
                logged = statistics.median(one[secrets][1] for one in measured)
                # Of a short output, the difference may be less than the clock shows.
                masked = max(logged - reading, 1e-6)
                yield {
                    "output": output,
                    "secrets": secrets,
                    "build, CPU s": round(min(_build_seconds(values) for _ in range(rounds)), 3),
                    "cat, MB/s": round(len(content) / cat / 1e6),
                    "masked, MB/s": round(len(content) / masked / 1e6),
                    "cat / masked": round(masked / cat, 1),
                    "cat / masked and read": round(logged / cat, 1),
                }


def secret_sets() -> dict[str, list[str]]:
    """Return the secrets by what they are."""
    source = random.Random(1)
    passwords = ["".join(source.choices(_ALPHABET, k=20)) for _ in range(1000)]
    body = base64.encodebytes(source.randbytes(1192)).decode()
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\n"
    data = base64.b64encode(key.encode()).decode()
    kubeconfig = (
        f"apiVersion: v1\nkind: Config\nclusters:\n- name: a\n  cluster:\n    certificate-authority-data: {data}\n"
        f"users:\n- name: b\n  user:\n    client-key-data: {data[::-1]}\n"
    )
    return {
        "0": [],
        "1": passwords[:1],
        "20": passwords[:20],
        "200": passwords[:200],
        "a PEM key": [key],
        "a kubeconfig": [kubeconfig],
        "200, a PEM key, a kubeconfig": [*passwords[:200], key, kubeconfig],
        "1,000": passwords,
    }


def terraform_output(megabytes: int, *, seed: int = 2) -> bytes:
    """Make output: 90 % Terraform's plans and applies, a third in colour, 5 % base64, 5 % escaped JSON."""
    source = random.Random(seed)
    parts: list[bytes] = []
    size = 0
    while size < megabytes * 1_000_000:
        plan = b"".join(_resource(source, coloured=len(parts) % 3 == 0) for _ in range(60))
        share = len(plan) // 18
        document = json.dumps(json.dumps({"body": plan[:share].decode(), "path": "C:\\a", "when": "<now> & then"}))
        piece = plan + base64.encodebytes(source.randbytes(share * 3 // 4)) + document[: share + 200].encode() + b"\n"
        parts.append(piece)
        size += len(piece)
    return b"".join(parts)[: megabytes * 1_000_000]


def base64_output(megabytes: int) -> bytes:
    """Make output that is nothing but base64."""
    return base64.encodebytes(random.Random(3).randbytes(megabytes * 740_000))


def _resource(source: random.Random, *, coloured: bool) -> bytes:
    """Make what Terraform prints of one resource."""
    identifier = f"{source.getrandbits(68):017x}"
    name = f'module.network["{source.choice(["blue", "green"])}"].aws_subnet.private[{source.randrange(99)}]'
    plus, bold, off = ("\x1b[32m+\x1b[0m", "\x1b[1m", "\x1b[0m") if coloured else ("+", "", "")
    attributes = {
        "arn": "(known after apply)",
        "availability_zone": f'"eu-central-1{source.choice("abc")}"',
        "cidr_block": f'"10.{source.randrange(255)}.{source.randrange(255)}.0/24"',
        "id": f'"subnet-{identifier}"',
        "user_data": f'"{source.getrandbits(160):040x}"',
        "map_public_ip_on_launch": "false",
        "vpc_id": f'"vpc-{source.getrandbits(68):017x}"',
        "password": "(sensitive value)",
    }
    lines = [f"{bold}  # {name}{off} will be created{off}", f'  {plus}{off} resource "aws_subnet" "private" {{']
    lines += [f"      {plus}{off} {key:<24}= {value}" for key, value in attributes.items()]
    lines += [
        "      + tags                    = {",
        '          + "Name" = "private & public"',
        "        }",
        "    }",
        "",
    ]
    lines += [f"{bold}{name}: Creating...{off}{off}", f"{bold}{name}: Still creating... [10s elapsed]{off}{off}"]
    lines += [f"{bold}{name}: Creation complete after 11s [id=subnet-{identifier}]{off}", ""]
    return "\n".join(lines).encode()


def _cat(file: Path, log: Path) -> float:
    begun = _processor_seconds()
    with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as cat, log.open("wb", buffering=0) as out:
        assert cat.stdout is not None
        while chunk := os.read(cat.stdout.fileno(), _CHUNK):
            out.write(chunk)
    return _processor_seconds() - begun


def _logged(file: Path, log: Path, values: list[str]) -> float:
    log.unlink(missing_ok=True)
    redactor = Redactor(values)
    redactor.text("warm")
    reading, writing = os.pipe()
    writer = LogWriter(reading, log, redactor)
    begun = _processor_seconds()
    writer.start()
    subprocess.run(["cat", file], stdout=writing, check=True)
    os.close(writing)
    writer.finish(600)
    return _processor_seconds() - begun


def _read(content: bytes) -> float:
    reader = PlanReader()
    reader.feed(b"warm\n")
    begun = _processor_seconds()
    for start in range(0, len(content), _CHUNK):
        reader.feed(content[start : start + _CHUNK])
    return _processor_seconds() - begun


def _processor_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _build_seconds(values: list[str]) -> float:
    Redactor(["warm-up-value"]).text("warm")
    begun = time.process_time()
    Redactor(values).text("warm")
    return time.process_time() - begun


if __name__ == "__main__":
    main()
