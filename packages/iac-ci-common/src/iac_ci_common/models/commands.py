"""Commands of an order, their exit codes, and how often an order may run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, StrictInt, StrictStr, StringConstraints, TypeAdapter, WrapValidator

from iac_ci_common import limits
from iac_ci_common.models.base import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from iac_ci_common.draft import Location

Command = Annotated[
    StrictStr, StringConstraints(min_length=1, max_length=limits.MAX_COMMAND_CHARS, pattern=r"^[^\x00]*$")
]

ExitCode = Annotated[StrictInt, Field(ge=0, le=255)]

SUCCESS: Final[tuple[int, ...]] = (0,)
"""Exit codes that are a success of a command that names none."""

_SIGNALS: Final = range(129, 193)
"""What bash reports for a command that a signal from 1 to 64 has ended (bash(1), "EXIT STATUS")."""


_SPLIT: Final = "is a mapping without 'run'; put a command that contains a colon in quotes"
"""YAML reads ``- echo a: b`` as a mapping."""


class CheckedCommand(Shape):
    """A command that succeeds with the exit codes that it names."""

    run: Command = Field(description="The command.")
    ok: list[ExitCode] = Field(
        default_factory=lambda: list(SUCCESS),
        min_length=1,
        max_length=limits.MAX_EXIT_CODES,
        description="Exit codes that are a success, 0 only by default; any other than 0 makes the order `changed`.",
    )


def either(text: Any, checked: type[CheckedCommand]) -> WrapValidator:
    """Return the validator of a command that is a text, of the type ``text``, or an object, of the type ``checked``.

    Problems have the path of the value itself: a union's own paths name its members too.
    """
    adapter: TypeAdapter[str] = TypeAdapter(text)

    def check(value: Any, _: Callable[[Any], Any]) -> str | CheckedCommand:
        if isinstance(value, dict) and "run" not in value and any(" " in str(key) for key in value):
            raise ValueError(_SPLIT)
        if isinstance(value, dict | CheckedCommand):
            return checked.model_validate(value)
        return adapter.validate_python(value)

    return WrapValidator(check)


AnyCommand = Annotated[Command | CheckedCommand, either(Command, CheckedCommand)]


def command_text(command: str | CheckedCommand) -> str:
    """Return what a command runs."""
    return command if isinstance(command, str) else command.run


def ok_codes(command: str | CheckedCommand) -> tuple[int, ...]:
    """Return the exit codes that are a success of a command."""
    return SUCCESS if isinstance(command, str) else tuple(command.ok)


def may_change(command: str | CheckedCommand) -> bool:
    """Return whether an exit code of the command makes its order ``changed``."""
    return any(ok_codes(command))


class Retry(Shape):
    """Further attempts of an order whose commands failed."""

    attempts: Annotated[StrictInt, Field(ge=2, le=limits.MAX_ATTEMPTS)] = Field(
        description="Most attempts, the first included."
    )
    on: list[ExitCode] = Field(
        min_length=1,
        max_length=limits.MAX_EXIT_CODES,
        description="Exit codes of a failed command after which the order is repeated.",
    )


def exit_code_findings(
    commands: Sequence[str | CheckedCommand], retry: Retry | None, *, idempotent: bool
) -> Iterator[tuple[Location, str]]:
    """Yield the problems of the exit codes of an order's commands and of its ``retry``, with paths below the order."""
    for number, command in enumerate(commands):
        if isinstance(command, CheckedCommand):
            yield from _code_findings(("cmds", number, "ok"), command.ok)
            for position, code in enumerate(command.ok):
                if code in _SIGNALS:
                    message = (
                        f"{code} is the exit code of a command that signal {code - 128} has ended, which is never ok"
                    )
                    yield ("cmds", number, "ok", position), message
    if retry is None:
        return
    if not idempotent:
        yield ("retry",), "needs idempotent: true, because the commands of the order run again"
    yield from _code_findings(("retry", "on"), retry.on)
    for position, code in enumerate(retry.on):
        if all(code in ok_codes(command) for command in commands):
            yield ("retry", "on", position), f"{code} is a success of every command, so it never fails the order"


def _code_findings(path: Location, codes: list[int]) -> Iterator[tuple[Location, str]]:
    for position, code in enumerate(codes):
        if code in codes[:position]:
            yield (*path, position), f"{code} is in the list more than once; remove one"
