"""Prints the path of the Terraform CLI configuration that the tests use, or nothing for Terraform's own.

In this order: the file that TF_CLI_CONFIG_FILE names; the user's own configuration where it says how providers are
installed; the registry where it answers; the stand-in. With ``--stand-in``: always the stand-in. Which one it is goes
to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from offline import program, registry
from offline.place import ROOT, TOOLS, lay_out, write_program
from offline.provider import prepared
from offline.provider.schema import FILE, VERSION

_PROVIDER: Final = """\
#!/bin/sh
# The stand-in for hashicorp/aws, started by Terraform.
unset PYTHONDONTWRITEBYTECODE PYTHONHOME
export PYTHONPATH='{root}/tests-e2e' PYTHONPYCACHEPREFIX='{compiled}'
exec '{python}' -I -S '{root}/tests-e2e/offline/provider/start.py' '{prepared}'
"""
_CONFIGURATION: Final = """\
provider_installation {{
  filesystem_mirror {{
    path = {mirror}
  }}
}}
"""


def stand_in(platform: str) -> Path:
    """Lay out a mirror with the stand-in for one platform; return the CLI configuration that uses it.

    The provider's program is the same for every run of this checkout, so that the hash that Terraform keeps of it in a
    lock file stays right whatever else runs.
    """
    sources = [path.read_text("utf-8") for path in sorted(FILE.parent.glob("*.*")) if path.is_file()]

    def fill(folder: Path, final: Path) -> None:
        python, compiled = ROOT / ".venv/bin/python", TOOLS / "compiled"
        text = _PROVIDER.format(root=ROOT, compiled=compiled, python=python, prepared=final / "prepared")
        place = f"mirror/registry.terraform.io/hashicorp/aws/{VERSION}/{platform}"
        write_program(folder / place / f"terraform-provider-aws_v{VERSION}", text)
        configuration = _CONFIGURATION.format(mirror=json.dumps(str(final / "mirror")))
        (folder / "terraformrc").write_text(configuration, "utf-8")
        (folder / "prepared").mkdir()
        prepared.write(folder / "prepared")

    content = "".join((_PROVIDER, _CONFIGURATION, str(ROOT), platform, *sources))
    return lay_out("provider", content, fill) / "terraformrc"


def choose(*, only_stand_in: bool) -> tuple[str, str]:
    """Return the CLI configuration, empty for Terraform's own, and which provider that means."""
    named = os.environ.get("TF_CLI_CONFIG_FILE", "")
    own = Path.home() / ".terraformrc"
    if not only_stand_in and named and Path(named).is_file():
        return named, f"as {named} says, which TF_CLI_CONFIG_FILE names"
    if not only_stand_in and own.is_file() and "provider_installation" in own.read_text("utf-8", "replace"):
        return str(own), f"as {own} says"
    program.put_on_path()
    platform = program.version()["platform"]
    if not only_stand_in and registry.answers(platform, VERSION):
        return "", f"hashicorp/aws from {registry.REGISTRY}"
    reason = "asked for" if only_stand_in else f"{registry.REGISTRY} does not answer"
    return str(stand_in(platform)), f"the stand-in for hashicorp/aws {VERSION} ({reason})"


def main() -> None:
    """Print the configuration's path, and which provider it means."""
    configuration, which = choose(only_stand_in=sys.argv[1:] == ["--stand-in"])
    print(f"Terraform's provider: {which}", file=sys.stderr)
    if configuration:
        print(configuration)


if __name__ == "__main__":
    main()
