"""The clients of AWS services: each is made once per process, at its first use."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any, Final

from iac_ci_common.aws.repeats import add_repeats

_clients: Final[dict[str, Any]] = {}
_making: Final = Lock()

_NOTHING_WAITS: Final = frozenset({"events"})
"""Services whose calls may fail: they are sent again later, so they get ten seconds and no repeats of the engine's."""


def client(service: str) -> Any:
    """Return the process's client of a service.

    Several threads may call this at once. boto3's default session, which makes clients, is not thread-safe
    (Boto3 documentation, "Session"), so clients are made one after another.

    S3 signs with SigV4 (the default presigns with an older scheme, which role sessions cannot use). With an endpoint
    other than AWS it uses path-style addresses, because host names of buckets do not resolve there. Retries are
    botocore's standard ones, with jitter (AWS SDKs Reference Guide, "Retry behavior"), and those of
    ``iac_ci_common.aws.repeats``.
    """
    cached = _clients.get(service)
    if cached is None:
        with _making:
            cached = _clients.get(service)
            if cached is None:
                cached = _clients[service] = _make(service)
    return cached


def _make(service: str) -> Any:
    import boto3
    from botocore.config import Config

    is_brief = service in _NOTHING_WAITS
    local = "AWS_ENDPOINT_URL" in os.environ or f"AWS_ENDPOINT_URL_{service.upper()}" in os.environ
    config = Config(
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path" if local else "virtual"},
        retries={"mode": "standard", "max_attempts": 2 if is_brief else 5},
        max_pool_connections=32,
        connect_timeout=2 if is_brief else 5,
        read_timeout=3 if is_brief else 30,
    )
    make: Any = boto3.client
    made = make(service, config=config)
    if not is_brief:
        add_repeats(made)
    return made
