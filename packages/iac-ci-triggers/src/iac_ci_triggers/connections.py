"""The operator's list of repositories that may start jobs, compared exactly (ignoring case).

A connection sets the webhook secrets of repositories and the token with which the engine reads and reports. Events of
other repositories start nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import zlib
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, StrictBool, StrictStr, TypeAdapter, ValidationError, model_validator

from iac_ci_common.capabilities import NO_CONNECTION
from iac_ci_common.errors import PortFailed
from iac_ci_common.globs import check_branch_name, check_branch_pattern, check_something_can_match, matches
from iac_ci_common.locations import SecretLocation
from iac_ci_common.models.base import Shape
from iac_ci_common.validation_messages import message
from iac_ci_triggers.required import Requirements
from iac_ci_vcs.address import parse_address

MAX_CONNECTIONS: Final = 1000
"""Most connections of a stack."""

MAX_LIST_BYTES: Final = 4 * 1024 * 1024
"""Largest list of connections, decompressed."""

_CHOICE: Final = secrets.token_bytes(32)

BranchPattern = Annotated[StrictStr, Field(min_length=1, max_length=255), AfterValidator(check_branch_pattern)]
"""A pattern in the language of ``.iac-ci.yml``: ``*`` does not match a slash (``globs``)."""


class Connection(Shape):
    """Repositories with the same webhook secrets, token, and source of jobs."""

    repositories: tuple[StrictStr, ...] = Field(min_length=1, description="URLs, `https://host/owner/name`.")
    webhook_secrets: tuple[SecretLocation, ...] = Field(
        min_length=1, max_length=8, description="Locations of the secrets that may sign events."
    )
    token_location: SecretLocation = Field(description="Location of the code host's token or app key.")
    modules_token_location: SecretLocation | None = Field(
        None,
        description="Location of a token that only reads its repositories, for `git_credentials`; a GitHub app needs"
        " none. Commands can read this token.",
    )
    source: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:-]{0,255}$")] | None = Field(
        None, description="Source of its jobs in the lists of secrets and roles; `host/path` if none is given."
    )

    branches: Annotated[list[BranchPattern], AfterValidator(check_something_can_match)] | None = Field(
        None,
        description="Patterns of the branches whose configuration is used; the repository's default branch if none are"
        " given. People with push access to such a branch decide what runs, so name protected branches.",
    )
    schedule_branch: (
        Annotated[StrictStr, Field(min_length=1, max_length=255), AfterValidator(check_branch_name)] | None
    ) = Field(
        None,
        description="The branch whose schedules run, by its whole name; without one none do. People with push access to"
        " it decide what they run.",
    )
    schedules_may_apply: StrictBool = Field(
        default=False,
        description="Whether schedules may start jobs with other orders than plans.",
    )
    trusted_accounts: tuple[Annotated[StrictStr, Field(min_length=1, max_length=64)], ...] = Field(
        (),
        max_length=20,
        description="Ids of bots whose pull requests run without an approval, compared exactly. Their comments are"
        " never commands.",
    )

    writers: tuple[Annotated[StrictStr, Field(min_length=1, max_length=64)], ...] = Field(
        (),
        max_length=200,
        description="Ids of accounts that may write to the repositories, compared exactly, for hosts that do not tell"
        " it to the token: access tokens of Bitbucket may not ask. Where the host tells it, its answer counts.",
    )

    link_generation: int = Field(
        1,
        ge=1,
        le=999_999_999,
        strict=True,
        description="Generation of the links to pages of runs. Raise it to end all links that were made before.",
    )

    require: Requirements | None = Field(
        None,
        description="What must hold before a comment starts a job that pull requests do not start by themselves,"
        " besides what the job requires itself. No repository can lower it.",
    )

    unlockers: tuple[Annotated[StrictStr, Field(min_length=1, max_length=64)], ...] = Field(
        (),
        max_length=200,
        description="Ids of accounts that may free concurrency groups by a comment, compared exactly; none by default.",
    )

    @model_validator(mode="after")
    def _urls_are_complete(self) -> Self:
        for repository in self.repositories:
            if not repository.startswith("https://") or parse_address(repository) is None:
                raise ValueError(f"{repository!r:.200} is not the https URL of a repository")
        if self.modules_token_location == self.token_location:
            raise ValueError("has the same token as modules_token_location; commands must not get the engine's")
        if self.source == "api":
            raise ValueError("has the source api, which is that of signed jobs; choose another name")
        hosts = {(repository_key(repository) or "").partition("/")[0] for repository in self.repositories}
        if self.writers and len(hosts) > 1:
            raise ValueError("has writers, so its repositories must be on one host")
        if self.unlockers and len(hosts) > 1:
            raise ValueError("has unlockers, so its repositories must be on one host")
        if self.trusted_accounts and len(hosts) > 1:
            # The same id is another account on another host.
            raise ValueError("has trusted_accounts, so its repositories must be on one host")
        return self


def uses_branch(connection: Connection, branch: str, *, default_branch: str) -> bool:
    """Return whether a branch's configuration is used: it matches the patterns or, without any, it is the default."""
    if connection.branches is None:
        return branch == default_branch
    return matches(connection.branches, branch)


def repository_key(repository: str) -> str | None:
    """Return a repository's key ``host/path``, None if the text is not a repository's URL.

    GitHub, GitLab and Bitbucket compare names ignoring case, so the key is lower-case.
    """
    address = parse_address(repository)
    return None if address is None else f"{address.host}/{address.path}".lower()


class Connections:
    """All connections, by the repository's key."""

    def __init__(self, connections: tuple[Connection, ...]) -> None:
        """Index the connections. Raise ``PortFailed`` for a repository that is in two of them."""
        self._by_repository: dict[str, Connection] = {}
        for connection in connections:
            for repository in connection.repositories:
                key = repository_key(repository) or ""
                if key in self._by_repository:
                    raise PortFailed(f"the stack's connections name the repository {key} twice; remove one")
                self._by_repository[key] = connection

    @property
    def first_repositories(self) -> tuple[str, ...]:
        """The key of one repository of each connection."""
        return tuple({id(connection): key for key, connection in reversed(self._by_repository.items())}.values())

    @property
    def with_schedules(self) -> tuple[str, ...]:
        """The keys of the repositories with a branch whose schedules run."""
        return tuple(key for key, one in self._by_repository.items() if one.schedule_branch is not None)

    @property
    def repositories(self) -> tuple[str, ...]:
        """The keys of all repositories."""
        return tuple(self._by_repository)

    def find(self, repository: str | None) -> Connection | None:
        """Return the repository's connection, None if it is not on the list."""
        key = repository_key(repository) if repository is not None else None
        return self._by_repository.get(key) if key is not None else None

    def link_generation(self, repository: str | None) -> int:
        """Return the generation of links to pages of a repository's runs."""
        connection = self.find(repository)
        return connection.link_generation if connection is not None else NO_CONNECTION

    def stand_in(self, repository: str, hosts: set[str]) -> Connection | None:
        """Return one connection on these hosts for a repository that is not on the list; None if there is none.

        Requests for the repository then cost what those for a connected one cost. The choice is the same for each
        request to this process, and a sender cannot foresee it.
        """
        keys = sorted(key for key in self._by_repository if key.partition("/")[0] in hosts)
        if not keys:
            return None
        digest = hmac.digest(_CHOICE, (repository_key(repository) or "").encode("utf-8", "surrogateescape"), "sha256")
        return self._by_repository[keys[int.from_bytes(digest[:8], "big") % len(keys)]]

    @property
    def most_secrets(self) -> int:
        """Return the largest number of webhook secrets of a connection."""
        return max((len(connection.webhook_secrets) for connection in self._by_repository.values()), default=0)

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
        """Return the hosts of the repositories."""
        return frozenset(key.partition("/")[0] for key in self._by_repository)


def read_connections(text: str) -> Connections:
    """Return the connections of the operator's JSON list. Raise ``PortFailed`` with its problems and their paths.

    A list that does not fit into a parameter is stored as base64 of gzip.
    """
    try:
        return Connections(_LIST.validate_json(text if text.lstrip()[:1] in _JSON else _decompressed(text)))
    except ValidationError as error:
        problems = "; ".join(
            f"{''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in entry['loc'])} {message(entry)}"
            for entry in error.errors(include_url=False)[:20]
        )
        raise PortFailed(f"the stack's connections are not valid: {problems}") from None


def _decompressed(text: str) -> bytes:
    """Return the text of a compressed list; raise ``PortFailed`` if it is damaged or larger than any list."""
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = stream.decompress(base64.b64decode(text, validate=True), MAX_LIST_BYTES)
    except (binascii.Error, zlib.error, ValueError):
        raise PortFailed("the stack's connections are neither JSON nor compressed JSON") from None
    if not stream.eof:
        raise PortFailed(f"the stack's connections are incomplete, or have more than {MAX_LIST_BYTES} bytes")
    return content


_JSON: Final = frozenset({"[", "{", '"', ""})
"""First characters of a text that is not compressed."""

_LIST: Final = TypeAdapter(Annotated[tuple[Connection, ...], Field(max_length=MAX_CONNECTIONS)])
