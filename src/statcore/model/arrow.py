"""Tables as Arrow: the PyCapsule interface over nanoarrow, which the extra `arrow` installs, and data frames made with it.

The interface is a method of the values themselves, so it is in the core. The libraries are imported when it is called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Final, TypeAlias

import attrs

from statcore.imports import requires_extra

_EXTRA: Final = "arrow"


@attrs.frozen
class TextColumn:
    """A column of text, as pairs of a text and of how many rows in succession have it; None is null.

    A lone surrogate, which JSON can hold and UTF-8 cannot, is written as an escape.
    """

    runs: Iterable[tuple[str | None, int]]


@attrs.frozen
class TimeColumn:
    """A column of times in UTC, in milliseconds since 1970."""

    times_ms: array[int]


@attrs.frozen
class NumberColumn:
    """A column of floats."""

    numbers: array[float]


ArrowColumn: TypeAlias = TextColumn | TimeColumn | NumberColumn


class ArrowTable(ABC):
    """A value that can be read as a table: by every library that reads Arrow streams, and as a data frame."""

    __slots__ = ()

    @abstractmethod
    def arrow_columns(self) -> Mapping[str, ArrowColumn]:
        """Return the columns by name, all of the same length."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the table as a capsule with an Arrow stream of one batch, as pyarrow, polars and DuckDB read it.

        Args:
            requested_schema: a capsule with a schema, which is ignored; the consumer casts to other types itself.

        Raises:
            MissingExtraError: nanoarrow is not installed.
        """
        del requested_schema
        with requires_extra(_EXTRA):
            nanoarrow: Any = import_module("nanoarrow")
            streams: Any = import_module("nanoarrow.c_array_stream")
        columns = {name: _array(nanoarrow, column) for name, column in self.arrow_columns().items()}
        schema = nanoarrow.c_schema(nanoarrow.struct({name: column.schema for name, column in columns.items()}))
        length = next((len(column) for column in columns.values()), 0)
        batch = nanoarrow.c_array_from_buffers(schema, length, [None], children=columns.values())
        capsule: object = streams.CArrayStream.from_c_arrays([batch], schema).__arrow_c_stream__()
        return capsule

    def to_pandas(self) -> Any:  # noqa: ANN401 - pandas need not be installed, not even for a type checker
        """Return the table as a `pandas.DataFrame`.

        Raises:
            MissingExtraError: nanoarrow, pandas or pyarrow is not installed.
        """
        with requires_extra(_EXTRA, requirement="pandas"):
            import_module("pandas")
        with requires_extra(_EXTRA, requirement="pyarrow"):
            pyarrow: Any = import_module("pyarrow")
        return pyarrow.table(self).to_pandas()

    def to_polars(self) -> Any:  # noqa: ANN401 - polars need not be installed, not even for a type checker
        """Return the table as a `polars.DataFrame`.

        Raises:
            MissingExtraError: nanoarrow or polars is not installed.
        """
        with requires_extra(_EXTRA, requirement="polars"):
            polars: Any = import_module("polars")
        return polars.DataFrame(self)


def _array(nanoarrow: Any, column: ArrowColumn) -> Any:  # noqa: ANN401 - nanoarrow is not imported here
    match column:
        case TextColumn():
            buffers, length = _text_buffers(column.runs)
            return nanoarrow.c_array_from_buffers(nanoarrow.large_string(), length, buffers)
        case TimeColumn(times_ms=times):
            return nanoarrow.c_array_from_buffers(nanoarrow.timestamp("ms", timezone="UTC"), len(times), [None, times])
        case NumberColumn(numbers=numbers):
            return nanoarrow.c_array_from_buffers(nanoarrow.float64(), len(numbers), [None, numbers])


def _text_buffers(runs: Iterable[tuple[str | None, int]]) -> tuple[list[bytes | bytearray | array[int] | None], int]:
    """Return the buffers of a column of text (validity, where each text ends, all texts), and the number of rows."""
    texts = bytearray()
    ends = array("q", [0])
    valid = bytearray()
    for text, count in runs:
        encoded = b"" if text is None else text.encode(errors="backslashreplace")
        start, step = len(texts), len(encoded)
        ends.extend(range(start + step, start + step * count + 1, step) if step else [start] * count)
        texts += encoded * count
        valid += (b"0" if text is None else b"1") * count
    return [_bits(valid), ends, texts], len(valid)


def _bits(valid: bytearray) -> bytes | None:
    """Return a bitmap, the first row in the lowest bit, of a digit for each row; None if each digit is 1."""
    if b"0" not in valid:
        return None
    return int(valid[::-1], 2).to_bytes((len(valid) + 7) // 8, "little")
