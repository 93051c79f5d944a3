"""A whole local cloud: MiniStack, the stack in it, and the file by which others find it."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from iac_ci_local.ministack import LocalAws, Speed
from iac_ci_local.stack import LocalStack, StackBuilder
from iac_ci_local.terraform_tool import terraform_on_path, write_terraform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_STATE_SUFFIX: Final = ".json"


@dataclass(slots=True)
class LocalCloud:
    """A running local cloud with one stack. Use as a context manager."""

    stack_name: str = "iac-ci"
    log_level: str = "WARNING"
    speed: Speed = field(default_factory=Speed)
    max_parallel: int | None = None
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    announced: bool = False
    aws: LocalAws = field(init=False)
    stack: LocalStack = field(init=False)
    _state_file: Path | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it and everything it started."""
        self.stop()

    def start(self) -> None:
        """Start MiniStack, create the stack and, if ``announced``, write the state file."""
        self.aws = LocalAws(speed=self.speed)
        self.aws.start()
        try:
            self.stack = StackBuilder(
                self.aws,
                stack=self.stack_name,
                log_level=self.log_level,
                max_parallel=self.max_parallel,
                extra_environment={"IAC_CI_COMMAND_PATH": self._command_path(), **self.extra_environment},
            ).create()
            if self.announced:
                self._write_state()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything; stopping twice is no error."""
        self.aws.stop()
        if self._state_file is not None:
            self._state_file.unlink(missing_ok=True)

    def state(self) -> dict[str, Any]:
        """Give what somebody else needs to reach this cloud."""
        return {
            "schema_version": 1,
            "pid": os.getpid(),
            "stack": self.stack_name,
            "region": self.stack.names.region,
            "account": self.aws.account,
            "endpoint": self.aws.endpoint,
            "access_key": self.aws.access_key,
            "secret_key": self.aws.secret_key,
            "webhook_url": self.stack.webhook_url,
            "webhook_secret_location": f"ssm:{self.stack.names.webhook_secret}",
        }

    def _command_path(self) -> str:
        """Give the PATH of the orders' commands: the user's, with a Terraform where the machine has none."""
        path = os.environ.get("PATH", os.defpath)
        if terraform_on_path() is not None:
            return path
        tools = self.aws.folder / "tools"
        tools.mkdir()
        write_terraform(tools)
        return f"{tools}{os.pathsep}{path}"

    def _write_state(self) -> None:
        folder = runtime_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._state_file = folder / f"{os.getpid()}{_STATE_SUFFIX}"
        new = self._state_file.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(self.state(), file)
        new.replace(self._state_file)


def runtime_folder() -> Path:
    """Name the folder with one state file for each running ``iac-ci local up``."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "iac-ci" if base else Path(tempfile.gettempdir()) / f"iac-ci-{os.getuid()}"
