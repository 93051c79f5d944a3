"""The group of all commands: each command's module is imported when the command is used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is: its module's Typer application is called ``commands``."""

    module: str
    summary: str
    """What the list of all commands says of it: the first paragraph of its help."""


COMMANDS: Final = {
    "submit": Command("iac_ci_cli.job_commands", "Send a job to a stack and print the run's id."),
    "runs": Command(
        "iac_ci_cli.history_commands",
        "List the runs of the last 90 days, the newest first. A run appears when its preparation has ended.",
    ),
    "watch": Command("iac_ci_cli.view_commands", "Watch a run until it ends; exit with 0 only if it succeeded."),
    "status": Command("iac_ci_cli.view_commands", "Show the state of a run and of its orders."),
    "logs": Command(
        "iac_ci_cli.log_commands",
        "Print the whole logs of a run's orders, or of one order; of an order that runs, what it has printed so far.",
    ),
    "files": Command(
        "iac_ci_cli.file_commands",
        "Fetch the files that orders saved, or that failed orders left, for example errored.tfstate.",
    ),
    "events": Command(
        "iac_ci_cli.view_commands", "Print what happened to a run, one event on a line, the oldest first."
    ),
    "open": Command(
        "iac_ci_cli.page_commands",
        "Print a link to the page of a run. It can be opened for 15 minutes; the page then stays open for as long.",
    ),
    "drift": Command(
        "iac_ci_cli.drift_commands",
        "List the projects whose infrastructure differs from their configuration, by their newest drift runs.",
    ),
    "doctor": Command(
        "iac_ci_cli.run_commands", "Report what a run waits for, whether anything is wrong, and the next step."
    ),
    "rerun": Command(
        "iac_ci_cli.rerun_commands",
        "Run the orders of a run that has ended again, as a new run; --failed or ORDER chooses some.",
    ),
    "nudge": Command(
        "iac_ci_cli.run_commands",
        "Wake a run: the orchestrator examines all of it. Start a watchdog if the run has none. Safe at any time.",
    ),
    "cancel": Command(
        "iac_ci_cli.run_commands",
        "Cancel queued orders. Running orders finish, so that Terraform releases its locks, unless you stop the "
        "--running.",
    ),
    "approve": Command(
        "iac_ci_cli.approval_commands",
        "Approve an order whose approval has `api: true`. No person is known then: the record says that.",
    ),
    "reject": Command(
        "iac_ci_cli.approval_commands",
        "Reject an order whose approval has `api: true`: it ends as failed, and what depends on it is skipped.",
    ),
    "validate": Command(
        "iac_ci_cli.validation_commands",
        "Check jobs and repositories' configurations as the engine does, without sending them.",
    ),
    "expand": Command(
        "iac_ci_cli.project_commands",
        "Print the jobs that the projects of a checkout stand for, as .iac-ci.yml would hold them.",
    ),
    "scaffold": Command(
        "iac_ci_cli.project_commands", "Write a first .iac-ci.yml, with comments, for the projects that a checkout has."
    ),
}
"""The commands of this package. Their summaries are here because importing all takes a second."""

GROUP: Final = "iac_ci.commands"
"""Entry points by which other packages add groups of commands; the first one of a name counts."""


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are used. A subclass names them."""

    own: ClassVar[Mapping[str, Command]]
    _lists = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """List the commands by their summaries."""
        self._lists = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._lists = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        del ctx
        return list(self.own)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command, or return None if there is none of this name."""
        known = self.own.get(cmd_name)
        if known is None:
            return None
        if self._lists:
            return TyperCommand(cmd_name, help=known.summary)
        module: Any = typer.main.get_command(import_module(known.module).commands)
        return _with_plain_flags(module.get_command(ctx, cmd_name), ctx)

    def get_params(self, ctx: Any) -> Any:
        """Return the options of the group, with ``--help``."""
        return [_plain(param) for param in super().get_params(ctx)]


class CommandGroup(LazyGroup):
    """All commands: those of this package, and those that other packages add."""

    own = COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of our own commands, then of others."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in _added() if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command, or return None if there is none of this name."""
        if cmd_name in self.own:
            return super().get_command(ctx, cmd_name)
        entry = _added().get(cmd_name)
        if entry is None:
            return None
        added: Any = typer.main.get_command(entry.load())
        added.name = cmd_name
        return _with_plain_flags(added, ctx)


def _with_plain_flags(command: Any, ctx: Any) -> Any:
    """Return a command whose help shows no ``<bool>`` behind flags, as if they took a value; its commands too."""
    for param in (*command.params, command.get_help_option(ctx)):
        _plain(param)
    for inner in getattr(command, "commands", {}).values():
        _with_plain_flags(inner, ctx)
    return command


def _plain(param: Any) -> Any:
    if getattr(param, "is_flag", False) and param.metavar is None:
        param.metavar = ""
    return param


def _added() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, entry)
    return found
