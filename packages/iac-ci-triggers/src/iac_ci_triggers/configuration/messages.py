"""Says what pydantic found in words that need no knowledge of Python.

Values are never repeated: one may be a secret in a wrong place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WORDS: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "string_type": "must be text",
    "int_type": "must be a whole number, written plainly",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "string_pattern_mismatch": "has a form that is not allowed",
}

_BOUNDS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
}


def what(error: ErrorDetails) -> str:
    """Say one finding."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in {"enum", "literal_error"}:
        return f"must be {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    if kind.endswith("_type") and error["input"] is None:
        return "has no value"
    if kind == "string_pattern_mismatch":
        return f"{_WORDS[kind]} here ({context['pattern']})"
    if kind in {"too_short", "string_too_short"}:
        return "is empty"
    if kind in {"too_long", "string_too_long"}:
        unit = "characters" if kind == "string_too_long" else "entries"
        return f"has more than {context['max_length']} {unit}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]}"
    message = _WORDS.get(kind) or error["msg"]
    return message[0].lower() + message[1:]
