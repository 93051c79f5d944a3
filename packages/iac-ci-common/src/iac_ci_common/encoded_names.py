"""Names of sources, jobs and people, encoded for places that allow few characters: pure.

Letters, digits, ``.``, ``-`` and the characters that the place allows besides stay as they are. Every other byte of the
text's UTF-8 becomes ``_`` and two capital hexadecimal digits, so that ``my_repo`` is ``my_5Frepo``. A text whose code
is too long, or shorter than the place allows, is cut and gets ``__`` and 24 hexadecimal digits of its SHA-256. ``__``
occurs in no other code, so that two texts never have the same code.
"""

from __future__ import annotations

import hashlib
import string
from typing import Final

_PLAIN: Final = frozenset(string.ascii_letters + string.digits + ".-")
_HASH_DIGITS: Final = 24


def encode(text: str, *, keep: str = "", shortest: int = 1, longest: int) -> str:
    """Return the code of ``text``, of ``shortest`` to ``longest`` characters; ``keep`` are characters that stay.

    ``keep`` must not contain ``_``, and ``longest`` is at least 32.
    """
    plain = _PLAIN.union(keep)
    # A lone surrogate has no UTF-8; it gets the three bytes that it would have.
    code = "".join(
        letter if letter in plain else "".join(f"_{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))
        for letter in text
    )
    if shortest <= len(code) <= longest:
        return code
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{code[: longest - _HASH_DIGITS - 2]}__{digest}"
