"""Reads what a folder of code asks for: version files and ``required_version``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from iac_ci_common.models.tools import Tool
from iac_ci_init.root_module import required_versions, required_versions_of_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

VERSION_FILES: Final = {Tool.TERRAFORM: ".terraform-version", Tool.OPENTOFU: ".opentofu-version"}

_MOST_VERSION_BYTES: Final = 4096
_MOST_MODULE_BYTES: Final = 1024 * 1024
"""Larger files of a root module are taken for generated ones without a ``terraform`` block."""

_MOST_FILES: Final = 500
_OF_TERRAFORM: Final = (".tf", ".tf.json")
_OF_TOFU: Final = (".tofu", ".tofu.json")


@dataclass(frozen=True, slots=True)
class Written:
    """A text and the file that it stands in."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class FolderVersions:
    """What a folder asks for: the nearest version file of each tool, and the root module's constraints."""

    files: Mapping[Tool, Written] = field(default_factory=dict)
    constraints: tuple[Written, ...] = ()
    """What the root module's files for Terraform require."""

    tofu_constraints: tuple[Written, ...] = ()
    """What its files for OpenTofu require."""

    has_tofu: bool = False
    """Whether the root module has files of OpenTofu alone (``.tofu``)."""

    def constraints_of(self, tool: Tool) -> tuple[Written, ...]:
        """Return what the root module requires of a tool."""
        return self.tofu_constraints if tool is Tool.OPENTOFU else self.constraints


def folder_versions(tree: Path, folder: str | None) -> FolderVersions:
    """Return what a folder of a code tree asks for; nothing outside the tree is read, whatever links say."""
    top = tree.resolve()
    at = PurePosixPath(folder or ".")
    found: dict[Tool, Written] = {}
    for tool, name in VERSION_FILES.items():
        for above in (at, *at.parents):
            text = _text(top, above / name, _MOST_VERSION_BYTES)
            if text is not None:
                found[tool] = Written(str(above / name), _first_line(text))
                break
    module = dict(_module_files(top, at))
    names = {path.name for path in module}
    own = [path for path in module if path.name.endswith(_OF_TERRAFORM)]
    tofu = [path for path in module if path not in own or path.name.replace(".tf", ".tofu") not in names]
    return FolderVersions(
        found, _constraints(module, own), _constraints(module, tofu), any(".tofu" in path.name for path in module)
    )


def _constraints(module: Mapping[PurePosixPath, str], paths: Iterable[PurePosixPath]) -> tuple[Written, ...]:
    """Return the constraints of files: those of all, or of the last file that overrides them.

    The names of files that override end with ``override`` (Terraform, "Override Files").
    """
    counting: list[Written] = []
    for path in sorted(paths, key=_overrides):
        text = module[path]
        listed = required_versions_of_json(text) if path.name.endswith(".json") else required_versions(text)
        if listed and _overrides(path):
            counting = []
        counting += [Written(str(path), constraint) for constraint in listed]
    return tuple(counting)


def _overrides(path: PurePosixPath) -> bool:
    name = path.name.partition(".")[0]
    return name == "override" or name.endswith("_override")


def _module_files(top: Path, at: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    folder = top / at
    if not folder.is_dir() or not folder.resolve().is_relative_to(top):
        return
    names = sorted(entry.name for entry in folder.iterdir())
    # The tools read no hidden files, such as those that macOS writes beside others.
    read = [name for name in names if name.endswith((*_OF_TERRAFORM, *_OF_TOFU)) and not name.startswith(".")]
    for name in read[:_MOST_FILES]:
        text = _text(top, at / name, _MOST_MODULE_BYTES)
        if text is not None:
            yield at / name, text


def _text(top: Path, path: PurePosixPath, most: int) -> str | None:
    file = top / path
    try:
        real = file.resolve(strict=True)
        if not real.is_relative_to(top) or not real.is_file() or real.stat().st_size > most:
            return None
        return real.read_text("utf-8-sig", "replace")
    except (OSError, RuntimeError):
        return None


def _first_line(text: str) -> str:
    """Return the first line that is neither empty nor a comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return next((line for line in lines if line), "")
