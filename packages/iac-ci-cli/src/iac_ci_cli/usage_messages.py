"""Arguments that the parser refuses, in the words of this command line."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Final

_SENTENCES: Final = (
    (re.compile(r"Option '(.*)' requires (?:an argument|\d+ arguments)\.", re.DOTALL), "option {} needs a value"),
    (re.compile(r"Option '(.*)' does not take a value\.", re.DOTALL), "option {} takes no value"),
    (re.compile(r"Got unexpected extra argument(?:\(s\)|s)? \((.*)\)", re.DOTALL), "unexpected argument: {}"),
    (re.compile(r"No such option: ([^ ]*).*", re.DOTALL), "unknown option {}"),
    (re.compile(r"No such command '(.*?)'\..*", re.DOTALL), "unknown command '{}'"),
    (re.compile(r"Missing command\.", re.DOTALL), "a command is missing"),
)
_NUMBERS: Final = (
    (re.compile(r"Input should be a valid integer.*"), "must be a whole number"),
    (re.compile(r"Input should be greater than or equal to (.*)"), "must be at least {}"),
    (re.compile(r"Input should be less than or equal to (.*)"), "must be at most {}"),
)
_PREFIX: Final = "Value error, "
"""What the parser's library puts before the message of a value that it cannot convert."""

_LONGEST: Final = 200


def usage_message(error: Any) -> tuple[str, str]:
    """Return a message and a hint for an error of the parser (``TyperException``)."""
    context = getattr(error, "ctx", None)
    hint = f"See: {context.command_path} --help" if context is not None else "See: iac-ci --help"
    return _shorten(_message(error, context)), hint


def did_you_mean(name: str, known: list[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known name, or nothing."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _message(error: Any, context: Any) -> str:
    raw = str(getattr(error, "message", "") or "")
    parameter = getattr(error, "param", None)
    if hasattr(error, "param_type"):
        return f"{_name(parameter)} is missing"
    if parameter is not None:
        return f"{_name(parameter)}: {_value_message(raw.removeprefix(_PREFIX).rstrip('.'))}"
    for pattern, sentence in _SENTENCES:
        found = pattern.fullmatch(raw)
        if found:
            name = found[1] if pattern.groups else ""
            return sentence.format(name) + _near(sentence, name, context)
    return raw.rstrip(".")


def _value_message(raw: str) -> str:
    for pattern, sentence in _NUMBERS:
        if found := pattern.fullmatch(raw):
            return sentence.format(*found.groups())
    return raw


def _near(sentence: str, name: str, context: Any) -> str:
    if context is None:
        return ""
    if sentence.startswith("unknown option") and name in _options_of_commands(context):
        return "; write it after the command"
    if sentence.startswith("unknown option"):
        return did_you_mean(
            name, [option for parameter in context.command.get_params(context) for option in parameter.opts]
        )
    if sentence.startswith("unknown command") and name == "local":
        return "; it comes with the package iac-ci-local, which is not installed here (see docs/install.md)"
    if sentence.startswith("unknown command") and hasattr(context.command, "list_commands"):
        return did_you_mean(name, list(context.command.list_commands(context)))
    return ""


def _options_of_commands(context: Any) -> set[str]:
    """Return the options of the commands of a group; none for a command."""
    group = context.command
    names = group.list_commands(context) if hasattr(group, "list_commands") else ()
    commands = filter(None, (group.get_command(context, name) for name in names))
    return {option for command in commands for parameter in command.params for option in parameter.opts}


def _name(parameter: Any) -> str:
    options = [option for option in getattr(parameter, "opts", ()) if option.startswith("-")]
    if options:
        return f"option {max(options, key=len)}"
    return f"argument {str(getattr(parameter, 'name', '') or 'value').upper()}"


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST * 2 else f"{text[:_LONGEST]} … ({len(text)} characters)"
