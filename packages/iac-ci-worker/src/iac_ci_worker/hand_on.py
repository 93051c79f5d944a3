"""What an order hands on to later ones: sealed, and stored by URLs from the broker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from iac_ci_common.errors import IacCiError
from iac_ci_common.globs import escape
from iac_ci_common.limits import MAX_SAVED_BYTES
from iac_ci_common.models.manifest import KEPT_BY_DEFAULT
from iac_ci_common.packing import pack
from iac_ci_worker.decide import is_full_disk
from iac_ci_worker.leftovers import remove_folder
from iac_ci_worker.sealed_objects import private_folder, seal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from iac_ci_common.models.manifest import Manifest
    from iac_ci_common.models.sealed import Sealed
    from iac_ci_common.models.trade import Recipient
    from iac_ci_common.models.work import WorkUrls
    from iac_ci_common.order_outputs import WrittenOutputs
    from iac_ci_common.redaction import Redactor
    from iac_ci_worker.output_file import OutputFile
    from iac_ci_worker.presigned import PresignedObjects
    from iac_ci_worker.rights import Rights
    from iac_ci_worker.saved_files import FileCollector
    from iac_ci_worker.saved_plan import ReadPlan, SavedPlanReader


@dataclass(frozen=True, slots=True)
class HandedOn:
    """What was handed on. ``problems`` are for the order's reason: what is missing, and why."""

    outputs: Sealed | None = None
    files: Sealed | None = None
    kept: Sealed | None = None
    plan: ReadPlan | None = None
    problems: tuple[str, ...] = ()


class HandOn:
    """Seals and stores what one order hands on; a failure becomes a note and never changes how the order ended."""

    def __init__(self, rights: Rights, objects: PresignedObjects, order_name: str, redactor: Redactor) -> None:
        """Use the order's rights; nothing is traded until there is something to hand on."""
        self._rights, self._objects = rights, objects
        self._order_name, self._redactor = order_name, redactor
        self._problems: list[str] = []
        self._recipient: Recipient | None = None
        self._read: ReadPlan | None = None
        self._room: Callable[[], None] | None = None
        """Makes room on a full disk, once."""

    def everything(
        self,
        manifest: Manifest,
        outputs: OutputFile,
        files: FileCollector,
        *,
        succeeded: bool,
        plan: SavedPlanReader | None = None,
        spare: Sequence[Path] = (),
    ) -> HandedOn:
        """Store outputs and files; call this when no process of the commands is left.

        ``plan`` reads the plan that an order saved, if it succeeded, from the copies that are then sealed. On a full
        disk the folders ``spare``, and all files that are not handed on, are removed; a plan is read with some of them.
        """
        if plan is None:
            self._room = partial(_make_room, files, manifest, spare)
        outputs_stored = self._guarded("the outputs", lambda: self._outputs(outputs.read()))
        patterns = manifest.save or ()
        made = manifest.plan.json_file if manifest.plan is not None else None
        saved = self._guarded("the files to save", lambda: self._files(files, patterns, "files", plan, made))
        read = self._read_plan(plan, is_stored=saved is not None)
        if patterns and saved is None and succeeded and not self._problems:
            self._problems.append("no file matches save")
        kept = None
        if not succeeded:
            kept = self._guarded("the files to keep", lambda: self._files(files, _kept(manifest), "kept"))
            if kept is not None:
                self._problems.append("it left files; fetch them with `iac-ci files`")
        return HandedOn(outputs_stored, saved, kept, read, tuple(map(self._redactor.text, self._problems)))

    def _guarded(self, subject: str, store: Callable[[], Sealed | None]) -> Sealed | None:
        problems = list(self._problems)
        try:
            return store()
        except Exception as error:  # noqa: BLE001 - whatever fails here, the commands have ended as they did
            if self._room is not None and is_full_disk(error):
                self._room()
                self._room, self._problems = None, problems
                return self._guarded(subject, store)
            self._problems.append(f"{subject} could not be stored: {_problem(error)}")
            return None

    def _outputs(self, written: WrittenOutputs) -> Sealed | None:
        self._problems += [f"$IAC_CI_OUTPUT: {problem}" for problem in written.problems]
        if not written.values:
            return None
        secret = [name for name, value in written.values.items() if self._redactor.text(value) != value]
        content = json.dumps({"schema_version": 1, "values": written.values, "secret": secret}, ensure_ascii=False)
        with private_folder("outputs") as folder:
            (folder / "plain").write_text(content, "utf-8")
            return self._store(folder, lambda urls: urls.outputs, "outputs_bytes")

    def _read_plan(self, plan: SavedPlanReader | None, *, is_stored: bool) -> ReadPlan | None:
        """Return what was read of the plan, with a problem if its bytes are not stored."""
        if plan is None:
            return None
        read = self._read or plan.nothing()
        if read.planned is not None and not is_stored:
            read = read.with_problem("its bytes could not be stored")
        if read.note is not None:
            self._problems.append(read.note)
        return read

    def _files(
        self,
        files: FileCollector,
        patterns: Sequence[str],
        kind: Literal["files", "kept"],
        plan: SavedPlanReader | None = None,
        made: str | None = None,
    ) -> Sealed | None:
        """Store the files that match the patterns, and ``made``, a file that only the reader of the plan makes."""
        if not patterns:
            return None
        with private_folder(kind) as folder:
            copies = folder / "copies"
            copies.mkdir(mode=0o700)
            collected = files.collect(patterns if made is None else [*patterns, f"!{escape(made)}"], copies)
            self._problems += [f"{kind}: {problem}" for problem in collected.problems]
            if not collected.names:
                return None
            names = list(collected.names)
            if plan is not None:
                self._read = plan.read(copies)
                if made is not None:
                    names += self._made(copies, made)
            pack(copies, folder / "plain", paths=names)
            return self._store(folder, attrgetter(kind), f"{kind}_bytes")

    def _made(self, copies: Path, name: str) -> list[str]:
        """Return the name of the plan's JSON if it was made and there is room for it."""
        if not (copies / name).is_file():
            return []
        if sum(path.stat().st_size for path in copies.rglob("*") if path.is_file()) > MAX_SAVED_BYTES:
            self._problems.append(f"{name} is left out: an order keeps {MAX_SAVED_BYTES} bytes at most")
            return []
        return [name]

    def _store(self, folder: Path, pick: Callable[[WorkUrls], str | None], length: str) -> Sealed:
        """Seal the file ``plain`` of a private folder and upload it."""
        if self._recipient is None:
            self._recipient = self._rights.recipient()
        path = folder / "sealed"
        sealed = seal(folder / "plain", path, self._recipient, self._order_name)
        lengths: dict[str, Any] = {length: sealed.size}
        self._rights.use(pick, lambda url: self._objects.store(url, path), **lengths)
        return sealed


def _kept(manifest: Manifest) -> Sequence[str]:
    """Return the patterns of the files that are kept if the order fails."""
    return KEPT_BY_DEFAULT if manifest.keep_on_failure is None else manifest.keep_on_failure


def _make_room(files: FileCollector, manifest: Manifest, spare: Sequence[Path]) -> None:
    for folder in spare:
        remove_folder(folder)
    files.remove_others([manifest.save or (), _kept(manifest)])


def _problem(error: Exception) -> str:
    if isinstance(error, IacCiError):
        return error.message
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
