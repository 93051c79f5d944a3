"""Messages for input that the models refuse: jobs, the configuration and arguments of the command line.

Users never see messages of a library. No message repeats a value, because it may be a secret in the wrong field.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from iac_ci_common.limits import MAX_JOB_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

MAX_MESSAGE_CHARS: Final = 400
"""Longest message, in characters."""

UNKNOWN_ORDER: Final = "unknown order"

OWN_DEPENDENCY: Final = "is the order itself; an order cannot depend on itself"

TAKES_FROM: Final = "takes from"

OWN_OUTPUT: Final = "is an output of the order itself; take it from an order that ends before"

OWN_FILES: Final = "is the order itself; restore files of an order that ends before"

IS_ABOUT: Final = "is about"

NEVER_HOLDS: Final = "can never hold"

OWN_CONDITION: Final = "is the order itself; name an order that ends before"

NO_VALUE: Final = "has no value"

HALF_CHARACTER: Final = "must be text without a lone surrogate (half of a character)"

_DEFAULT: Final = "has a value that is not allowed"

_WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "unknown field",
    "invalid_key": "has a key that is not text",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "iterable_type": "must be a list",
    "string_type": "must be text",
    "string_unicode": HALF_CHARACTER,
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number without quotes, point or exponent",
    "int_parsing": "must be a whole number without quotes, point or exponent",
    "int_from_float": "must be a whole number without quotes, point or exponent",
    "int_parsing_size": "is a number that is too large",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "date_type": "must be a date",
    "date_parsing": "must be a date",
    "datetime_type": "must be a date and a time",
    "datetime_parsing": "must be a date and a time",
    "datetime_from_date_parsing": "must be a date and a time",
    "timezone_aware": "must be a time with a time zone",
    "url_type": "must be a URL",
    "url_parsing": "must be a URL",
    "recursion_loop": "is nested too deeply",
    "recursion_depth_exceeded": "is nested too deeply",
}

_DURATION: Final = re.compile(r" *[0-9]{1,9} *(s|m|h|d|sec|min|second|minute|hour|day)s? *", re.IGNORECASE)
"""What other systems take as a length of time; all lengths here are seconds."""

_OTHER_DIGITS: Final = re.compile(r"[+-]?(0[xob]?[0-9a-f_]{1,20}|[0-9]{1,20}([_:,'][0-9]{1,20}){1,9})", re.IGNORECASE)
"""Numbers as other notations write them: with a leading zero, with another base, in groups."""

_BOUNDS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}

_FORMS: Final = {
    r"^[^\x00-\x1f\x7f]*$": "it must be one line without control characters",
    r"^[^\x00]*$": "it must not contain a NUL character",
    r"^[0-9a-f]{40}([0-9a-f]{24})?$": "it must be a full commit hash: 40 or 64 hexadecimal digits in lower case",
    r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x1f\x7f]{1,1024}$": "it must be s3://bucket/key",
    r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}$": (
        "it must be the ARN of a role: arn:aws:iam::123456789012:role/name"
    ),
    r"^[a-z0-9][a-z0-9-]{0,31}$": (
        "it must be 1 to 32 lower-case letters, digits or -, beginning with a letter or digit"
    ),
    r"^[A-Za-z_][A-Za-z0-9_]{0,63}$": (
        "it must be 1 to 64 letters, digits or _, beginning with a letter or _ (part of a variable's name)"
    ),
    r"^([A-Za-z0-9_][A-Za-z0-9._-]{0,254}|\{[0-9a-fA-F-]{36}\})$": (
        "it must be a login without @, or on Bitbucket the UUID of an account in braces"
    ),
    r"^[A-Za-z0-9_.-]{1,255}(/[A-Za-z0-9_.-]{1,255}){0,20}$": (
        "it must be a team without @: organisation/team on GitHub, the path of a group on GitLab"
    ),
    r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$": (
        "it must be 1 to 128 letters, digits, _, ., / or -, beginning with a letter or digit"
    ),
}
"""What each pattern of the models requires; a test compares this list with the models."""

_SAME: Final = (
    ("order_name", "name", "job_name", "id"),
    ("git_folder", "folder", "directory", "dir", "working_directory", "workdir", "cwd", "path"),
    ("dependencies", "depends_on", "needs", "requires"),
    ("cmds", "commands", "command", "run", "script", "steps"),
    ("env_vars", "env", "environment", "variables", "vars"),
    ("git_repo", "repo", "repository", "git_url"),
    ("commit_hash", "commit", "sha", "ref", "revision"),
    ("flow_label", "label", "flow"),
    ("username", "user", "actor"),
    ("pr_number", "pr", "pull_request_number"),
    ("issue_number", "issue"),
    ("execution_target", "target", "runs_on", "use_lambda"),
    ("assume_role", "role", "role_arn"),
    ("max_parallel", "parallel", "concurrency", "max_concurrency"),
    ("mask", "masks", "masked", "redact"),
    ("timeout", "timeout_seconds", "seconds"),
    ("job_timeout", "timeout", "timeout_seconds"),
    ("on", "triggers", "trigger", "when"),
    ("pull_request", "pull_requests", "merge_request", "pr"),
    ("command", "comment", "issue_comment"),
    ("branches", "branch"),
    ("paths", "path"),
    ("ssm_paths", "ssm", "parameters"),
    ("secret_manager_paths", "secrets_manager_paths", "secretsmanager", "secret_manager"),
    ("sops_key", "age_key"),
    ("when", "if", "only_if", "condition"),
    ("retry", "retries"),
    ("ok", "exit_codes", "ok_codes", "allowed_exit_codes"),
    ("version", "schema_version"),
    ("orders", "steps", "stages", "tasks"),
    ("require", "requirements", "apply_requirements"),
    ("expires", "expiry", "expires_in", "timeout"),
    ("timezone", "tz", "time_zone"),
    ("merge_when_applied", "automerge", "auto_merge"),
    ("run", "cmd", "command", "cmds", "script"),
    ("stage",),
)
"""Synonyms: names in jobs, in the configuration, and in other CI systems. Earlier rows have precedence.

A word that stands alone means no field here, although it is spelt like one.
"""

ORDER_WORDS: Final = {
    **dict.fromkeys(("timeout-minutes", "timeout_minutes"), "write timeout, in seconds"),
    **dict.fromkeys(("continue-on-error", "continue_on_error", "allow_failure"), "write must_succeed: false"),
    **dict.fromkeys(("before_script", "after_script"), "write these commands into cmds"),
    **dict.fromkeys(("artifacts", "cache"), "write save, and restore in a later order"),
    **dict.fromkeys(("image", "container", "setup"), "write tools for versions of terraform, opentofu and terragrunt"),
    "uses": "actions are not run here; write commands into cmds",
    "with": "actions are not run here; write commands into cmds",
    "shell": "bash runs the commands",
}
"""Words of other CI systems for which an order has no field of that meaning, and what to write."""

_ALONE: Final = frozenset(row[0] for row in _SAME if len(row) == 1)

_NEAR: Final = 0.75
"""Smallest similarity (0 to 1) of a misspelt word; below it most guesses are wrong."""

_NEAR_ANOTHER: Final = 0.85
"""The same for synonyms, which are many."""


def message(error: ErrorDetails) -> str:
    """Return the message for one of pydantic's errors; ``unknown_field`` is for unknown fields."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in {"value_error", "assertion_error"}:
        # The models' own validators raise these, with messages of iac-ci.
        text = str(context.get("error", "")) or _DEFAULT
    elif error.get("input", ...) is None and (kind.endswith("_type") or kind in {"enum", "literal_error"}):
        text = NO_VALUE
    elif kind in {"enum", "literal_error"}:
        text = f"must be {context['expected']}"
    elif kind == "string_pattern_mismatch":
        text = "has a form that is not allowed"
        if form := _FORMS.get(str(context["pattern"])):
            text += f"; {form}"
    elif kind in {"too_short", "string_too_short", "bytes_too_short"}:
        least = context["min_length"]
        text = "is empty" if least == 1 else f"has fewer than {least} {_unit(kind)}"
    elif kind in {"too_long", "string_too_long", "bytes_too_long"}:
        text = f"has more than {context['max_length']} {_unit(kind)}"
    elif kind.startswith("int_") and isinstance(error.get("input"), str):
        text = _number(error["input"]) or _WORDS.get(kind, _DEFAULT)
    elif kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        text = f"must be {words} {context[bound]}"
    else:
        text = _WORDS.get(kind, _DEFAULT)
    return text[:MAX_MESSAGE_CHARS]


def _number(text: str) -> str | None:
    """Return the message for a text that means a whole number in another notation, None for other texts."""
    if _DURATION.fullmatch(text):
        return "must be a whole number of seconds, without quotes and unit"
    if _OTHER_DIGITS.fullmatch(text):
        return "must be a whole number in plain decimal digits without quotes (60, not 060, 0x3c or 1_000)"
    return None


def _unit(kind: str) -> str:
    return "entries" if kind.startswith("too_") else "characters" if kind.startswith("string_") else "bytes"


def unknown_field(name: str, fields: Iterable[str], elsewhere: str | None = None) -> str:
    """Return the message for a field that is not in ``fields``; ``elsewhere`` names the object that has it."""
    near = meant(name, fields)
    if near is not None:
        return f"unknown field {shown(name)}; did you mean {near!r}?"
    return f"unknown field {shown(name)}" + (f"; {elsewhere}" if elsewhere else "")


def unknown_order(name: str) -> str:
    """Return the message for a dependency on an order that the job does not have."""
    return f"{UNKNOWN_ORDER} {name!r}"


def not_a_dependency(name: str, field: str = "dependencies") -> str:
    """Return the message for taking something of an order that need not have ended; ``field`` lists dependencies."""
    return f"{TAKES_FROM} {name!r}, on which the order does not depend; add it to {field}"


def saves_nothing(name: str) -> str:
    """Return the message for restoring files of an order that saves none."""
    return f"is {name!r}, which saves no files; add save to it"


def needs_a_dependency(name: str, field: str = "dependencies") -> str:
    """Return the message for a condition on an order that need not have ended; ``field`` lists dependencies."""
    return f"{IS_ABOUT} {name!r}, on which the order does not depend; add it to {field}"


def overrides_an_approval(name: str) -> str:
    """Return the message for an approval that overrides another one."""
    return f"is {name!r}, an approval, whose answer nobody overrides; name orders that run commands"


def never_changed(name: str) -> str:
    """Return the message for a condition on an order that cannot be changed."""
    return f"{NEVER_HOLDS}: {name!r} is never changed; name an exit code other than 0 in ok of one of its cmds"


def cycle(names: list[str]) -> str:
    """Return the message for a dependency cycle, whose last name repeats the first; long cycles are shortened."""
    return f"dependency cycle: {_arrows(names)}"


def too_long_chain(names: list[str], seconds: int) -> str:
    """Return the message for orders that together may take longer than a run lives; long chains are shortened."""
    return (
        f"make the run too long: {_arrows(names)} may take {seconds} seconds one after another (timeout and stop_grace "
        f"of each), and a run ends {MAX_JOB_SECONDS} seconds after it is accepted, waiting included"
    )


def _arrows(names: list[str]) -> str:
    shortened = names if len(names) <= 20 else [*names[:10], f"… {len(names) - 20} more …", *names[-10:]]
    return " → ".join(shortened)


def meant(name: str, fields: Iterable[str]) -> str | None:
    """Return the field of ``fields`` that an unknown name means by synonym or spelling; None if there is none."""
    known = sorted(set(fields))
    # Exact synonyms come first, then similar spellings, then similar spellings of synonyms.
    if same := synonym(name, known):
        return same
    word = _word(name)
    if word in _ALONE:
        return None
    if near := get_close_matches(word[:64], known, 1, _NEAR):
        return near[0]
    if any(word in row for row in _SAME):
        # The word has a meaning of its own, which no field here has.
        return None
    others = _synonyms(known)
    near = get_close_matches(word[:64], sorted(others), 1, _NEAR_ANOTHER)
    return others[near[0]] if near else None


def synonym(name: str, fields: Iterable[str]) -> str | None:
    """Return the field of ``fields`` that a name means in other letters or by synonym; None if there is none."""
    known, word = frozenset(fields), _word(name)
    return word if word in known else _synonyms(known).get(word)


def _word(name: str) -> str:
    return name.lower().replace("-", "_")


def _synonyms(known: Iterable[str]) -> dict[str, str]:
    """Return the field that each synonym means."""
    return {other: field for row in reversed(_SAME) for field in row[:2] if field in known for other in row}


def shown(name: str) -> str:
    """Return a name in quotes, at most 64 characters, in ASCII: a letter that looks like another is seen."""
    return ascii(name[:64])
