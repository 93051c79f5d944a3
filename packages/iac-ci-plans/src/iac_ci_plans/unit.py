"""Reads the lines of one root module, in the order in which they were printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iac_ci_plans import records, sentences
from iac_ci_plans.commands import only_plans
from iac_ci_plans.printed_document import PrintedDocument
from iac_ci_plans.steps import Counts, Step, numbers

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from iac_ci_plans.blocks import Block, Room

_LONGEST_SENTENCE: Final = 2048
_OF_A_BLOCK: Final = b" -+~.<}"


class Log:
    """What all root modules of a log share: the steps, the text, the warnings, and whether a plan ran."""

    MAX_STEPS = 5_000
    MAX_WARNINGS = 20

    def __init__(self, room: Room) -> None:
        """Start with an empty log."""
        self.room = room
        self.steps: list[Step] = []
        self.warnings: dict[bytes, None] = {}
        self.ran = False
        self.is_incomplete = False
        """True if there are more steps than are kept, or a document was too long: then no sum is right."""
        self.command = bytearray()
        """The command whose output is read, as the log shows it."""

    def warn(self, text: bytes) -> None:
        """Keep a warning's first line."""
        if len(self.warnings) < self.MAX_WARNINGS:
            self.warnings[text] = None


class Unit:
    """The lines of one root module; a log without units is one."""

    def __init__(self, name: bytes, log: Log) -> None:
        """Read for ``log``."""
        self.name = name
        self._log = log
        self._last: Step | None = None
        self._block: Block | None = None
        self._in_outputs = False
        self._heredoc: bytes | None = None
        self._printed: PrintedDocument | None = None

    @property
    def follows(self) -> bool:
        """Return whether each next line has to be read, not only those with a word of interest."""
        if self._heredoc is not None or self._printed is not None:
            return True
        return self._in_outputs or self._block is not None

    def take(self, text: bytes) -> None:
        """Read a line without its prefix and colours."""
        if self._heredoc is not None:
            if text.strip() == self._heredoc:
                self._heredoc = None
            return
        if self._printed is not None and self._of_printed(self._printed, text):
            return
        if self._in_outputs:
            if not text.strip() or text.startswith(b" "):
                self._output(text)
                return
            self._in_outputs = False
            self._block = None
        if self._block is not None:
            if not text.strip() or (text[0] in _OF_A_BLOCK and not text.startswith((b"--", b"  # ", b" # "))):
                self._keep(text)
                return
            if text.startswith((b"  # (", b" # (")):
                self._keep(text)
            else:
                self._block = None
        self._read(text)

    # Text for people.

    def _read(self, text: bytes) -> None:
        if len(text) > _LONGEST_SENTENCE:
            return
        if text.startswith((b" ", b"\t")):
            self._comment(text)
            return
        for pattern, act in _SENTENCES if b"omplete" in text else _SENTENCES[1:]:
            if match := pattern.match(text):
                act(self, match)
                return

    def _plan_summary(self, match: re.Match[bytes]) -> None:
        self._planned(numbers(match.groupdict()))

    def _apply_summary(self, match: re.Match[bytes]) -> None:
        self._applied(numbers(match.groupdict()))

    def _nothing(self, _: re.Match[bytes]) -> None:
        self._planned({})
        if self._last is not None:
            self._last.says_nothing = True

    def _deferred_only(self, _: re.Match[bytes]) -> None:
        self._planned({"deferred": 1})

    def _end_of_plan(self, _: re.Match[bytes]) -> None:
        if self._last is not None and not self._last.is_open:
            self._last.ended = True

    def _refresh_only(self, _: re.Match[bytes]) -> None:
        if self._last is not None and self._last.is_open:
            self._last.planned = {}

    def _warning(self, match: re.Match[bytes]) -> None:
        self._log.warn(match["text"])

    def _ran(self, _: re.Match[bytes]) -> None:
        self._log.ran = True

    def _begin_heredoc(self, match: re.Match[bytes]) -> None:
        self._heredoc = match["end"]

    def _resource_done(self, match: re.Match[bytes]) -> None:
        self.count_done(sentences.DONE_AS[match["kind"]] if match["kind"] else "bring_in")

    def _comment(self, text: bytes) -> None:
        match = sentences.HEADING.match(text)
        if match is None:
            if sentences.MOVED_FROM.match(text) and self._last is not None and self._last.is_open:
                self._last.tally["move"] += 1
            self._printed = PrintedDocument.begun_by(text)
            return
        action = next(name for name in sentences.ACTIONS if match[name])
        if action == "defer" and self._last is not None and "deferred" in (self._last.planned or {}):
            step = self._last
        else:
            step = self._open()
        step.tally["replace and forget" if match["forgetting"] else action] += 1
        address = match["moved_to"] or match["address"]
        if action not in {"drift", "defer"}:
            step.mark += hash((address, action)) & 0xFFFFFFFF
        self._log.ran = True
        if action != "drift":
            self._block = self._log.room.open(address, action)
            if self._block is not None:
                step.blocks.append(self._block)
                self._keep(text)

    def count_planned(self, action: str, count: int) -> None:
        """Count resources of a plan of which there is no room to keep the text."""
        step = self._open()
        step.tally[action] += count
        self._log.room.left_out += count
        step.is_long = True

    def count_done(self, name: str, count: int = 1) -> None:
        """Count resources that an apply has changed."""
        self._apply_step().done[name] += count

    def _begin_outputs(self, _: re.Match[bytes]) -> None:
        last = self._last
        if last is None or last.ended or last.applied is not None or last.outputs or last.planned is None:
            last = self._open()
        self._log.ran = True
        self._in_outputs = True
        self._block = self._log.room.open(b"", "outputs")
        if self._block is not None:
            last.blocks.append(self._block)

    def _outputs_only(self, _: re.Match[bytes]) -> None:
        if self._last is not None and self._last.outputs and self._last.planned is None:
            self._last.planned = {}

    def _output(self, text: bytes) -> None:
        match = sentences.OUTPUT_CHANGE.match(text)
        if match and self._last is not None:
            self._last.outputs += 1
            self._last.mark += hash((match["name"].strip(b'"'), "output")) & 0xFFFFFFFF
        self._keep(text)

    def _keep(self, text: bytes) -> None:
        """Add a line to the block that is read, and leave the block where there is no more room."""
        if self._block is not None and not self._log.room.add(self._block, text):
            self._block = None

    # What both forms say.

    def _step(self) -> Step:
        if self._last is not None and len(self._log.steps) >= Log.MAX_STEPS:
            self._log.is_incomplete = True
            return self._last
        step = self._last = Step(self.name, is_made=only_plans(self._log.command.decode("utf-8", "replace")))
        self._log.steps.append(step)
        return step

    def _open(self) -> Step:
        return self._last if self._last is not None and self._last.is_open else self._step()

    def _planned(self, counts: Counts | None) -> None:
        self._log.ran = True
        if counts is not None:
            self._open().planned = counts

    def _applied(self, counts: Counts | None) -> None:
        self._log.ran = True
        if counts is not None:
            self._apply_step().applied = {name: count for name, count in counts.items() if count or name in _CERTAIN}

    def _apply_step(self) -> Step:
        return self._last if self._last is not None and self._last.takes_apply else self._step()

    # JSON.

    def record(self, record: dict[str, Any]) -> None:
        """Read a record of ``-json`` or a document."""
        if self._heredoc is not None:
            return
        if self._printed is not None and self._printed.takes(json.dumps(record).encode()):
            # An object without members stands on a line of its own in a printed document.
            return
        self._block, self._in_outputs = None, False
        kind = record.get("type")
        if isinstance(kind, str) and kind in _RECORDS:
            field, act = _RECORDS[kind]
            act(self, record.get(field))
        elif records.is_document(record):
            self._document(record)

    def _stream(self) -> Step:
        step = self._open()
        step.is_stream = True
        return step

    def _summary(self, changes: Any) -> None:
        if not isinstance(changes, dict):
            return
        counts = numbers({name: changes.get(key) for key, name in records.SUMMARY_NAMES.items()})
        if str(changes.get("operation")) in {"apply", "destroy"}:
            self._applied(counts)
        else:
            self._stream()
            self._planned(counts)

    def _drift(self, change: Any) -> None:
        if isinstance(change, dict) and str(change.get("action")) in {"update", "delete"}:
            self._stream().tally["drift"] += 1

    def _invocation(self, _: Any) -> None:
        self._stream().tally["invoke"] += 1

    def _hook(self, hook: Any) -> None:
        name = records.DONE_AS.get(str(hook.get("action"))) if isinstance(hook, dict) else None
        if name is not None:
            self.count_done(name)

    def _planned_change(self, change: Any) -> None:
        action = records.ACTIONS.get(str(change.get("action"))) if isinstance(change, dict) else None
        if action is None or not isinstance(change, dict):
            return
        step = self._stream()
        address = records.address_of(change)
        step.tally[action] += 1
        if action != "move" and isinstance(change.get("previous_resource"), dict):
            step.tally["move"] += 1
        step.mark += hash((address.encode("utf-8", "replace"), action)) & 0xFFFFFFFF
        self._log.ran = True
        self._describe(step, address, action)

    def _outputs(self, outputs: Any) -> None:
        names = records.changed_outputs(outputs)
        last = self._last
        if last is not None and last.is_stream and last.applied is not None and isinstance(outputs, dict):
            last.written_outputs = len(outputs)
        if names and last is not None and last.is_stream and last.applied is None:
            last.outputs = len(names)
            last.mark += sum(hash((name.encode("utf-8", "replace"), "output")) & 0xFFFFFFFF for name in names)

    def _diagnostic(self, diagnostic: Any) -> None:
        if isinstance(diagnostic, dict) and diagnostic.get("severity") == "warning":
            self._log.warn(str(diagnostic.get("summary", ""))[:300].encode("utf-8", "replace"))

    def _document(self, record: dict[str, Any]) -> None:
        """Take the document for the plan that was printed before it, or else for a plan of its own."""
        document = records.read_document(record)
        self._log.ran = True
        names = ("add", "change", "destroy")
        without = [
            step
            for step in self._log.steps
            if step.unit == self.name and step.document is None and step.planned is not None and step.applied is None
        ]
        same = [step for step in without if all((step.planned or {}).get(n, 0) == document.counts[n] for n in names)]
        printed = [step for step in without if step.tally or step.outputs]
        step = (same or printed or [self._step()])[-1]
        step.document = document.counts
        if not step.blocks:
            for resource in document.resources:
                self._describe(step, resource.address, resource.action, resource.attributes)

    def _of_printed(self, printed: PrintedDocument, text: bytes) -> bool:
        """Return whether a line belongs to the printed document, which is read at its end or given up."""
        belongs = printed.takes(text)
        if belongs and not printed.is_ended_by(text):
            return True
        self._printed = None
        content = printed.content() if belongs and not printed.is_too_long else None
        if content is not None and records.is_document(content):
            self._document(content)
        elif printed.is_plan:
            self._log.ran = True
            self._log.is_incomplete = self._log.is_incomplete or printed.is_too_long
        return belongs

    def _describe(self, step: Step, address: str, action: str, attributes: tuple[str, ...] = ()) -> None:
        """Keep what JSON says of a resource in the words of the text form."""
        block = self._log.room.open(address.encode("utf-8", "replace"), action)
        if block is None:
            return
        step.blocks.append(block)
        lines = [f"  # {address} {_WORDS.get(action, action)}"]
        lines += [f"      ~ {name}" for name in attributes if action in {"update", "replace"}]
        for line in lines:
            self._log.room.add(block, line.replace("\n", " ").encode("utf-8", "replace"))


_CERTAIN: Final = frozenset({"add", "change", "destroy", "bring_in"})
"""Counts of an apply's summary that are also right where they are zero."""

_WORDS: Final = {
    "create": "will be created",
    "read": "will be read during apply",
    "update": "will be updated in-place",
    "replace": "must be replaced",
    "delete": "will be destroyed",
    "forget": "will no longer be managed",
    "move": "has moved here",
    "bring_in": "will be imported",
}

_SENTENCES: Final[tuple[tuple[re.Pattern[bytes], Callable[[Unit, re.Match[bytes]], None]], ...]] = (
    (sentences.DONE, Unit._resource_done),
    (sentences.PLAN, Unit._plan_summary),
    (sentences.APPLIED, Unit._apply_summary),
    (sentences.DESTROYED, Unit._apply_summary),
    (sentences.NOTHING, Unit._nothing),
    (sentences.DEFERRED_ONLY, Unit._deferred_only),
    (sentences.OUTPUT_CHANGES, Unit._begin_outputs),
    (sentences.OUTPUTS_ONLY, Unit._outputs_only),
    (sentences.ENDED, Unit._end_of_plan),
    (sentences.REFRESH_ONLY, Unit._refresh_only),
    (sentences.WARNING, Unit._warning),
    (sentences.RAN, Unit._ran),
    (sentences.HEREDOC, Unit._begin_heredoc),
)

_RECORDS: Final[dict[str, tuple[str, Callable[[Unit, Any], None]]]] = {
    "change_summary": ("changes", Unit._summary),
    "planned_change": ("change", Unit._planned_change),
    "resource_drift": ("change", Unit._drift),
    "planned_action_invocation": ("invocation", Unit._invocation),
    "outputs": ("outputs", Unit._outputs),
    "apply_complete": ("hook", Unit._hook),
    "diagnostic": ("diagnostic", Unit._diagnostic),
}
"""The records that are read, each with the field that holds what it says."""
