"""Keeps the default that the version before had for secrets, for one version, and warns about lists without sources.

It also warns about patterns that matched more in the version before, where ``*`` matched slashes too.

The version before let every source use every secret below the prefix unless ``secret_allow_list`` was set. A stack that
was deployed so, and whose variables still have no list, keeps ``{"*": ["*"]}``. A new stack grants nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

from botocore.exceptions import BotoCoreError, ClientError
from levels import deployed

SECRETS: Final = "secret_allow_list"
ROLES: Final = "role_allow_list"
EVERYTHING: Final = {"*": ["*"]}


def with_kept_default(variables: dict[str, Any], outputs: dict[str, Any] | None) -> dict[str, Any]:
    """Return the variables, with the former default if the deployed stack has it and they set no list."""
    set_elsewhere = SECRETS in variables or f"TF_VAR_{SECRETS}" in os.environ
    # The version before wrote no ``open_lists``; this one keeps them as they were.
    if outputs is None or set_elsewhere or SECRETS not in outputs.get("open_lists", [SECRETS]):
        return variables
    return {**variables, SECRETS: EVERYTHING}


def warnings(variables: dict[str, Any], outputs: dict[str, Any] | None) -> list[str]:
    """Return a line for each list that lets every source use everything, and for patterns that match less now."""
    found = []
    if variables.get(SECRETS) == EVERYTHING:
        found.append("every source may use every secret below secrets_prefix: name the sources in secret_allow_list")
    if variables.get("target_role_arns") and variables.get(ROLES) is None and f"TF_VAR_{ROLES}" not in os.environ:
        found.append("every source may use every role of target_role_arns: name the sources in role_allow_list")
    lines = [f"Warning: {line}. The next version grants nothing by default." for line in found]
    narrowed = _narrowed(variables) if outputs is not None and "open_lists" not in outputs else []
    if narrowed:
        lines.append(f"Warning: * no longer matches a slash in secret_allow_list; ** does: {', '.join(narrowed)}.")
    return lines


def _narrowed(variables: dict[str, Any]) -> list[str]:
    listed = variables.get(SECRETS)
    # Terraform refuses what has another type.
    entries = [entry for entry in listed.values() if isinstance(entry, list)] if isinstance(listed, dict) else []
    patterns = {pattern for entry in entries for pattern in entry if isinstance(pattern, str)}
    return sorted(pattern for pattern in patterns if "*" in pattern and "**" not in pattern and pattern != "*")


def main() -> None:
    """Read the variables from standard input and write them to standard output, the warnings to standard error."""
    variables = json.load(sys.stdin)
    try:
        outputs = deployed(sys.argv[1])
    except (ClientError, BotoCoreError) as error:
        sys.exit(f"deploy: the outputs of the stack cannot be read: {error}")
    variables = with_kept_default(variables, outputs)
    sys.stderr.writelines(f"{line}\n" for line in warnings(variables, outputs))
    sys.stdout.write(json.dumps(variables, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
