"""Reads the models of AWS services once in a process.

In each session, botocore reads the files of its services and the endpoints of all services. That takes longer than all
else at the start of a function.
"""

from __future__ import annotations

import functools
from typing import Any

import botocore.session


def share() -> None:
    """Let all sessions of this process use one loader of models, as all clients of one session do.

    Clients of S3 take the bucket out of the paths in their model, which is done once however many there are. What
    reads requests by a model needs another loader.
    """
    session: Any = botocore.session
    session.create_loader = functools.cache(session.create_loader)
