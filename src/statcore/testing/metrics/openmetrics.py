"""Samples as OpenMetrics text, with times: what `promtool tsdb create-blocks-from openmetrics` loads."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Final

from statcore.model.numbers import format_sample_value
from statcore.testing.metrics.dataset import PlantedSeries

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def openmetrics_text(series: Iterable[PlantedSeries]) -> str:
    """Write series, of classic metric and label names, as OpenMetrics text of unknown type, with times in seconds."""
    lines: list[str] = []
    for name, group in groupby(sorted(series, key=attrgetter("name")), key=attrgetter("name")):
        lines.append(f"# TYPE {name} unknown")
        for _, labels, samples in group:
            pairs = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels.items())
            lines += [f"{name}{{{pairs}}} {format_sample_value(value)} {time:.3f}" for time, value in samples]
    return "\n".join([*lines, "# EOF", ""])
