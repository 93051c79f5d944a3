"""One Terraform stage in a copy of its own, so that nothing is left in the source tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = ROOT / "terraform"
STAGES: Final = ("bootstrap", "ecr", "deploy")

STACK: Final = "acme"
REGION: Final = "eu-central-1"
DIGEST: Final = "sha256:" + "a" * 64
REPOSITORY: Final = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/{STACK}"
SECRET: Final = "a-secret-of-at-least-thirty-two-characters"

_VARIABLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "bootstrap": {"stack": STACK, "region": REGION},
    "ecr": {"stack": STACK, "region": REGION},
    "deploy": {"stack": STACK, "region": REGION, "image_uri": f"{REPOSITORY}@{DIGEST}"},
}
_LOCAL_BACKEND: Final = 'terraform {\n  backend "local" {}\n}\n'
_TIMEOUT_SECONDS: Final = 1700


class TerraformFailed(Exception):
    """Terraform ended with an error; the message is what it printed."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A copy of one stage and the environment that Terraform runs in."""

    name: str
    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, **variables: str) -> str:
        """Run Terraform and give what it printed; raise ``TerraformFailed`` where it fails.

        ``variables`` are Terraform's, handed over in the environment.
        """
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=self.folder,
            env={**self.environment, **{f"TF_VAR_{name}": value for name, value in variables.items()}},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
        )
        if done.returncode:
            raise TerraformFailed(f"terraform {' '.join(arguments)} in {self.name}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def keep_state_here(self) -> None:
        """Initialise the stage with its state in its own folder, instead of in a bucket that nobody has."""
        (self.folder / "backend_override.tf").write_text(_LOCAL_BACKEND, "utf-8")
        self.run("init")

    def plan(self, *arguments: str, **variables: str) -> dict[str, Any]:
        """Plan, and give the plan as ``terraform show -json`` shows it."""
        self.run("plan", "-out=plan.bin", *arguments, **variables)
        plan: dict[str, Any] = json.loads(self.run("show", "-json", "plan.bin"))
        return plan

    def state(self) -> dict[str, Any]:
        """Return the state as ``terraform show -json`` shows it."""
        state: dict[str, Any] = json.loads(self.run("show", "-json"))
        return state

    def copy(self, folder: Path) -> Stage:
        """Copy the stage as it is, initialised and with its state, so that the copy can be changed."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Stage(self.name, folder, self.environment)

    def change(self, file: str, old: str, new: str) -> None:
        """Replace a text that must stand in one of the stage's files exactly once."""
        path = self.folder / file
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new), "utf-8")


def copy_of(name: str, folder: Path, cli_configuration: str, more: Mapping[str, str] | None = None) -> Stage:
    """Copy a stage's source into ``folder``; it is not initialised yet. ``more`` is added to its environment."""
    shutil.copytree(SOURCE / name, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.auto.tfvars*"))
    (folder / "test.auto.tfvars.json").write_text(json.dumps(_VARIABLES[name]), "utf-8")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "AWS_"))}
    return Stage(
        name,
        folder,
        {
            **plain,
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "TF_CLI_ARGS": "-no-color",
            "CHECKPOINT_DISABLE": "1",
            **({"TF_CLI_CONFIG_FILE": cli_configuration} if cli_configuration else {}),
            **(more or {}),
        },
    )
