"""Masks secret values in everything that is emitted, in whatever encoding and in whatever chunks it comes.

Output is decoded, not compared with a list of spellings. `filter.py` finds the few places of a stream at which a secret
may stand, at the speed of a pipe; `search.py` decodes these places (`decoding.py`, `dump_rows.py`) and compares;
`stream.py` masks what was found. `secret_values.py` says which texts are secret.
"""

from iac_ci_common.redaction.secret_values import MINIMUM_CHARS
from iac_ci_common.redaction.stream import MASK, Redactor

__all__ = ["MASK", "MINIMUM_CHARS", "Redactor"]
