"""The options of every command that speaks to a stack: which stack it is, and how the command answers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final, get_type_hints

from iac_ci_cli.connection import connect
from iac_ci_cli.options import (  # noqa: TC001 - typer reads them when it runs
    AsJson,
    CloudAccount,
    IsLocal,
    Profile,
    Region,
    StackName,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from iac_ci_cli.connection import StackClient

_NAME: Final = "options"


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What the caller chose; each field is one option of the command line."""

    stack: StackName = "iac-ci"
    local: IsLocal = False
    cloud: CloudAccount = None
    region: Region = None
    profile: Profile = None
    as_json: AsJson = False

    def connect(self) -> StackClient:
        """Reach the stack; raise ``CommandFailed`` as ``connect`` does. With ``--json``, no progress is written."""
        return connect(
            self.stack,
            local=self.local,
            cloud=self.cloud,
            region=self.region,
            profile=self.profile,
            quiet=self.as_json,
        )


def with_stack_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with one option for each field of its keyword parameter ``options``, as Typer reads it."""
    hints = get_type_hints(command, include_extras=True)
    own = [one.replace(annotation=hints[one.name]) for one in signature(command).parameters.values()]
    shared = get_type_hints(StackOptions, include_extras=True)
    parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own if one.name != _NAME] + [
        Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=shared[one.name])
        for one in fields(StackOptions)
    ]

    @wraps(command)
    def with_options(**given: Any) -> None:
        chosen = StackOptions(**{one.name: given.pop(one.name) for one in fields(StackOptions) if one.name in given})
        command(**given, **{_NAME: chosen})

    described: Any = with_options
    described.__signature__ = signature(command).replace(parameters=parameters)
    described.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options
