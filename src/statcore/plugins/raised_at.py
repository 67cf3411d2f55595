"""Which line of other people's code an error came by."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from traceback import walk_tb
from typing import Final

import attr
import pluggy

import statcore

_STDLIB: Final = Path(importlib.__file__).parent.parent
_NOT_THEIRS: Final = tuple(
    f"{folder}{os.sep}"
    for folder in (
        *(Path(str(module.__file__)).parent for module in (statcore, pluggy, attr, importlib)),
        _STDLIB / "asyncio",
    )
)


def raised_at(error: BaseException) -> str:
    """Return the last line of other people's code that an error came by, the plugin's or its library's.

    Returns:
        `; at FILE:LINE`, or an empty text where the error passed through none.
    """
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    others = [(file, line) for file, line in frames if not file.startswith(("<", *_NOT_THEIRS))]
    return f"; at {others[-1][0]}:{others[-1][1]}" if others else ""
