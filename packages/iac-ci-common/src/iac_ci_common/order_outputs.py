"""Outputs of orders: their names, the template that takes one, and the file in which commands write them. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from iac_ci_common.limits import MAX_OUTPUT_BYTES, MAX_OUTPUTS

MAX_FILE_BYTES: Final = 2 * MAX_OUTPUTS * MAX_OUTPUT_BYTES
"""Most bytes of the file that are read: every output twice, because a later line replaces an earlier one."""

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_OUTPUT_NAME: Final = re.compile(_NAME)
_TEMPLATE: Final = re.compile(rf"\{{\{{[ \t]*orders\.([A-Za-z0-9][A-Za-z0-9_-]{{0,127}})\.({_NAME})[ \t]*\}}\}}")
_BEGINS: Final = re.compile(r"\{\{[ \t]*orders\.")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_MAX_PROBLEMS: Final = 5

_FIXED_NAMES: Final = frozenset(
    {
        *("PATH", "CDPATH", "SHELL", "TERM", "LANG", "LANGUAGE", "CI", "USER", "LOGNAME", "EDITOR", "VISUAL", "PAGER"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY", "HOSTALIASES", "RES_OPTIONS"),
        *("GCONV_PATH", "LOCPATH", "NLSPATH", "GETCONF_DIR", "GLOBIGNORE", "PROMPT_COMMAND", "MAKEFLAGS", "GOFLAGS"),
        *("CLASSPATH", "_JAVA_OPTIONS", "REQUESTS_CA_BUNDLE", "KUBECONFIG", "BROWSER"),
    }
)
_FIXED_PREFIXES: Final = (
    *("AWS_", "IACCI_", "GIT_", "SSH_", "SSL_", "OPENSSL_", "CURL_", "WGET", "GNUPG", "LC_", "MALLOC_", "GLIBC_"),
    *("TG_", "TERRAGRUNT_", "TOFU_", "ANSIBLE_", "VAULT_", "CHECKPOINT_", "DOCKER_", "HELM_", "KUBE_", "PULUMI_"),
    *("PYTHON", "PIP_", "UV_", "VIRTUAL_ENV", "NODE_", "NPM_", "PERL", "RUBY", "GEM_", "BUNDLE_", "JAVA_", "JDK_"),
)
_TERRAFORM: Final = "TF_"
_TERRAFORM_INPUT: Final = "TF_VAR_"


class OutputReference(NamedTuple):
    """An output of another order: the order's name or queue id, and the output's name."""

    order: str
    output: str


class WrittenOutputs(NamedTuple):
    """The outputs that commands wrote, and the problems of the lines that are left out."""

    values: dict[str, str]
    problems: tuple[str, ...]


def looks_like_reference(text: str) -> bool:
    """Return whether a text has the beginning of a template ``{{ orders.…``."""
    return _BEGINS.search(text) is not None


def reference(text: str) -> OutputReference | None:
    """Return the output that a text stands for; None unless the text is one whole template."""
    found = _TEMPLATE.fullmatch(text)
    return OutputReference(found[1], found[2]) if found is not None else None


def can_be_taken(variable: str) -> bool:
    """Return whether a variable may get its value from another order's output.

    An output is data that another order's commands chose. It must not decide what a program of this order loads, runs,
    trusts or connects to, so the names that programs read as settings are refused. ``TF_VAR_…`` is Terraform's input.
    Names that no order may set at all are refused by ``check_environment_name``.
    """
    name = variable.upper()
    if name.startswith(_TERRAFORM):
        return name.startswith(_TERRAFORM_INPUT)
    return name not in _FIXED_NAMES and not name.startswith(_FIXED_PREFIXES)


def parse_outputs(data: bytes) -> WrittenOutputs:
    """Read the lines ``NAME=value``; a later line replaces an earlier one of the same name.

    Lines that are not valid are left out, each with its problem; problems repeat no value. ``data`` may be cut at
    ``MAX_FILE_BYTES`` + 1.
    """
    values: dict[str, str] = {}
    problems: list[str] = []
    if len(data) > MAX_FILE_BYTES:
        problems.append(f"the file has more than {MAX_FILE_BYTES} bytes; the rest is left out")
        data = data[:MAX_FILE_BYTES].rpartition(b"\n")[0]
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        name, problem, value = _parsed(line.removesuffix(b"\r"))
        if problem is None and name not in values and len(values) >= MAX_OUTPUTS:
            problem = f"is one output more than the {MAX_OUTPUTS} that an order may have"
        if problem is not None:
            problems.append(f"line {number} {problem}")
        else:
            values[name] = value
    if len(problems) > _MAX_PROBLEMS:
        problems = [*problems[:_MAX_PROBLEMS], f"{len(problems) - _MAX_PROBLEMS} more problems"]
    return WrittenOutputs(values, tuple(problems))


def _parsed(line: bytes) -> tuple[str, str | None, str]:
    """Return a line's name, its problem (None if there is none) and its value."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "", "is not UTF-8", ""
    name, equals, value = text.partition("=")
    if not equals:
        return "", "is not NAME=value", ""
    if _OUTPUT_NAME.fullmatch(name) is None:
        return "", "has a name that is not 1 to 64 letters, digits or _, beginning with a letter or _", ""
    if len(value.encode()) > MAX_OUTPUT_BYTES:
        return name, f"({name}) has a value of more than {MAX_OUTPUT_BYTES} bytes", ""
    if _CONTROL.search(value):
        return name, f"({name}) has a value with a control character", ""
    return name, None, value
