"""Writes the diagram as Markdown with Mermaid, in the same five parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from docs.architecture_diagram.box import Box
    from docs.architecture_diagram.parts import Diagram, Flow, Map, Sequence

_COLOURS: Final = {
    "external": "fill:#334155,stroke:#94a3b8,color:#f1f5f9",
    "ingress": "fill:#1e3a5f,stroke:#3b82f6,color:#e2e8f0",
    "storage": "fill:#003d2b,stroke:#10b981,color:#e2e8f0",
    "orchestration": "fill:#3d1f00,stroke:#f97316,color:#e2e8f0",
    "execution": "fill:#2d1052,stroke:#a855f7,color:#e2e8f0",
    "foundation": "fill:#0a3544,stroke:#06b6d4,color:#e2e8f0",
    "pipeline": "fill:#4a0d2e,stroke:#ec4899,color:#fce7f3",
}
"""Dark boxes with light text: they are readable on a light page and on a dark one."""

_GROUPS: Final = {
    "ingress": "Ingress",
    "storage": "Storage",
    "orchestration": "Orchestration",
    "execution": "Execution",
    "foundation": "Infrastructure",
}


def markdown(diagram: Diagram) -> str:
    """Return the page."""
    facts = "\n".join(f"- **{figure}** {meaning}" for figure, meaning, _ in diagram.facts)
    rows = "\n".join(
        f"| ◆{number} | {one.before} | {one.now} | {one.reason} |" for number, one in enumerate(diagram.departures, 1)
    )
    return f"""<!-- Written by `python -m docs.architecture_diagram`; do not edit. -->

# Architecture diagram

The system as it is. [architecture-diagram.html](architecture-diagram.html) is the same diagram as an interactive page:
open it in a browser. Its boxes open to role, limits, retention, cost, rights and source. It is one file, and it loads
nothing.

All numbers come from [terraform/deploy](../terraform/deploy/stack/README.md),
[bench/prices.json](../bench/prices.json) and the code. A diamond marks a
[departure](#departures-from-the-first-picture) from the first picture of the system.

## {diagram.overview.title}

{diagram.overview.introduction}

{_flow(diagram, diagram.overview)}

{facts}

## {diagram.init.title}

{diagram.init.introduction}

{_sequence(diagram, diagram.init)}

## {diagram.orchestration.title}

{diagram.orchestration.introduction}

{_sequence(diagram, diagram.orchestration)}

## {diagram.resources.title}

{_map(diagram, diagram.resources)}

## {diagram.pipeline.title}

{diagram.pipeline.introduction}

{_flow(diagram, diagram.pipeline)}

## Departures from the first picture

| | first picture | now | reason |
|---|---|---|---|
{rows}

## Draw it again

`uv run --no-sync python -m docs.architecture_diagram` writes both pages after a change of the files that they are drawn
from. With `--check` it reports a page that is out of date:

```console
$ uv run --no-sync python -m docs.architecture_diagram --check
```
"""


def _flow(diagram: Diagram, part: Flow) -> str:
    lines = ["flowchart LR"]
    numbered = part.name == "pipeline"
    lines += [f"    {_node(diagram, box, f'{index}. ' if numbered else '')}" for index, box in enumerate(part.boxes, 1)]
    for (start, end), label in zip(zip(part.boxes, part.boxes[1:], strict=False), part.arrows, strict=True):
        arrow = f' -- "{_plain(label)}" --> ' if label else " --> "
        lines.append(f"    {_id(start)}{arrow}{_id(end)}")
    return _block(lines, [box.kind for box in part.boxes])


def _sequence(diagram: Diagram, part: Sequence) -> str:
    lines = ["sequenceDiagram", "    autonumber"]
    lines += [f"    participant {_id(lane)} as {_plain(lane.title)}" for lane in part.lanes]
    ids = {lane.name: _id(lane) for lane in part.lanes}
    first, last = _id(part.lanes[0]), _id(part.lanes[-1])
    for message in part.messages:
        if message.phase:
            lines.append(f"    Note over {first},{last}: {_plain(message.phase)}")
        text = _plain(message.text) + "".join(f" ◆{diagram.number(one)}" for one in message.departures)
        note = f"<br>{_plain(message.note)}" if message.note else ""
        lines.append(f"    {ids[message.start]}{'-->>' if message.dashed else '->>'}{ids[message.end]}: {text}{note}")
    return _block(lines, [])


def _map(diagram: Diagram, part: Map) -> str:
    lines = ["flowchart TB"]
    boxes = [box for _, group in part.groups for box in group]
    for kind, group in part.groups:
        lines.append(f"    subgraph {_GROUPS[kind]}")
        lines += [f"        {_node(diagram, box)}" for box in group]
        lines.append("    end")
    known = {box.name: _id(box) for box in boxes}
    lines += [
        f"    {known[box.name]} --> {known[target]}" for box in boxes for target in box.targets if target in known
    ]
    return _block(lines, [box.kind for box in boxes])


def _block(lines: list[str], kinds: list[str]) -> str:
    classes = [f"    classDef {kind} {_COLOURS[kind]}" for kind in dict.fromkeys(kinds)]
    return "\n".join(["```mermaid", *lines, *classes, "```"])


def _node(diagram: Diagram, box: Box, before: str = "") -> str:
    marks = "".join(f" ◆{number}" for number in sorted(map(diagram.number, box.departures)))
    return f'{_id(box)}["{before}{_plain(box.title)}{marks}<br><i>{_plain(box.brief)}</i>"]:::{box.kind}'


def _id(box: Box) -> str:
    return "box_" + box.name.replace("-", "_")


def _plain(text: str) -> str:
    """Return text that Mermaid shows as it is: it reads ``;`` as an end, ``<…>`` as HTML and ``#`` as an entity."""
    for old, new in (("`", ""), ("<", "{"), (">", "}"), (";", ","), ("#", ""), ('"', "'"), ("\u00a0", " ")):
        text = text.replace(old, new)
    return text
