"""Safety rules that can be switched off, one at a time: the simulator must notice each."""

from __future__ import annotations

from typing import Literal, get_args

Mutation = Literal[
    "doorbell",
    "conditional release",
    "claim",
    "create-once result",
    "redo of dispatching",
    "run's watchdog",
    "idempotent second leg",
    "conditional transitions",
    "own claims only",
]
MUTATIONS: tuple[Mutation, ...] = get_args(Mutation)
