"""Writes the diagram as one HTML page. Styles and script are inside, and its policy lets it load nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from docs.architecture_diagram.icons import ICONS
from docs.architecture_diagram.parts import KINDS, Diagram, Flow, Map, Message, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docs.architecture_diagram.box import Box
    from docs.architecture_diagram.stack import Right

HERE: Final = Path(__file__).parent
_MARK: Final = "◆"
_UNBROKEN: Final = 14
"""Longest code, in characters, that stays on one line."""


def page(diagram: Diagram) -> str:
    """Return the page."""
    style = (HERE / "page.css").read_text("utf-8") + _lane_rules(diagram)
    script = (HERE / "page.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = (diagram.overview, diagram.init, diagram.orchestration, diagram.resources, diagram.pipeline)
    links = "\n".join(f'<li><a href="#{part.name}">{escape(_short(part.title))}</a></li>' for part in parts)
    return f"""<!DOCTYPE html>
<!-- Written by `python -m docs.architecture_diagram`; do not edit. -->
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>iac-ci architecture diagram</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the diagram</a>
{_sprite()}
<header class="bar">
<p class="brand">iac-ci <span>architecture</span></p>
<nav aria-label="Parts"><ul>
{links}
<li><a href="#departures">Departures</a></li>
</ul></nav>
<button type="button" class="theme" hidden>Dark</button>
</header>
<div class="layout">
<main id="main">
{_flow(diagram, diagram.overview, heading="h1", facts=True)}
{_sequence(diagram, diagram.init)}
{_sequence(diagram, diagram.orchestration)}
{_map(diagram, diagram.resources)}
{_flow(diagram, diagram.pipeline)}
{_departures(diagram)}
</main>
{_legend()}
</div>
<footer><p>Drawn from <a href="../terraform/deploy/stack/README.md">terraform/deploy/stack</a>, <a
href="../bench/prices.json">bench/prices.json</a> and the code. The same diagram in Markdown:
<a href="architecture-diagram.md">architecture-diagram.md</a>. How a run goes, file by file:
<a href="flow.md">flow.md</a>.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def inline(text: str) -> str:
    """Return text as HTML: `code` becomes an element that may break after its separators."""
    pieces = text.split("`")
    return "".join(_code(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces))


def _code(text: str) -> str:
    if len(text) <= _UNBROKEN:
        return f'<code class="short">{escape(text)}</code>'
    return f"<code>{_breakable(text)}</code>"


def _breakable(text: str) -> str:
    """Return a path, key or name that may break after ``/ _ . : @ -`` and within camel case, and nowhere else."""
    spaced = re.sub(r"(?<=[/_.:@*…-])(?=[\w<$*{])|(?<=[a-z])(?=[A-Z])", "\0", text)
    return escape(spaced).replace("\0", "<wbr>")


def _title(text: str) -> str:
    return escape(text).replace("_", "_<wbr>")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _short(title: str) -> str:
    return {"System overview": "Overview", "AWS resources": "Resources", "Deployment pipeline": "Pipeline"}.get(
        title, title.partition(": ")[2].replace("init_job", "Init").capitalize()
    )


def _sprite() -> str:
    symbols = "\n".join(
        f'<symbol id="icon-{name}" viewBox="0 0 24 24">{shape}</symbol>' for name, shape in ICONS.items()
    )
    return f'<svg class="sprite" width="0" height="0" aria-hidden="true" focusable="false">\n{symbols}\n</svg>'


def _section(part: Flow | Sequence | Map, body: str, heading: str = "h2", more: str = "") -> str:
    title = "iac-ci architecture" if heading == "h1" else part.title
    return f"""<section id="{part.name}" class="part" aria-labelledby="{part.name}-title">
<{heading} id="{part.name}-title">{escape(title)}</{heading}>
<p class="introduction">{inline(part.introduction)}</p>
{more}{body}
</section>"""


def _flow(diagram: Diagram, part: Flow, heading: str = "h2", *, facts: bool = False) -> str:
    items = []
    for index, box in enumerate(part.boxes):
        number = index + 1 if part.name == "pipeline" else None
        items.append(f'<li class="step">{_box(diagram, part.name, box, number)}</li>')
        if index < len(part.arrows):
            label = part.arrows[index]
            shown = f"<span>{escape(label)}</span>" if label else ""
            items.append(f'<li class="between" {"" if label else "aria-hidden=true"}>{shown}</li>')
    listing = "\n".join(items)
    return _section(
        part, f'<ol class="flow {part.name}-flow">\n{listing}\n</ol>', heading, _facts(diagram) if facts else ""
    )


def _facts(diagram: Diagram) -> str:
    items = "\n".join(
        f'<li><a href="{_link(source)}"><strong>{escape(figure)}</strong> <span>{escape(meaning)}</span></a></li>'
        for figure, meaning, source in diagram.facts
    )
    hint = "Open a box for its role, limits, retention, cost, rights and source."
    return f'<p class="hint">{hint}</p>\n<ul class="facts">\n{items}\n</ul>\n'


def _sequence(diagram: Diagram, part: Sequence) -> str:
    columns = {lane.name: index for index, lane in enumerate(part.lanes, 1)}
    lanes = "\n".join(f"<li>{_box(diagram, part.name, lane)}</li>" for lane in part.lanes)
    titles = {lane.name: lane.title for lane in part.lanes}
    messages = "\n".join(
        _message(diagram, part, message, number, columns, titles) for number, message in enumerate(part.messages, 1)
    )
    body = f"""<div class="sequence lanes-{len(part.lanes)}">
<ul class="lanes" aria-label="Who takes part">
{lanes}
</ul>
<ol class="messages">
{messages}
</ol>
</div>"""
    return _section(part, body)


def _message(
    diagram: Diagram, part: Sequence, message: Message, number: int, columns: dict[str, int], titles: dict[str, str]
) -> str:
    start, end = columns[message.start], columns[message.end]
    kind = next(lane.kind for lane in part.lanes if lane.name == message.start)
    own = start == end
    classes = [
        "message",
        f"kind-{kind}",
        f"from-{start}-to-{end}",
        "own" if own else "right" if end > start else "left",
    ]
    if message.dashed:
        classes.append("dashed")
    route = titles[message.start] if own else f"{titles[message.start]} → {titles[message.end]}"
    note = f'<span class="note">{inline(message.note)}</span> ' if message.note else ""
    name = message.source.rsplit("/", 1)[-1]
    source = f'<a class="file" href="{_link(message.source)}">{_breakable(name)}</a>'
    marks = "".join(_mark(diagram, one) for one in message.departures)
    phase = f'<li class="phase"><span>{escape(message.phase)}</span></li>\n' if message.phase else ""
    return f"""{phase}<li class="{" ".join(classes)}" id="{part.name}-step-{number}">
<p class="label"><span class="route">{escape(route)}</span>
<span class="what"><b class="number">{number}</b> {inline(message.text)}{marks}</span>
<span class="detail">{note}{source}</span></p>
<span class="line" aria-hidden="true"></span>
</li>"""


def _map(diagram: Diagram, part: Map) -> str:
    groups = "\n".join(
        f"""<div class="group group-{kind}" role="group" aria-labelledby="group-{kind}">
<h3 id="group-{kind}" class="kind-{kind}">{escape(KINDS[kind])}</h3>
<ul>
{_items(diagram, part.name, boxes)}
</ul>
</div>"""
        for kind, boxes in part.groups
    )
    return _section(part, f'<div class="map">\n{groups}\n</div>')


def _items(diagram: Diagram, part: str, boxes: Iterable[Box]) -> str:
    return "\n".join(f"<li>{_box(diagram, part, box)}</li>" for box in boxes)


def _box(diagram: Diagram, part: str, box: Box, number: int | None = None) -> str:
    name = f"{part}-{box.name}"
    mark = (
        f'<span class="mark"><span aria-hidden="true">{_MARK}</span><span class="spoken">, departs from the first '
        "picture</span></span>"
        if box.departures
        else ""
    )
    counted = f'<b class="number">{number}</b> ' if number else ""
    data = f'data-box="{box.name}" data-targets="{" ".join(box.targets)}"'
    return f"""<details class="box kind-{box.kind}" name="box" id="{name}" {data}>
<summary><svg class="icon" aria-hidden="true" focusable="false"><use href="#icon-{box.icon}"/></svg>
<span class="title">{counted}{_title(box.title)}</span>{mark}
<span class="brief">{inline(_lines(box.brief))}</span></summary>
{_panel(diagram, name, box)}
</details>"""


def _lines(brief: str) -> str:
    """Return a brief that breaks after its middle dots, not within a number and its unit."""
    return re.sub(r"(?<=\d) (?=[a-zA-Z])", "\u00a0", brief.replace(" · ", "\u00a0· ")).replace("TTL ", "TTL\u00a0")


def _panel(diagram: Diagram, name: str, box: Box) -> str:
    rows = "\n".join(f"<div><dt>{inline(label)}</dt><dd>{inline(value)}</dd></div>" for label, value in box.rows)
    rights = ""
    if box.rights:
        listed = "\n".join(_right(right) for right in box.rights)
        rights = f'<h4>Rights of its role</h4>\n<ul class="rights">\n{listed}\n</ul>\n'
    differing = "".join(_difference(diagram, one) for one in box.departures)
    sources = "\n".join(f'<li><a href="{_link(source)}">{_breakable(source)}</a></li>' for source in box.sources)
    return f"""<div class="panel" role="region" aria-labelledby="{name}-name">
<button type="button" class="close" hidden>Close<span class="spoken"> {escape(box.title)}</span></button>
<p class="kind">{escape(KINDS[box.kind])}</p>
<h3 id="{name}-name">{_title(box.title)}</h3>
<p>{inline(box.role)}</p>
<dl>
{rows}
</dl>
{differing}{rights}<h4>Source</h4>
<ul class="sources">
{sources}
</ul>
</div>"""


def _right(right: Right) -> str:
    services: dict[str, list[str]] = {}
    for action in right.actions:
        service, _, operation = action.partition(":")
        services.setdefault(service, []).append(operation)
    actions = "; ".join(f"<b>{service}</b> {', '.join(map(_breakable, names))}" for service, names in services.items())
    resources = ", ".join("everything" if one == "*" else _code(one) for one in right.resources)
    conditions = "".join(f", only if {_code(one)}" for one in right.conditions)
    return f"<li>{'' if right.allowed else 'Denied: '}{actions} <span>on {resources}{conditions}</span></li>"


def _difference(diagram: Diagram, name: str) -> str:
    number = diagram.number(name)
    departure = diagram.departures[number - 1]
    return f"""<div class="departure">
<h4><span aria-hidden="true">{_MARK}</span> Departs from the first picture
<a href="#departure-{number}">({number})</a></h4>
<p><b>First picture:</b> {inline(departure.before)}</p>
<p><b>Now:</b> {inline(departure.now)}</p>
<p><b>Reason:</b> {inline(departure.reason)}</p>
</div>
"""


def _mark(diagram: Diagram, name: str) -> str:
    number = diagram.number(name)
    return (
        f' <a class="mark" href="#departure-{number}"><span aria-hidden="true">{_MARK}{number}</span>'
        f'<span class="spoken">departure {number}</span></a>'
    )


def _departures(diagram: Diagram) -> str:
    items = "\n".join(
        f"""<li id="departure-{number}"><span class="mark" aria-hidden="true">{_MARK}{number}</span>
<p class="before"><b>First picture</b> {inline(departure.before)}</p>
<p class="now"><b>Now</b> {inline(departure.now)}</p>
<p class="reason"><b>Reason</b> {inline(departure.reason)}</p></li>"""
        for number, departure in enumerate(diagram.departures, 1)
    )
    return f"""<section id="departures" class="part" aria-labelledby="departures-title">
<h2 id="departures-title">Departures from the first picture</h2>
<p class="introduction">The system was drawn before it was built. A diamond marks where it became something else.</p>
<ol class="departures">
{items}
</ol>
</section>"""


def _legend() -> str:
    kinds = "\n".join(
        f'<li class="kind-{kind}"><span class="dot" aria-hidden="true"></span>{title}</li>'
        for kind, title in KINDS.items()
    )
    return f"""<aside aria-label="Legend">
<div class="legend">
<h2>Open a box</h2>
<p>Each box holds its role, limits, retention, cost, rights and source.</p>
<ul class="keys">
<li><kbd>Tab</kbd> next box</li>
<li class="scripted" hidden><kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> neighbouring box</li>
<li><kbd>Enter</kbd> or <kbd>Space</kbd> open and close</li>
<li class="scripted" hidden><kbd>Esc</kbd> close</li>
</ul>
<h2>Colours</h2>
<ul class="kinds">
{kinds}
</ul>
<p class="explained"><span class="mark" aria-hidden="true">{_MARK}</span> departs from the first picture, with the
reason</p>
</div>
</aside>"""


def _lane_rules(diagram: Diagram) -> str:
    """Return one rule for every pair of lanes in use: the policy of the page forbids style attributes."""
    pairs = set()
    for part in (diagram.init, diagram.orchestration):
        columns = {lane.name: index for index, lane in enumerate(part.lanes, 1)}
        pairs |= {(columns[message.start], columns[message.end]) for message in part.messages}
    counts = sorted({len(diagram.init.lanes), len(diagram.orchestration.lanes)})
    rules = [f".lanes-{count} {{ --lanes: {count}; }}" for count in counts]
    for start, end in sorted(pairs):
        first, last = (start, end) if start != end else (max(1, start - 1), start + 1)
        first, last = sorted((first, last))
        rules.append(f".from-{start}-to-{end} {{ --first: {first}; --after: {last + 1}; --span: {last - first + 1}; }}")
    return "\n".join(rules) + "\n"


def _link(path: str) -> str:
    """Return a path of the checkout as seen from ``docs/``."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"
