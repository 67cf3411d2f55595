"""Any stored value as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, cast

from statcore.errors import MalformedEntryError
from statcore.model.response import format_sample_value

MAX_LEVELS: Final = 64
"""How deeply a value may be nested: far beyond the wire format, and within what every JSON encoder takes."""

_PLAIN: Final = frozenset([str, int, bool, type(None)])


def json_value(value: object, *, levels: int = MAX_LEVELS) -> object:
    """Return a value as JSON can hold it: text keys, lists, and text for `NaN`, `+Inf` and bytes (in hexadecimal).

    Raises:
        MalformedEntryError: the value is nested more deeply than `levels`.
    """
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else format_sample_value(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if not isinstance(value, (Mapping, Sequence)):
        return str(value)
    if not levels:
        raise MalformedEntryError(f"nested more than {MAX_LEVELS} levels deep", key="")
    if isinstance(value, Mapping):
        # Asked here, and not by a call for each: nearly all that is stored is text.
        return {
            name if type(name) is str else str(json_value(name, levels=0)): (
                part if type(part) in _PLAIN else json_value(part, levels=levels - 1)
            )
            for name, part in cast("Mapping[object, object]", value).items()
        }
    return [json_value(part, levels=levels - 1) for part in cast("Sequence[object]", value)]
