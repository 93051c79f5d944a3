"""Writes a first ``.iac-ci.yml`` for a checkout, with comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import yaml

from iac_ci_cli.text import comment
from iac_ci_projects import Tool

if TYPE_CHECKING:
    from iac_ci_projects import Proposal, Rule

_SHOWN: Final = 20

_HEAD: Final = """\
# The projects of this repository, each of which a pull request plans that touches it, and "/iac-ci apply" applies.
# Check this file with "iac-ci validate .", and see the jobs that it stands for with "iac-ci expand".
version: 1

"""

_ROLES: Final = """\
    # Roles in the target account; plans need to read only. Without them the commands have no credentials of AWS.
    # role:
    #   plan: arn:aws:iam::123456789012:role/plan
    #   apply: arn:aws:iam::123456789012:role/apply
"""

_NONE: Final = """\
# No folder has a backend, configuration that no other folder calls, or a terragrunt.hcl. Write patterns of your own:
projects:
  - find: "**/backend.tf"
"""


def scaffolded(proposal: Proposal) -> str:
    """Return the text of a configuration that finds the projects of a checkout."""
    if not proposal.rules:
        return _HEAD + _NONE
    lines = [_HEAD, f"# {counted(len(proposal.folders))}:\n"]
    lines += [f"#   {comment(folder or '.')}\n" for folder in proposal.folders[:_SHOWN]]
    if len(proposal.folders) > _SHOWN:
        lines.append(f"#   and {len(proposal.folders) - _SHOWN} more\n")
    lines += _left_out(proposal)
    lines += _variables(proposal)
    lines.append("projects:\n")
    lines += [_rule(rule) for rule in proposal.rules]
    return "".join(lines)


def counted(number: int) -> str:
    """Return a number of projects in words."""
    return f"{number} project" if number == 1 else f"{number} projects"


def _rule(rule: Rule) -> str:
    if rule.folder is not None:
        text = f"  - folder: {_scalar(rule.folder or '.')}\n"
    elif len(rule.find) == 1:
        text = f"  - find: {_scalar(rule.find[0])}\n"
    else:
        text = f"  - find: [{', '.join(map(_scalar, rule.find))}]\n"
    if rule.tool is not Tool.TERRAFORM:
        text += f"    tool: {rule.tool.value}\n"
    return text + _ROLES


def _left_out(proposal: Proposal) -> list[str]:
    if not proposal.left_out:
        return []
    shown = [f"#   {comment(folder or '.')}: {reason}\n" for folder, reason in proposal.left_out[:_SHOWN]]
    more = len(proposal.left_out) - _SHOWN
    return ["# Left out; add those that are projects:\n", *shown, *([f"#   and {more} more\n"] if more > 0 else [])]


def _variables(proposal: Proposal) -> list[str]:
    if not proposal.var_files:
        return []
    lines = [
        "# These files of variables are read only if a project names them; with a matrix, each is a project:\n",
        '#   matrix: {stage: [dev, prod]}\n#   workspace: "{{ matrix.stage }}"\n',
        '#   var_files: ["{{ matrix.stage }}.tfvars"]\n',
    ]
    for folder, paths in proposal.var_files[:_SHOWN]:
        lines.append(f"#   {comment(folder or '.')}: {comment(', '.join(paths[:_SHOWN]))}\n")
    return lines


def _scalar(text: str) -> str:
    """Return text in quotes, as YAML reads it."""
    if text.isprintable():
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10_000).rstrip("\n")


__all__ = ["counted", "scaffolded"]
