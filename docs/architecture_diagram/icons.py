"""The symbols of the boxes: outlines on a grid of 24, drawn for this page."""

from __future__ import annotations

from typing import Final

ICONS: Final = {
    "people": '<circle cx="9" cy="8" r="3.5"/>'
    '<path d="M2.5 20c0-4 2.9-6.5 6.5-6.5s6.5 2.5 6.5 6.5M16 5a3.2 3.2 0 0 1 0 6.2M18 14c2.2.8 3.5 2.9 3.5 6"/>',
    "comment": '<path d="M4 5h16v11h-8l-5 4v-4H4zM8 9h8M8 12.500h5"/>',
    "cloud": '<path d="M7 18.500a4.5 4.5 0 0 1-.4-9A6 6 0 0 1 18 9.2a4.7 4.7 0 0 1-.7 9.3z"/>',
    "gateway": '<path d="M9 4 3 12l6 8M15 4l6 8-6 8M9 12h6"/>',
    "function": '<path d="M5 4h4l7 16h3M11 10.5 5 20"/>',
    "bucket": '<ellipse cx="12" cy="6" rx="7.5" ry="2.5"/><path d="m4.5 6 2 13c1 1.2 10 1.2 11 0l2-13"/>',
    "table": '<path d="M4 5h16v14H4zM4 10h16M4 14.500h16M10 5v14"/>',
    "machine": '<circle cx="12" cy="13" r="7.5"/><path d="M12 9v4l2.5 2M9.5 2.500h5"/>',
    "build": '<path d="m4 8 8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8"/>',
    "queue": '<path d="M3.5 7h4v10h-4zM10 7h4v10h-4zM16.5 7h4v10h-4z"/>',
    "image": '<path d="m12 3.5 8.5 4.500L12 12.5 3.5 8zM3.5 12l8.5 4.5 8.5-4.500M3.5 16l8.5 4.5 8.5-4.5"/>',
    "shield": '<path d="M12 3 5 6v5.500c0 4.5 3 7.7 7 9.5 4-1.8 7-5 7-9.500V6zM9 12l2.2 2.2L15.2 10"/>',
    "key": '<circle cx="8" cy="14.5" r="4.5"/><path d="M11.5 11.5 20 3.500M16 7l3 3"/>',
    "document": '<path d="M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6"/>',
    "bell": '<path d="M6 16.500c1.2-1.3 1.5-3 1.5-6a4.5 4.5 0 0 1 9 0c0 3 .3 4.7 1.5 6zM10 19.500a2.2 2.2 0 0 0 4 0"/>',
    "log": '<path d="M4 6h16M4 10h11M4 14h16M4 18h8"/>',
    "check": '<circle cx="12" cy="12" r="8.5"/><path d="m8 12.5 2.8 2.700L16 9.5"/>',
    "archive": '<path d="M3.5 4.500h17v4h-17zM5 8.500v11h14v-11M9.5 12.500h5"/>',
    "trash": '<path d="M4.5 7h15M9 7V4h6v3M6.5 7l1 13h9l1-13M10 11v5.500M14 11v5.5"/>',
}
"""Shapes by name, without fill or colour: ``page.css`` gives both."""
