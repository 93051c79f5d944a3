"""What a box of the diagram holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docs.architecture_diagram.prices import Prices
    from docs.architecture_diagram.stack import Right


@dataclass(frozen=True, slots=True)
class Box:
    """A box of the diagram. Texts may hold `code`.

    ``name`` is unique. ``kind`` chooses the colour, ``icon`` the symbol. The closed box shows ``brief``, the open one
    ``role``, ``rows``, ``rights`` and ``sources`` (paths in the checkout). ``targets`` names the boxes it sends to.
    """

    name: str
    title: str
    kind: str
    icon: str
    brief: str
    role: str
    rows: tuple[tuple[str, str], ...] = ()
    rights: tuple[Right, ...] = ()
    sources: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


def cost(text: str, prices: Prices, *names: str) -> tuple[str, str]:
    """Return the row that shows a cost with the pages that list the named prices."""
    return ("Cost", f"{text} ({prices.pages(*names)}; {prices.region})")
