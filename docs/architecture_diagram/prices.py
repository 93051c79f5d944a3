"""Reads the price list and makes the costs that the boxes show."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bench.bill import TRANSITIONS_OF_A_WATCHDOG

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "bench/prices.json"
MEASURED: Final = "docs/performance.md"


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices, each with its page and date, and the measured cost of a run of a thousand orders, in dollars."""

    entries: dict[str, Any]
    region: str
    thousand_orders: float

    def one(self, name: str) -> float:
        """Return the price of one unit."""
        entry = self.entries[name]
        return float(entry["price"]) / float(entry["per"])

    def shown(self, name: str, unit: str) -> str:
        """Return a price as it is listed, such as ``$0.20 per 1,000,000 requests``."""
        entry = self.entries[name]
        amount = unit if entry["per"] == 1 else f"{entry['per']:,} {unit}s"
        return f"{dollars(entry['price'])} per {amount}"

    def pages(self, *names: str) -> str:
        """Return the pages that list these prices, with their dates."""
        seen = dict.fromkeys(f"{self.entries[name]['source']}, {self.entries[name]['date']}" for name in names)
        return "; ".join(seen)

    @property
    def watchdog_minute(self) -> float:
        """Cost of each further minute of a watchdog: three transitions."""
        return 3 * self.one("step_functions_transition")

    @property
    def watchdog(self) -> float:
        """Cost of a watchdog that ends within its first minute."""
        return TRANSITIONS_OF_A_WATCHDOG * self.one("step_functions_transition")


def read(root: Path) -> Prices:
    """Read the price list and the measurement of the checkout at ``root``; raise ``ValueError`` if one is missing."""
    document = json.loads((root / FILE).read_text("utf-8"))
    row = re.search(r"^\| `wide-1000` \|.*\| ([\d.]+) \|$", (root / MEASURED).read_text("utf-8"), re.MULTILINE)
    if row is None:
        raise ValueError(f"{MEASURED} has no row of `wide-1000` that ends with dollars")
    return Prices(document["prices"] | document["other_prices"], document["region"], float(row[1]))


def dollars(amount: float) -> str:
    """Return an amount with two significant digits at least, and cents where it has them: ``$0.0000083``, ``$1.00``."""
    if amount >= 0.01:
        return f"${amount:,.2f}" if round(amount, 2) == round(amount, 4) else f"${amount:.4f}".rstrip("0")
    digits = 1 - int(f"{amount:e}".split("e")[1])
    return f"${amount:.{digits}f}".rstrip("0")
