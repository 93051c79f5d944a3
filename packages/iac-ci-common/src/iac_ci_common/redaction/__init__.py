"""Masks secret values in output, in any encoding and in any chunks.

Output is decoded, not compared with a list of spellings. `filter.py` finds the few places of a stream that may contain
a secret, at the speed of a pipe; `search.py` decodes these places (`decoding.py`, `dump_rows.py`) and compares;
`stream.py` masks the secrets. `secret_values.py` decides which texts are secret.
"""

from iac_ci_common.redaction.search import REACH
from iac_ci_common.redaction.stream import MASK, Redactor

__all__ = ["MASK", "REACH", "Redactor"]
