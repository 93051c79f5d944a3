"""The tools of a job's orders: what they ask for, resolved and stored, each distinct release once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from iac_ci_common.errors import IacCiError
from iac_ci_common.initial_rows import order_name, target
from iac_ci_common.models.job import ExecutionTarget
from iac_ci_common.models.tools import ToolSettings
from iac_ci_common.tool_versions import choose
from iac_ci_init.code_source import code_source
from iac_ci_init.tool_wishes import wishes
from iac_ci_init.version_files import FolderVersions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from iac_ci_common.models.job import Job, Order
    from iac_ci_common.models.tools import StoredTool, Tool, ToolSource
    from iac_ci_common.tool_versions import Version
    from iac_ci_init.code_source import CodeSource
    from iac_ci_init.own_tools import OwnTools
    from iac_ci_init.tool_releases import ToolReleases
    from iac_ci_init.tool_wishes import Wish


def _publishers(now: datetime) -> ToolSettings:
    del now
    return ToolSettings()


@dataclass(frozen=True, slots=True)
class JobTools:
    """Resolves the tools of jobs."""

    releases: ToolReleases
    own: OwnTools
    settings: Callable[[datetime], ToolSettings] = _publishers
    """Returns what the operator set; it is asked only if an order asks for something."""

    def resolve(
        self, job: Job, folders: Mapping[tuple[CodeSource, str], FolderVersions], now: datetime, problems: list[str]
    ) -> dict[int, tuple[StoredTool, ...]]:
        """Return the releases of each order by its index; add what is permanently wrong to ``problems``.

        ``folders`` are what the orders' folders ask for. Raises a failure that a retry may repair.
        """
        if not any(order.tools for order in job.orders) and not any(map(_asks, folders.values())):
            return dict.fromkeys(range(len(job.orders)), ())
        settings = self.settings(now)
        sources = settings.sources
        asked = {
            index: self._wishes(job, index, order, folders, settings, problems)
            for index, order in enumerate(job.orders)
        }
        published = cache(lambda tool: self.releases.versions(tool, sources.get(tool)))
        versions = {wish: self._version(wish, published, problems) for wish in _distinct(asked)}
        stored = {wanted: self._stored(*wanted, now, sources, problems) for wanted in _wanted(versions)}
        return {
            index: tuple(
                release
                for wish in order_wishes
                if (version := versions[wish]) is not None and (release := stored[wish.tool, version]) is not None
            )
            for index, order_wishes in asked.items()
        }

    def _wishes(
        self,
        job: Job,
        index: int,
        order: Order,
        folders: Mapping[tuple[CodeSource, str], FolderVersions],
        settings: ToolSettings,
        problems: list[str],
    ) -> list[Wish]:
        source = code_source(job, order)
        folder = (
            folders.get((source, order.git_folder or ""), FolderVersions()) if source is not None else FolderVersions()
        )
        if not order.tools and not _asks(folder):
            return []
        elsewhere = settings.builds_have_own_image and target(order) is ExecutionTarget.CODEBUILD
        return wishes(
            order_name(order, index),
            order.tools,
            folder,
            self.own.usual() if _requires(folder) else None,
            own_counts=not elsewhere,
            problems=problems,
        )

    def _version(self, wish: Wish, published: Callable[[Tool], list[Version]], problems: list[str]) -> Version | None:
        try:
            own = self.own.version(wish.tool) if wish.own_counts else None
            return choose(wish.request, wish.constraints, own, lambda: published(wish.tool))
        except ValueError as error:
            problems.append(f"{wish.where}: {error}")
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            problems.append(f"{wish.where}: {error.message}")
        return None

    def _stored(
        self, tool: Tool, version: Version, now: datetime, sources: Mapping[str, ToolSource], problems: list[str]
    ) -> StoredTool | None:
        try:
            return self.releases.stored(tool, version, now, sources.get(tool))
        except IacCiError as error:
            if error.retry_is_safe:
                raise
            problems.append(error.message if str(version) in error.message else f"{tool} {version}: {error.message}")
        return None


def _asks(folder: FolderVersions) -> bool:
    return bool(folder.files) or _requires(folder)


def _requires(folder: FolderVersions) -> bool:
    return bool(folder.constraints or folder.tofu_constraints)


def _distinct(asked: Mapping[int, list[Wish]]) -> list[Wish]:
    return list(dict.fromkeys(wish for order_wishes in asked.values() for wish in order_wishes))


def _wanted(versions: Mapping[Wish, Version | None]) -> list[tuple[Tool, Version]]:
    return list(dict.fromkeys((wish.tool, version) for wish, version in versions.items() if version is not None))
