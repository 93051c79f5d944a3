"""The projects and builds of the build service, and its operations."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iac_ci_local.codebuild import container
from iac_ci_local.codebuild.build import Build
from iac_ci_local.codebuild.buildspec import read_buildspec
from iac_ci_local.codebuild.credentials import CredentialsEndpoint
from iac_ci_local.codebuild.requests import BuildRefused, compute_type_of, minutes_of, variables_of
from iac_ci_local.codebuild.settings import BuildSettings
from iac_ci_worker.leftovers import remove_folder

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Builds:
    """The defined projects and the started builds. Thread-safe."""

    folder: Path
    settings: BuildSettings = field(default_factory=BuildSettings)
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)
    _credentials: CredentialsEndpoint = field(default_factory=CredentialsEndpoint)
    _builds: dict[str, Build] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def project(self, request: dict[str, Any]) -> dict[str, Any]:
        """Define a project; only the local cloud itself sends this request."""
        read_buildspec(request["buildspec"])
        with self._lock:
            self.projects[request["name"]] = request
        return {}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start a build, once per idempotency token; raise ``BuildRefused`` for a request that CodeBuild refuses."""
        project = self.projects.get(request.get("projectName", ""))
        if project is None:
            raise BuildRefused("ResourceNotFoundException", f"project {request.get('projectName')!r} does not exist")
        variables = {**project["environment"], **variables_of(request)}
        minutes, machine = minutes_of(request, project), compute_type_of(request, project)
        token = request.get("idempotencyToken")
        with self._lock:
            if token:
                for known in self._builds.values():
                    if known.token == token:
                        return {"build": known.description()}
            identifier = f"{project['name']}:{uuid.uuid4()}"
            arn = f"{project['arn_prefix']}{identifier}"
            build = Build(identifier, arn, project["name"], time.time(), token, variables, minutes, machine)
            self._builds[identifier] = build
        threading.Thread(target=self._run, args=(build, project), daemon=True).start()
        return {"build": build.description()}

    def get(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the builds with the requested ids, and the ids of unknown ones."""
        wanted = request.get("ids", [])
        with self._lock:
            found = [self._builds[identifier].description() for identifier in wanted if identifier in self._builds]
            missing = [identifier for identifier in wanted if identifier not in self._builds]
        return {"builds": found, "buildsNotFound": missing}

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """Stop a build; an ended build does not change. Raise ``BuildRefused`` for an unknown one."""
        with self._lock:
            build = self._builds.get(request.get("id", ""))
        if build is None:
            raise BuildRefused("ResourceNotFoundException", f"build {request.get('id')!r} does not exist")
        with build.changing:
            process = build.process if build.ended is None else None
            if build.ended is None:
                build.status = "STOPPED"
        if process is not None:
            ending = threading.Thread(
                target=container.end,
                args=(process, self.settings.stop_signal, self.settings.stop_seconds),
                daemon=True,
            )
            ending.start()
            if self.settings.stop_signal == "KILL":
                ending.join()
        return {"build": build.description()}

    def _run(self, build: Build, project: dict[str, Any]) -> None:
        """Run a build to its end. Its clock runs from the start, so provisioning shortens the time of the commands."""
        until = time.monotonic() + build.minutes * self.settings.minute_seconds
        folders = container.Container(self.folder / "builds" / build.uuid)
        address = self._credentials.open(project["role_arn"])
        try:
            folders.create()
            buildspec = read_buildspec(project["buildspec"])
            time.sleep(max(0.0, min(self.settings.provisioning_seconds, until - time.monotonic())))
            if time.monotonic() >= until:
                build.settle("TIMED_OUT")
                return
            with self._lock:
                variables = folders.environment(build, buildspec, address)
                process = build.begin(lambda: folders.start(buildspec, variables, self.settings.stop_seconds))
            if process is None:  # stopped before it began
                return
            if not _ended(process, until):
                build.settle("TIMED_OUT")
                container.end(process, "KILL")
            code = process.wait()
            build.settle("SUCCEEDED" if code == 0 else "FAILED")
            if code != 0:
                sys.stderr.write(folders.log.read_text("utf-8", "replace")[-4000:])
                sys.stderr.flush()
        except Exception as error:  # noqa: BLE001 - any error here is a fault of the build
            sys.stderr.write(f"build {build.identifier} could not start: {error!r}\n")
            sys.stderr.flush()
            build.settle("FAULT")
        finally:
            self._credentials.close(address)
            self._end_orphans()
            remove_folder(folders.root)
            build.ended = time.time()

    def _end_orphans(self) -> None:
        """End what a build left that killed its agent."""
        with self._lock:
            processes = [build.process for build in self._builds.values() if build.process is not None]
            container.end_orphans([process.pid for process in processes if process.poll() is None])


def _ended(process: Any, until: float) -> bool:
    from subprocess import TimeoutExpired

    try:
        process.wait(max(0.0, until - time.monotonic()))
    except TimeoutExpired:
        return False
    return True


__all__ = ["Builds"]
