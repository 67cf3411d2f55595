"""Which labels every server can group by."""

from __future__ import annotations

from typing import Final

NEVER_GROUPED: Final = frozenset(["inf", "nan", "without"])
"""Words, in any case, that no server takes bare for a label to group by; only newer ones take them quoted."""
