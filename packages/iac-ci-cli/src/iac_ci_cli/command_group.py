"""The group of all commands: each command's module is imported when the command is used."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

MODULES: Final = {
    "submit": "iac_ci_cli.job_commands",
    "runs": "iac_ci_cli.history_commands",
    "watch": "iac_ci_cli.view_commands",
    "status": "iac_ci_cli.view_commands",
    "logs": "iac_ci_cli.log_commands",
    "files": "iac_ci_cli.file_commands",
    "events": "iac_ci_cli.view_commands",
    "open": "iac_ci_cli.page_commands",
    "drift": "iac_ci_cli.drift_commands",
    "doctor": "iac_ci_cli.run_commands",
    "rerun": "iac_ci_cli.rerun_commands",
    "nudge": "iac_ci_cli.run_commands",
    "cancel": "iac_ci_cli.run_commands",
    "approve": "iac_ci_cli.approval_commands",
    "reject": "iac_ci_cli.approval_commands",
    "validate": "iac_ci_cli.validation_commands",
    "expand": "iac_ci_cli.project_commands",
    "scaffold": "iac_ci_cli.project_commands",
}
"""The module of each command: its Typer application is called ``commands``."""

GROUP: Final = "iac_ci.commands"
"""Entry points by which other packages add groups of commands; the first one of a name counts."""


class CommandGroup(TyperGroup):
    """All commands, imported on demand."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of our own commands, then those that other packages add."""
        del ctx
        return [*MODULES, *(name for name in _added() if name not in MODULES)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command, or return None if there is none of this name."""
        if cmd_name in MODULES:
            group: Any = typer.main.get_command(import_module(MODULES[cmd_name]).commands)
            return _with_plain_flags(group.get_command(ctx, cmd_name), ctx)
        entry = _added().get(cmd_name)
        if entry is None:
            return None
        added: Any = typer.main.get_command(entry.load())
        added.name = cmd_name
        return _with_plain_flags(added, ctx)

    def get_params(self, ctx: Any) -> Any:
        """Return the options of the group, with ``--help``."""
        return [_plain(param) for param in super().get_params(ctx)]


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
