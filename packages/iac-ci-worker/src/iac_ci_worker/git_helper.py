"""The credential helper of git in an order, and the configuration that names it: they hold no secret.

git starts the helper when a host asks for credentials, and the helper asks the worker on loopback (gitcredentials(7)).
It is written for bash, which runs the commands too.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_HELPER: Final = """#!/bin/bash
# git's credential helper: passes git's question to the worker and its answer back.
[ "$1" = get ] || exit 0
LC_ALL=C
asked=$(cat)
exec 3<>/dev/tcp/127.0.0.1/@PORT@ || exit 0
printf 'POST /git HTTP/1.0\\r\\nHost: 127.0.0.1:@PORT@\\r\\nAuthorization: %s\\r\\nContent-Length: %d\\r\\n\\r\\n%s' \\
  "$(cat @TOKEN_FILE@)" "${#asked}" "$asked" >&3
read -r -u 3 _ status _
while IFS= read -r -u 3 line && [ "${line%$'\\r'}" ]; do :; done
if [ "$status" = 200 ]; then cat <&3; else printf '[iac-ci] %s\\n' "$(cat <&3)" >&2; fi
"""


def helper_script(port: int, token_file: Path) -> str:
    """Return the helper's text."""
    return _HELPER.replace("@PORT@", str(port)).replace("@TOKEN_FILE@", shlex.quote(str(token_file)))


def git_configuration(repositories: Iterable[str], helper: Path) -> str:
    """Return the text of ``.gitconfig``: the helper for each host, and https in place of ssh for each repository.

    With the whole path git asks for each repository, and never offers one repository's token to another.
    """
    listed = sorted(repositories)
    lines: list[str] = []
    for host in sorted({key.partition("/")[0] for key in listed}):
        lines += [
            f'[credential "https://{host}"]',
            "\thelper =",
            f"\thelper = {_quoted(f'!/bin/bash {shlex.quote(str(helper))}')}",
            "\tuseHttpPath = true",
        ]
    for key in listed:
        host, _, path = key.partition("/")
        # The port of an https address is no port of ssh.
        name = host.partition(":")[0]
        lines.append(f'[url "https://{host}/{path}.git"]')
        lines += [f"\tinsteadOf = {form}" for form in (f"git@{name}:{path}.git", f"ssh://git@{name}/{path}.git")]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """Return a value of git's configuration in quotes (git-config(1), "Syntax")."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


__all__ = ["git_configuration", "helper_script"]
