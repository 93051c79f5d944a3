"""Clients, made once per process and only when needed."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any, Final

_clients: Final[dict[str, Any]] = {}
_making: Final = Lock()


def client(service: str) -> Any:
    """Return the one client of a service.

    Several threads may ask at once for a first time. boto3's default session, which makes clients, must not be used by
    two at a time (Boto3 documentation, "Session"), so they are made one after another.

    S3 signs with SigV4 (the default presigns with an older scheme, which role sessions cannot use) and speaks by
    paths where another endpoint stands for AWS, because host names of buckets do not resolve there. Retries are
    botocore's standard ones, with jitter (AWS SDKs Reference Guide, "Retry behavior").
    """
    found = _clients.get(service)
    if found is None:
        with _making:
            found = _clients.get(service)
            if found is None:
                found = _clients[service] = _make(service)
    return found


def _make(service: str) -> Any:
    import boto3
    from botocore.config import Config

    local = "AWS_ENDPOINT_URL" in os.environ or f"AWS_ENDPOINT_URL_{service.upper()}" in os.environ
    config = Config(
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path" if local else "virtual"},
        retries={"mode": "standard", "max_attempts": 5},
        max_pool_connections=32,
        connect_timeout=5,
        read_timeout=30,
    )
    make: Any = boto3.client
    return make(service, config=config)
