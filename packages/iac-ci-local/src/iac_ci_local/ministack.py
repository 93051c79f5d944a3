"""Starts and stops MiniStack, the local AWS, on loopback, with every process that it starts."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self

from iac_ci_cli.local_clouds import local_session
from iac_ci_common.errors import IacCiError
from iac_ci_local.codebuild.server import TOKEN_VARIABLE
from iac_ci_local.codebuild.settings import BuildSettings
from iac_ci_local.functions import limits
from iac_ci_local.functions.settings import FunctionSettings
from iac_ci_local.gateway import ACCESS_KEY_VARIABLE, REGISTRY_VARIABLE
from iac_ci_local.loopback import open_loopback
from iac_ci_local.names import REGION
from iac_ci_worker.leftovers import remove_folder

if TYPE_CHECKING:
    from types import TracebackType

READY_SECONDS: Final = 120.0
"""Longest wait for MiniStack's first answer."""

_ATTEMPTS: Final = 3
_FOLDER_PREFIX: Final = "iac-ci-local-"


class LocalCloudError(IacCiError):
    """The local cloud did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How much faster than AWS the local cloud waits."""

    wait_scale: float = 0.5
    """Factor on the waits of state machines: a watchdog polls every 30 seconds instead of 60.

    With a much smaller factor, polls use up the processor that the run needs: each poll is a process here.
    """

    retry_seconds: float = 0.2
    """Seconds before Lambda's first retry of an asynchronous invocation; AWS waits a minute."""


class Supervisor(Protocol):
    """The process of a supervisor: what is used of `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Return the id of the process."""

    @property
    def stdin(self) -> IO[str] | None:
        """Return the stream that the supervisor reads."""

    @property
    def stdout(self) -> IO[str] | None:
        """Return the stream that the supervisor writes."""

    def wait(self) -> object:
        """Wait until the process has ended."""


def start_program(builds: socket.socket) -> subprocess.Popen[str]:
    """Start a supervisor, as a program of its own, that passes the listening socket ``builds`` on."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(builds.fileno(),),
        start_new_session=True,
    )


@dataclass(slots=True)
class LocalAws:
    """A MiniStack with its own account number. Use as a context manager, or call ``start`` and ``stop``."""

    speed: Speed = field(default_factory=Speed)
    start_supervisor: ClassVar[staticmethod[[socket.socket], Supervisor]] = staticmethod(start_program)
    registry: bool = False
    """Whether docker may push and pull images, for which it signs no request."""
    builds: BuildSettings = field(default_factory=BuildSettings)
    functions: FunctionSettings = field(default_factory=FunctionSettings)
    account: str = field(default_factory=lambda: str(secrets.randbelow(9 * 10**11) + 10**11))
    folder: Path = field(init=False)
    endpoint: str = field(init=False, default="")
    builds_endpoint: str = field(init=False, default="", repr=False)
    """URL of the build service; its path is the service's token."""

    _builds_token: str = field(init=False, default="", repr=False)
    _access_key: str = field(init=False, repr=False, default_factory=lambda: f"ROOT{secrets.token_hex(16).upper()}")
    _supervisor: Supervisor | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        """Start MiniStack and the build service."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every process of this cloud."""
        self.stop()

    @property
    def access_key(self) -> str:
        """Access key of the account's root, random for each cloud: every caller with it is root (see ``gateway``)."""
        return self._access_key

    @property
    def secret_key(self) -> str:
        """Secret key of the account's root; MiniStack does not verify root's."""
        return "local"

    @property
    def pid(self) -> int:
        """Process id of the supervisor, the ancestor of every process of this cloud."""
        if self._supervisor is None:
            raise LocalCloudError("the local cloud is not running")
        return self._supervisor.pid

    @property
    def session(self) -> dict[str, str]:
        """Arguments of ``boto3.client`` for this cloud, as root."""
        return {
            "region_name": REGION,
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
        }

    def client(self, service: str) -> Any:
        """Return a boto3 client of this cloud, as root. S3 uses paths, because host names of buckets do not resolve."""
        from botocore.config import Config

        config = Config(s3={"addressing_style": "path"}, max_pool_connections=16)
        return local_session().client(service, config=config, **self.session)

    def start(self) -> None:
        """Start MiniStack and the build service and wait for them; raise ``LocalCloudError`` after 3 attempts."""
        remove_abandoned_folders()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start_once()
            except LocalCloudError:
                self.stop()
                # Another process may have taken the port before MiniStack bound it.
                if attempt == _ATTEMPTS:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """End every process of this cloud and remove its folder; a second call does nothing."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        if supervisor.stdin is not None:
            with contextlib.suppress(OSError):
                supervisor.stdin.close()
        supervisor.wait()
        if supervisor.stdout is not None:
            supervisor.stdout.close()
        remove_folder(self.folder)

    def check_alive(self) -> None:
        """Raise ``LocalCloudError`` if a process of the cloud has ended by itself."""
        ended = self._read_report(timeout=0)
        if ended is not None:
            raise LocalCloudError(f"the local cloud ended unexpectedly; the end of its log:\n{self.log_tail()}")

    def log_tail(self, *, lines: int = 20) -> str:
        """Return the last ``lines`` lines of the logs of MiniStack and of the build service."""
        parts: list[str] = []
        for name in ("ministack.log", "builds.log"):
            with contextlib.suppress(OSError):
                parts += (self.folder / name).read_text("utf-8", "replace").splitlines()[-lines:]
        return "\n".join(parts)

    def _start_once(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX)).resolve()
        for name in ("tmp", "home"):
            (self.folder / name).mkdir(mode=0o700)
        port = _free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        with socket.create_server(("127.0.0.1", 0)) as builds:
            self._builds_token = secrets.token_urlsafe(32)
            self.builds_endpoint = f"http://127.0.0.1:{builds.getsockname()[1]}/{self._builds_token}"
            self._start_supervisor(port, builds)
        self._wait_until_ready()

    def _start_supervisor(self, port: int, builds: socket.socket) -> None:
        supervisor = self._supervisor = self.start_supervisor(builds)
        if supervisor.stdin is None:
            raise LocalCloudError("the supervisor of the local cloud has no standard input")
        # The supervisor ends with this pipe: if this process dies, the kernel closes our end.
        (self.folder / "supervisor.pid").write_text(str(supervisor.pid), "utf-8")
        supervisor.stdin.write(json.dumps(self._children(port, builds.fileno())) + "\n")
        supervisor.stdin.flush()
        if "started" not in (self._read_report(timeout=READY_SECONDS) or {}):
            raise LocalCloudError("the supervisor of the local cloud did not start")

    def _children(self, port: int, builds: int) -> dict[str, Any]:
        clean = self.clean_environment()
        ministack = clean | {
            **({REGISTRY_VARIABLE: "1"} if self.registry else {}),
            **limits.variables(self.functions),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": self.account,
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "AUTH": "true",
            ACCESS_KEY_VARIABLE: self.access_key,
            "SFN_WAIT_SCALE": str(self.speed.wait_scale),
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": str(self.speed.retry_seconds),
        }
        build_service = clean | {
            TOKEN_VARIABLE: self._builds_token,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }
        return {
            "folder": str(self.folder),
            "children": [
                {
                    "command": [sys.executable, "-m", "iac_ci_local.gateway"],
                    "environment": ministack,
                    "folder": str(self.folder),
                    "log": str(self.folder / "ministack.log"),
                },
                {
                    "command": [
                        *(sys.executable, "-m", "iac_ci_local.codebuild.server"),
                        *(str(builds), str(self.folder), json.dumps(asdict(self.builds))),
                    ],
                    "environment": build_service,
                    "folder": str(self.folder),
                    "log": str(self.folder / "builds.log"),
                    "descriptors": [builds],
                },
            ],
        }

    def clean_environment(self) -> dict[str, str]:
        """Return the environment of every process of this cloud; it takes only PATH from the user's.

        MiniStack passes its own environment on to the functions, so the user's credentials must not be in it.
        """
        path = os.environ.get("PATH", os.defpath)
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            self.check_alive()
            if _answers(f"{self.endpoint}/_ministack/ready") and self._is_ours():
                return
            time.sleep(0.02)
        raise LocalCloudError(f"the local cloud did not answer within {READY_SECONDS:.0f} s:\n{self.log_tail()}")

    def _is_ours(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            identity = self.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError):
            return False
        if identity["Account"] != self.account:
            raise LocalCloudError(f"{self.endpoint} belongs to another local cloud, with account {identity['Account']}")
        self.check_alive()
        return True

    def _read_report(self, *, timeout: float) -> dict[str, Any] | None:
        """Return one report of the supervisor; None without one within ``timeout`` seconds, ``ended`` if it is gone."""
        if self._supervisor is None or self._supervisor.stdout is None:
            return {"ended": "supervisor"}
        with selectors.DefaultSelector() as selector:
            selector.register(self._supervisor.stdout, selectors.EVENT_READ)
            if not selector.select(timeout):
                return None
        line = self._supervisor.stdout.readline()
        return json.loads(line) if line else {"ended": "supervisor"}


def remove_abandoned_folders() -> None:
    """Remove the folders of clouds whose supervisor was killed; no other process removes those."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if folder.stat().st_uid != os.getuid():
                continue
            supervisor = int((folder / "supervisor.pid").read_text("utf-8"))
            try:
                os.kill(supervisor, 0)
            except ProcessLookupError:
                remove_folder(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with open_loopback(url, timeout=2) as response:
            return int(response.status) == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False
