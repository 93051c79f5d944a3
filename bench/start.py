"""Measures the start of each function, as Lambda initialises it: ``python -m bench.start [FUNCTION …]``.

Each start is a process of its own that imports the handler, which builds its parts. A bare program imports boto3 and
makes the same clients of AWS. What the function needs beyond the bare program is its own share. A third program also
uses the libraries that every function needs: it reads one setting and makes a logger. What the function needs beyond
that one is the engine's own code and models. Times are those of the processor, and the smallest of several rounds,
because other programs disturb them; modules are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parent.parent
FUNCTIONS: Final[dict[str, Any]] = json.loads((_ROOT / "terraform/deploy/stack/functions.json").read_text("utf-8"))[
    "functions"
]

_VALUES: Final = {
    "log_level": "INFO",
    "max_parallel": "100",
    "plan_days": "14",
    "allow_file_repositories": "false",
    "page_address": "https://ci.example/runs",
    "secrets_prefix": "/iac-ci/jobs/",
    "webhook_secrets": '["ssm:/iac-ci/bench/webhook-secret"]',
    **dict.fromkeys(("order_sizes", "code_hosts", "former_secret_allow_list"), "{}"),
    **dict.fromkeys(("metrics_namespace", "provider_mirror", "command_options"), ""),
    **{name: f"ssm:/iac-ci/bench/{name}" for name in ("connections", "page_key", "sources")},
}
"""What the placeholders of functions.json stand for where any name will not do."""

_LIBRARIES: Final = """
from aws_lambda_powertools import Logger
from pydantic_settings import BaseSettings

class Settings(BaseSettings):
    name: str = "bench"

Logger(service=Settings().name)
"""

_MEASURE: Final = """
import json, resource, sys
used = resource.getrusage(resource.RUSAGE_SELF)
clients = sys.modules.get("iac_ci_common.aws.clients")
print(json.dumps({
    "seconds": used.ru_utime + used.ru_stime,
    "megabytes": used.ru_maxrss / 1024,
    "modules": len(sys.modules),
    "clients": sorted(clients._clients) if clients is not None else [],
}))
"""


@dataclass(frozen=True, slots=True)
class Start:
    """One start: the processor's seconds, the most megabytes, the number of modules and the clients that it made."""

    seconds: float
    megabytes: float
    modules: int
    clients: tuple[str, ...]


def environment(name: str) -> dict[str, str]:
    """Return the environment of a function, with which it also reaches no AWS."""
    values = {
        key: re.sub(r"\$\{(\w+)\}", lambda found: _VALUES.get(found[1], f"bench-{found[1]}"), text)
        for key, text in FUNCTIONS[name]["environment"].items()
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "IAC_CI_"))}
    return {
        **kept,
        **values,
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONDONTWRITEBYTECODE": "",
    }


def start(name: str) -> Start:
    """Start a function once."""
    module = FUNCTIONS[name]["handler"].rpartition(".")[0]
    return _run(f"from importlib import import_module\nimport_module({module!r})", environment(name))


def bare(name: str, clients: tuple[str, ...]) -> Start:
    """Start a program that only makes these clients, in the function's environment."""
    return _run(_making(clients), environment(name))


def with_libraries(name: str, clients: tuple[str, ...]) -> Start:
    """Start a program that makes these clients and uses the libraries of settings, models and logs."""
    return _run(_making(clients) + _LIBRARIES, environment(name))


def _making(clients: tuple[str, ...]) -> str:
    return f"import boto3\nfor name in {list(clients)!r}: boto3.client(name)" if clients else "import boto3"


def _run(body: str, variables: dict[str, str]) -> Start:
    command = [sys.executable, "-c", f"{body}\n{_MEASURE}"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=600)
    read = json.loads(done.stdout)
    return Start(read["seconds"], read["megabytes"], read["modules"], tuple(read["clients"]))


def _least(starts: list[Start]) -> Start:
    return min(starts, key=lambda one: one.seconds)


def main() -> None:
    """Print a row for each function."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description="Measure the start of functions.")
    parser.add_argument("function", nargs="*", help=f"any of {', '.join(FUNCTIONS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print(
        "function        | bare: s, MB, modules | libraries: of bare, MB | own: of bare, MB | own: of libraries, MB "
        "| clients"
    )
    for name in chosen.function or FUNCTIONS:
        started = _least([start(name) for _ in range(chosen.rounds)])
        plain = _least([bare(name, started.clients) for _ in range(chosen.rounds)])
        libraries = _least([with_libraries(name, started.clients) for _ in range(chosen.rounds)])
        print(
            f"{name:<15} | {plain.seconds:>4.2f} {plain.megabytes:>6.1f} {plain.modules:>8} | "
            f"{_beyond(libraries, plain):>22} | {_beyond(started, plain):>16} | {_beyond(started, libraries):>21} | "
            f"{' '.join(started.clients)}"
        )


def _beyond(one: Start, other: Start) -> str:
    share = (one.seconds - other.seconds) / other.seconds
    return f"{share:.0%} {one.megabytes - other.megabytes:>6.1f}"


if __name__ == "__main__":
    main()
