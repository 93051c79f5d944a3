"""Makes errors from what git prints: the reason, and whether another try may succeed. Pure."""

from __future__ import annotations

import re
from typing import Final

from iac_ci_common.errors import PortFailed, PreparationFailed

_REASON_CHARS: Final = 400
_TEMPORARY: Final = re.compile(
    r"returned error: (408|425|429|5[0-9][0-9])|connection (reset|timed out|closed by)|early EOF|hung up unexpectedly"
    r"|RPC failed|connection was (closed|reset)|operation timed out|timed out after|could(n't| not) resolve host"
    r"|temporary failure in name resolution|network is (unreachable|down)|no route to host"
    r"|unexpected disconnect|TLS connection was non-properly terminated|SSL_ERROR_SYSCALL|error in the HTTP2 framing"
    r"|empty reply from server|GnuTLS recv error|unexpected eof while reading|SSL connection timeout"
    r"|operation too slow|was not closed cleanly|ssh_dispatch_run_fatal|broken pipe",
    re.IGNORECASE,
)
"""Git's, curl's and ssh's messages when the host or the network failed, not the request."""

_UNREACHABLE: Final = re.compile(r"failed to connect|connection refused", re.IGNORECASE)

_REDIRECT: Final = re.compile(r"returned error: 30[1278]")
"""Git's message when a host redirects, because git does not follow it."""

_ADVICE: Final = re.compile(
    r"^(hint:|warning: (redirecting|adding|permanently)|please make sure you have the correct access rights"
    r"|and the repository exists|(remote:)?[\s=]*$)",
    re.IGNORECASE,
)
"""Lines that say nothing about the reason; after each refusal by ssh, git prints some of them."""

_OF_SSH: Final = re.compile(r"^fatal: could not read from remote repository", re.IGNORECASE)
"""What git prints after the reason when ssh ends; the lines before are those of ssh and of the host."""

_FATAL: Final = re.compile(r"^(fatal|error|remote|ssh|kex_exchange_identification):|permission denied", re.IGNORECASE)


class Moved(PreparationFailed):
    """The host redirects the repository."""


class Unreachable(PreparationFailed):
    """The host refuses connections: it is down for a moment, or there is none."""


def failure(repository: str, printed: str) -> PreparationFailed | PortFailed:
    """Return the error for what git printed, already redacted; ``PortFailed`` is safe to retry."""
    message = f"fetching {repository} failed: {reason(printed)}"
    if _REDIRECT.search(printed):
        return Moved(message)
    if _UNREACHABLE.search(printed):
        return Unreachable(message)
    if _TEMPORARY.search(printed):
        return PortFailed(message, retry_is_safe=True)
    return PreparationFailed(message)


def reason(printed: str) -> str:
    """Return the lines with the reason: what the host, ssh and git said, without git's advice."""
    lines = [line.strip() for line in printed.splitlines() if not _ADVICE.match(line.strip())]
    if any(map(_OF_SSH.match, lines)):
        chosen = [line for line in lines if not _OF_SSH.match(line)] or lines[-1:]
    else:
        chosen = [line for line in lines if _FATAL.search(line)] or lines[-1:]
    # The last lines are git's own; what the host said stands before.
    text = "; ".join(dict.fromkeys(chosen[-4:]))
    return text[:_REASON_CHARS] or "git printed no reason"
