"""Names of environment variables that an order may set."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, StrictStr

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

_RESERVED: Final = frozenset(
    {
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "BASH_XTRACEFD",
        "PS4",
        "IFS",
        "PYTHONSTARTUP",
        "HOME",
        "TMPDIR",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_HANDLER",
    }
)
_RESERVED_PREFIXES: Final = (
    "LD_",
    "DYLD_",
    "BASH_FUNC_",
    "AWS_LAMBDA_",
    "_X_AMZN_",
    "IAC_CI_",
    "CODEBUILD_",
    "AWS_CONTAINER_",
    "SOPS_",
)


def check_environment_name(value: str) -> str:
    """Return ``value`` if an order may set a variable of that name, else raise ``ValueError`` without the value.

    Refused are names that a shell does not accept, names that make the dynamic loader or the shell run other code
    than the order's commands, and names of the engine and of its runtime. ``PATH`` may be set: it only affects the
    order's own commands, because the worker starts programs by their full path.
    """
    if _NAME.fullmatch(value) is None:
        raise ValueError("is not a valid name of a variable (letters, digits, _)")
    if value in _RESERVED or value.startswith(_RESERVED_PREFIXES):
        raise ValueError("is reserved for the engine, the shell or the loader; use another name")
    return value


EnvironmentName = Annotated[StrictStr, AfterValidator(check_environment_name)]
