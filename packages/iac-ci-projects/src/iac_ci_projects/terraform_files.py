"""Reads one folder of Terraform or OpenTofu: the modules it calls, the states it reads, and its own backend."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from posixpath import basename
from typing import TYPE_CHECKING, Any, Final

from iac_ci_common.tree import EntryKind, joined
from iac_ci_projects.expressions import known_locals, text_of
from iac_ci_projects.hcl import Block, UnreadableHcl, blocks, entries
from iac_ci_projects.rules import Tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iac_ci_common.tree import Tree

TOFU_SUFFIXES: Final = (".tofu", ".tofu.json")
"""Names of files end with one of these that OpenTofu alone reads, since 1.8."""

SUFFIXES: Final = (".tf", ".tf.json", *TOFU_SUFFIXES)
"""Names of configuration files end with one of these."""

MAX_FILE_BYTES: Final = 1024 * 1024
"""Largest file that is read; a larger one is treated as one that cannot be read."""

_RELEVANT: Final = re.compile(rb"module|terraform_remote_state|backend|cloud")
_KINDS: Final = frozenset({"module", "data", "terraform"})
_INNER: Final = frozenset({"backend", "cloud", "workspaces"})
_PATHS: Final = {"path.module": ".", "path.root": "."}

_IDENTITY: Final[Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]]] = {
    "s3": (("bucket", "key"), {}),
    "gcs": (("bucket",), {"prefix": ""}),
    "azurerm": (("storage_account_name", "container_name", "key"), {}),
    "http": (("address",), {}),
    "consul": (("path",), {}),
    "pg": (("conn_str",), {"schema_name": "terraform_remote_state"}),
    "oss": (("bucket",), {"prefix": "env:", "key": "terraform.tfstate"}),
    "cos": (("bucket",), {"prefix": "env:", "key": "terraform.tfstate"}),
    "kubernetes": (("secret_suffix",), {"namespace": "default"}),
    "remote": (("organization", "workspaces.name"), {"hostname": "app.terraform.io"}),
    "cloud": (("organization", "workspaces.name"), {"hostname": "app.terraform.io"}),
    "local": ((), {"path": "terraform.tfstate"}),
}
"""The settings of each backend that name a state (Terraform's documentation of backends): those that must be readable,
and what stands for those that are missing."""


@dataclass(frozen=True, slots=True)
class State:
    """A state as a backend's settings name it."""

    backend: str
    identity: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FolderReading:
    """What the files of one folder say.

    ``own_state`` is None if it cannot be read; without a backend it is the local one. ``unreadable_paths`` tell what
    may hold further files to watch, ``unreadable_states`` what may name a further state; both are for the user.
    """

    modules: tuple[str, ...] = ()
    states: tuple[State, ...] = ()
    own_state: State | None = None
    has_backend: bool = False
    unreadable_paths: tuple[str, ...] = ()
    unreadable_states: tuple[str, ...] = ()


def is_configuration(path: str) -> bool:
    """Return whether Terraform or OpenTofu reads a file of this name."""
    return path.endswith(SUFFIXES) and not basename(path).startswith(".")


def read_folder(folder: str, tree: Tree, tool: Tool) -> FolderReading:
    """Return what the configuration files directly in a folder say that the tool reads.

    OpenTofu reads ``a.tofu`` in place of ``a.tf`` and ``a.tofu.json`` in place of ``a.tf.json``. Terragrunt may call
    either tool, so its folders are read as those of OpenTofu: a folder without such files is the same for both.
    """
    paths = [path for path in tree.by_folder.get(folder, ()) if is_configuration(path)]
    if tool is Tool.TERRAFORM:
        paths = [path for path in paths if not path.endswith(TOFU_SUFFIXES)]
    else:
        replaced = {_of_both(path) for path in paths if path.endswith(TOFU_SUFFIXES)}
        paths = [path for path in paths if path not in replaced]
    found = _Found(folder, tree, paths)
    # Override files are read last, as Terraform merges them: their backend counts.
    for path in sorted(paths, key=_is_override):
        found.read(path)
    return FolderReading(
        tuple(dict.fromkeys(found.modules)),
        tuple(dict.fromkeys(found.states)),
        found.own_state if found.has_backend else state("local", {}, folder),
        found.has_backend,
        tuple(found.unreadable_paths),
        tuple(found.unreadable_states),
    )


def _of_both(path: str) -> str:
    """Return the file that both tools read and OpenTofu leaves out if there is this one."""
    stem, _, suffix = path.rpartition(".tofu")
    return f"{stem}.tf{suffix}"


def _is_override(path: str) -> bool:
    name = basename(path)
    stem = next(name.removesuffix(suffix) for suffix in reversed(SUFFIXES) if name.endswith(suffix))
    return stem == "override" or stem.endswith("_override")


class _Found:
    def __init__(self, folder: str, tree: Tree, paths: Sequence[str]) -> None:
        self._folder = folder
        self._tree = tree
        self._paths = paths
        self.modules: list[str] = []
        self.states: list[State] = []
        self.own_state: State | None = None
        self.has_backend = False
        self.unreadable_paths: list[str] = []
        self.unreadable_states: list[str] = []

    def read(self, path: str) -> None:
        """Read one file; through a link inside of the repository what it stands for."""
        tree = self._tree
        real = tree.resolved(path)
        if real is None:
            self.unreadable_paths.append(f"{path}: the link leads out of the repository")
            return
        entry = tree.entries.get(real)
        if entry is None or entry.kind is not EntryKind.FILE:
            return
        content = tree.contents.get(real)
        if content is None or len(content) > MAX_FILE_BYTES:
            self.unreadable_paths.append(f"{real}: has more than {MAX_FILE_BYTES} bytes")
            return
        if _RELEVANT.search(content) is None and not _may_escape(real, content):
            return
        try:
            text = content.decode("utf-8-sig")
            found = list(_json_blocks(text)) if real.endswith(".json") else blocks(text, _KINDS, _INNER)
        except (UnreadableHcl, UnicodeDecodeError, ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, UnreadableHcl) else "is not readable"
            self.unreadable_paths.append(f"{real}: {reason}")
            return
        for block in found:
            self._block(block, real)

    def _block(self, block: Block, path: str) -> None:
        if block.kind == "module":
            self._module(block, path)
        elif block.kind == "data" and block.labels[:1] == ("terraform_remote_state",):
            self._remote_state(block, path)
        elif block.kind == "terraform":
            for inner in block.blocks:
                self.has_backend |= inner.kind in {"backend", "cloud"}
                if inner.kind == "backend" and inner.labels:
                    settings = inner.attributes | _workspaces(inner)
                    self.own_state = state(inner.labels[0], settings, self._folder)
                elif inner.kind == "cloud":
                    self.own_state = state("cloud", inner.attributes | _workspaces(inner), self._folder)

    def _module(self, block: Block, path: str) -> None:
        name = block.labels[0] if block.labels else ""
        if "source" not in block.attributes:
            return
        source = self._text(block.attributes["source"])
        if source is None:
            self.unreadable_paths.append(f"{path}: the source of the module {name:.80} is no plain text")
        elif source.startswith(("./", "../")) or source in {".", ".."}:
            target = joined(self._folder, source)
            if target is None:
                self.unreadable_paths.append(f"{path}: the module {name:.80} is outside of the repository")
            else:
                self.modules.append(target)

    def _remote_state(self, block: Block, path: str) -> None:
        name = block.labels[1] if len(block.labels) > 1 else ""
        backend = self._text(block.attributes.get("backend", '""')) or ""
        settings = entries(block.attributes.get("config", "{}"))
        found = None if settings is None else state(backend, settings, self._folder, self._locals)
        if found is None:
            self.unreadable_states.append(f"{path}: the state that {name:.80} reads is no plain text")
        else:
            self.states.append(found)

    def _text(self, expression: str) -> str | None:
        values = _PATHS | self._locals if "local." in expression else _PATHS
        return text_of(expression, values=values)

    @cached_property
    def _locals(self) -> dict[str, str]:
        """The values ``local.…`` of the folder that are plain texts; read only where something needs them."""
        expressions: dict[str, str] = {}
        for path in self._paths:
            real = self._tree.resolved(path)
            content = None if real is None else self._tree.contents.get(real)
            if real is None or content is None or len(content) > MAX_FILE_BYTES:
                continue
            if b"locals" not in content and not _may_escape(real, content):
                continue
            with suppress(UnreadableHcl, ValueError, RecursionError):
                text = content.decode("utf-8-sig")
                found = _json_blocks(text) if real.endswith(".json") else blocks(text, {"locals"})
                for block in found:
                    expressions |= block.attributes if block.kind == "locals" else {}
        return known_locals(expressions, values=_PATHS)


def state(
    backend: str, settings: Mapping[str, str], folder: str, known: Mapping[str, str] | None = None
) -> State | None:
    """Return the state that a backend's settings name; None if that is not readable.

    ``known`` are the texts that the settings may name, such as ``local.name``.
    """
    if backend not in _IDENTITY:
        return None
    needed, defaults = _IDENTITY[backend]
    identity: list[tuple[str, str]] = []
    for name in (*needed, *defaults):
        text = _setting(name, settings)
        value = None if text is None else text_of(text, values={**_PATHS, **(known or {})})
        if text is None and name not in settings:
            value = defaults.get(name)
        if value is None:
            return None
        identity.append((name, (joined(folder, value) or value) if backend == "local" else value))
    return State("remote" if backend == "cloud" else backend, tuple(identity))


def _workspaces(block: Block) -> dict[str, str]:
    """Return the settings in the block ``workspaces`` of HCP Terraform's two backends."""
    names = [inner.attributes["name"] for inner in block.blocks if "name" in inner.attributes]
    return {"workspaces.name": names[0]} if names else {}


def _setting(name: str, settings: Mapping[str, str]) -> str | None:
    if name in settings:
        return settings[name]
    outer, _, inner = name.partition(".")
    if not inner:
        return None
    nested = entries(settings[outer]) if outer in settings else None
    return None if nested is None else nested.get(inner)


def _json_blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of JSON configuration; its texts are templates (Terraform's "JSON Configuration Syntax")."""
    whole = json.loads(text, object_pairs_hook=_object)
    if not isinstance(whole, dict):
        return
    for name, body in _named(whole.get("module")):
        yield Block("module", (name,), _json_attributes(body))
    for kind, named in _named(whole.get("data")):
        if kind == "terraform_remote_state":
            for name, body in _named(named):
                yield Block("data", (kind, name), _json_attributes(body))
    for body in _each(whole.get("terraform")):
        for name, settings in _named(body.get("backend")):
            yield Block("terraform", (), {}, [Block("backend", (name,), _json_attributes(settings))])
        for settings in _each(body.get("cloud")):
            yield Block("terraform", (), {}, [Block("cloud", (), _json_attributes(settings))])
    for values in _each(whole.get("locals")):
        yield Block("locals", (), _json_attributes(values))


def _may_escape(path: str, content: bytes) -> bool:
    """Return whether names in a file may be written with escapes, which JSON alone allows."""
    return path.endswith(".json") and b"\\u" in content


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a name that stands twice has all of its values, as the blocks of Terraform do."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else _flat(values) for name, values in found.items()}


def _flat(values: Sequence[Any]) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


def _each(value: Any) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, dict)]


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    for one in _each(value):
        for name, body in one.items():
            for single in _each(body):
                yield name, single


def _json_attributes(body: dict[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value, ensure_ascii=False) for name, value in body.items()}


__all__ = ["SUFFIXES", "TOFU_SUFFIXES", "FolderReading", "State", "is_configuration", "read_folder", "state"]
