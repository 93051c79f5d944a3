"""A local cloud: MiniStack, one stack in it, and the file through which other commands find it."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from iac_ci_cli.local_clouds import announcement_folder
from iac_ci_local.codebuild.settings import BuildSettings
from iac_ci_local.functions.settings import FunctionSettings
from iac_ci_local.ministack import LocalAws, LocalCloudError, Speed
from iac_ci_local.names import REGION
from iac_ci_local.stack import LocalStack, StackBuilder
from iac_ci_local.terraform_tool import terraform_on_path, write_terraform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from iac_ci_common.models.tools import Tool, ToolSource
    from iac_ci_vcs.provider import HostSettings

_STATE_SUFFIX: Final = ".json"


@dataclass(slots=True)
class LocalCloud:
    """A running local cloud with one stack. Use as a context manager."""

    stack_name: str = "iac-ci"
    log_level: str = "WARNING"
    speed: Speed = field(default_factory=Speed)
    max_parallel: int | None = None
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    code_hosts: Mapping[str, HostSettings] = field(default_factory=dict)
    tool_sources: Mapping[Tool, ToolSource] = field(default_factory=dict)
    builds: BuildSettings = field(default_factory=BuildSettings)
    functions: FunctionSettings = field(default_factory=FunctionSettings)
    announced: bool = False
    aws: LocalAws = field(init=False)
    stack: LocalStack = field(init=False)
    _state_file: Path | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        """Start the cloud."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the cloud and every process that it started."""
        self.stop()

    def start(self) -> None:
        """Start MiniStack, create the stack and, if ``announced``, write the state file; raise ``LocalCloudError``."""
        if self.announced:
            # Refused before anything starts.
            runtime_folder()
        self.aws = self.make_aws()
        self.aws.start()
        try:
            self.stack = self.builder()(
                self.aws,
                stack=self.stack_name,
                log_level=self.log_level,
                max_parallel=self.max_parallel,
                worker_environment={
                    "IAC_CI_COMMAND_PATH": self._command_path(),
                    "IAC_CI_COMMAND_ENVIRONMENT": json.dumps(self._command_environment()),
                    # Outside a sandbox, a worker shares its user and folders with other processes.
                    **(
                        {}
                        if "worker" in self.functions.sandboxed
                        else {"IAC_CI_CLEAN_BELOW": "0", "IAC_CI_ORDER_FOLDER": ""}
                    ),
                },
                extra_environment=self.extra_environment,
                code_hosts=self.code_hosts,
                tool_sources=self.tool_sources,
                sandboxed=self.functions.sandboxed,
            ).create()
            if self.announced:
                self._write_state()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything; a second call does nothing."""
        self.aws.stop()
        if self._state_file is not None:
            self._state_file.unlink(missing_ok=True)

    def connect(self, connections: str) -> None:
        """Replace the connections: a JSON list as ``iac_ci_triggers.connections`` describes it.

        The list is not checked here, so that tests can write an invalid one. A running function may still use the
        previous list.
        """
        self.aws.client("ssm").put_parameter(
            Name=self.stack.names.connections, Value=connections, Type="String", Overwrite=True
        )

    def make_aws(self) -> LocalAws:
        """Return the AWS of this cloud, not started yet."""
        return LocalAws(speed=self.speed, builds=self.builds, functions=self.functions)

    def builder(self) -> type[StackBuilder]:
        """Return the class that builds the stack."""
        return StackBuilder

    def state(self) -> dict[str, Any]:
        """Return the addresses and credentials of this cloud, as the state file has them."""
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

    def _command_environment(self) -> dict[str, str]:
        """Return the variables that lead the AWS calls of commands to this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.aws.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _command_path(self) -> str:
        """Return the PATH of commands: the user's, with a Terraform if the machine has none."""
        path = os.environ.get("PATH", os.defpath)
        if terraform_on_path() is not None:
            return path
        tools = self.aws.folder / "tools"
        tools.mkdir()
        write_terraform(tools)
        return f"{tools}{os.pathsep}{path}"

    def _write_state(self) -> None:
        """Write the state into the cloud's own folder, which the supervisor removes, and link to it."""
        path = self.aws.folder / "cloud.json"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(self.state(), file)
        folder = runtime_folder()
        _remove_dangling_links(folder)
        link = folder / f"{self.aws.account}{_STATE_SUFFIX}"
        link.symlink_to(path)
        self._state_file = link


def runtime_folder() -> Path:
    """Return the folder with one link per announced cloud of this user; create it if it is missing."""
    folder = announcement_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    # In a shared folder such as /tmp, another user may have created it first.
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise LocalCloudError(
            f"{folder} must be a folder that only you own and can read: remove it, or set XDG_RUNTIME_DIR"
        )
    return folder


def _remove_dangling_links(folder: Path) -> None:
    """Remove the links of clouds that were killed."""
    for link in folder.glob(f"*{_STATE_SUFFIX}"):
        if not link.exists():
            link.unlink(missing_ok=True)
