"""The worker function and the CodeBuild project, which run orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.aws.errors import aws_errors
from iac_ci_common.errors import NotFound
from iac_ci_common.execution_life import build_minutes
from iac_ci_common.keys import execution_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from iac_ci_common.models.work import BuildOrder, Work

_MAXIMUM_BUILDS: Final = 100
"""Builds in one call (AWS CodeBuild API Reference, "BatchGetBuilds")."""


class AwsWorkers:
    """Starts and stops workers. Clients are made at their first use, because most runs never need CodeBuild's."""

    def __init__(
        self, functions: Callable[[], Any], builds: Callable[[], Any], function_name: str, project: str
    ) -> None:
        """Take functions that make the Lambda and CodeBuild clients, and the names of function and project."""
        self._functions = functions
        self._builds = builds
        self._function_name = function_name
        self._project = project

    def start_lambda(self, work: Work) -> None:
        """Invoke the worker function asynchronously for an order."""
        with aws_errors(f"invoking {self._function_name}"):
            self._functions().invoke(
                FunctionName=self._function_name, InvocationType="Event", Payload=work.model_dump_json().encode()
            )

    def start_build(self, order: BuildOrder, *, timeout_seconds: int, compute_type: str | None = None) -> str:
        """Start a build and return its id; the same dispatch within five minutes returns the same build.

        Without ``compute_type`` the build has the project's machine. A token may only be repeated with an identical
        request (AWS CodeBuild API Reference, "StartBuild"). Another dispatch of the order starts another build, and the
        claim decides which of the two runs the commands.
        """
        with aws_errors(f"starting a build of {self._project}"):
            answer = self._builds().start_build(
                projectName=self._project,
                timeoutInMinutesOverride=build_minutes(timeout_seconds),
                idempotencyToken=f"{execution_name(order.run_id, order.order_num)}-{order.dispatch}",
                environmentVariablesOverride=[
                    {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in order.variables().items()
                ],
                **({} if compute_type is None else {"computeTypeOverride": compute_type}),
            )
        build_id: str = answer["build"]["id"]
        return build_id

    def stop_build(self, build_id: str) -> None:
        """Stop a build. A build that has ended or no longer exists is not an error."""
        try:
            with aws_errors(f"stopping {build_id}"):
                self._builds().stop_build(id=build_id)
        except NotFound:
            return

    def ended_builds(self, build_ids: Sequence[str], *, new: AbstractSet[str] = frozenset()) -> frozenset[str]:
        """Return those of the builds that have ended, and those not of ``new`` that CodeBuild no longer has.

        A build that was stopped has its status before its processes have ended: it has ended when it is complete.
        """
        listed: set[str] = set()
        running: set[str] = set()
        for begin in range(0, len(build_ids), _MAXIMUM_BUILDS):
            with aws_errors("reading builds"):
                answer = self._builds().batch_get_builds(ids=list(build_ids[begin : begin + _MAXIMUM_BUILDS]))
            listed.update(build["id"] for build in answer["builds"])
            running.update(build["id"] for build in answer["builds"] if not _is_over(build))
        return frozenset(build_ids) - running - (new - listed)


def _is_over(build: Mapping[str, Any]) -> bool:
    return build["buildStatus"] != "IN_PROGRESS" and bool(build.get("buildComplete", True))
