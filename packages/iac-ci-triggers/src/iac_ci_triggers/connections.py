"""Which repositories may start jobs: the list that the operator keeps, matched exactly.

A connection gives repositories their webhook secrets and the token by which the engine reads and reports. Nothing that
is not on the list starts anything, however genuine it looks.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Final, Self

from pydantic import Field, StrictStr, TypeAdapter, ValidationError, model_validator

from iac_ci_common.errors import PortFailed
from iac_ci_common.locations import SecretLocation
from iac_ci_common.models.base import Shape
from iac_ci_vcs.address import parse_address

MAX_CONNECTIONS: Final = 1000


class Connection(Shape):
    """Repositories that share webhook secrets, a token and what their jobs may name."""

    repositories: tuple[StrictStr, ...] = Field(min_length=1, description="Addresses, `https://host/owner/name`.")
    webhook_secrets: tuple[SecretLocation, ...] = Field(
        min_length=1, max_length=8, description="Locations of the secrets that events may be signed with."
    )
    token_location: SecretLocation = Field(description="Location of the code host's token or app key.")
    source: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:-]{0,255}$")] | None = Field(
        None, description="Name of its jobs' source in the list of allowed secrets; `host/path` where none is given."
    )

    branches: tuple[Annotated[StrictStr, Field(min_length=1, max_length=255)], ...] | None = Field(
        None,
        description="Patterns of the branches whose configuration counts; all where none are given. Whoever may push to"
        " such a branch decides what runs, so name those that are protected.",
    )

    @model_validator(mode="after")
    def _addresses_are_whole(self) -> Self:
        for repository in self.repositories:
            if not repository.startswith("https://") or parse_address(repository) is None:
                raise ValueError(f"{repository!r:.200} is not the https address of a repository")
        return self


def branch_counts(connection: Connection, branch: str) -> bool:
    """Return whether what a branch's configuration says is done."""
    return connection.branches is None or any(fnmatchcase(branch, pattern) for pattern in connection.branches)


def repository_key(repository: str) -> str | None:
    """Return ``host/path`` by which a repository is known, None where the address is none.

    GitHub, GitLab and Bitbucket hold names apart without regard to case, so two spellings are one repository.
    """
    address = parse_address(repository)
    return None if address is None else f"{address.host}/{address.path}".lower()


class Connections:
    """All connections, found by the repository's key."""

    def __init__(self, connections: tuple[Connection, ...]) -> None:
        """Index them; a repository that stands in two connections raises ``PortFailed``: whose secrets counted?"""
        self._by_repository: dict[str, Connection] = {}
        for connection in connections:
            for repository in connection.repositories:
                key = repository_key(repository) or ""
                if key in self._by_repository:
                    raise PortFailed(f"the stack's connections name {key} twice")
                self._by_repository[key] = connection

    def find(self, repository: str | None) -> Connection | None:
        """Return the connection of exactly this repository."""
        key = repository_key(repository) if repository is not None else None
        return self._by_repository.get(key) if key is not None else None

    def secrets_on(self, hosts: set[str]) -> tuple[str, ...]:
        """Return the locations of all webhook secrets of repositories on these hosts."""
        found = {
            location
            for key, connection in self._by_repository.items()
            if key.partition("/")[0] in hosts
            for location in connection.webhook_secrets
        }
        return tuple(sorted(found))

    @property
    def hosts(self) -> frozenset[str]:
        """Return the hosts that the repositories are on."""
        return frozenset(key.partition("/")[0] for key in self._by_repository)


def read_connections(text: str) -> Connections:
    """Read the operator's JSON list; raise ``PortFailed`` with every problem, by its place, for anything else."""
    try:
        return Connections(_LIST.validate_json(text))
    except ValidationError as error:
        places = "; ".join(
            f"{''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in said['loc'])} {said['msg']}"
            for said in error.errors(include_url=False, include_input=False)[:20]
        )
        raise PortFailed(f"the stack's connections cannot be read: {places}") from None


_LIST: Final = TypeAdapter(Annotated[tuple[Connection, ...], Field(max_length=MAX_CONNECTIONS)])
