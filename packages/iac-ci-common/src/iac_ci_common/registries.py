"""Variables in which Terraform and OpenTofu look for the tokens of registries. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, StrictStr

_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST: Final = 100


def check_registry_host(host: str) -> str:
    """Return ``host`` if it is a host name in small letters, without a port; else raise ``ValueError``."""
    if len(host) > _LONGEST or _HOST.fullmatch(host) is None:
        raise ValueError(
            f"{host!r:.80} is not the host of a registry: write it in small letters, without https:// and a port, and "
            "letters beyond a to z in their xn-- form"
        )
    return host


def registry_variable(host: str) -> str:
    """Return the variable for a registry's token: ``TF_TOKEN_app_terraform_io`` for ``app.terraform.io``.

    A hyphen becomes two underscores, because shells take no hyphens (Terraform CLI configuration file, "Environment
    Variable Credentials").
    """
    return "TF_TOKEN_" + host.replace("-", "__").replace(".", "_")


RegistryHost = Annotated[StrictStr, AfterValidator(check_registry_host)]
