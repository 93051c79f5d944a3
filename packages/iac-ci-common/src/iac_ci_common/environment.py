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
    """Return ``value`` if an order may set a variable of that name, else raise ``ValueError``.

    Refused are names that a shell cannot hold, those with which the dynamic loader or the shell would run other code
    than the order's commands, and those that belong to the engine or to the runtime it runs in. ``PATH`` may be set:
    it decides only which programs the order's own commands find, the worker finds its own by full path.
    """
    if _NAME.fullmatch(value) is None:
        raise ValueError(f"{value!r:.80} is not a name of an environment variable")
    if value in _RESERVED or value.startswith(_RESERVED_PREFIXES):
        raise ValueError(f"{value} belongs to the engine, the shell or the loader and cannot be set")
    return value


EnvironmentName = Annotated[StrictStr, AfterValidator(check_environment_name)]
