"""Ports of metric backends that evaluate PromQL."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, runtime_checkable

from statcore.errors import UnsupportedError
from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange
from statcore.ports.capabilities import as_port


@runtime_checkable
class PromQLPort(Protocol):
    """A backend that evaluates PromQL. Errors are those of `MetricQuerierPort`.

    A backend that evaluates only a part of the language raises `UnsupportedError`, which names the part that it lacks.
    """

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate at `time` (aware), by default the backend's now; a scalar is one sample without labels."""
        ...

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate at every point of the range; `InputError` if the backend allows fewer points.

        A backend may evaluate a long range in parts if every value is the same as over the whole range. It raises
        `UnsupportedError` for a query with which that is not possible.
        """
        ...


@runtime_checkable
class PromQLTextPort(Protocol):
    """A `PromQLPort` that changes a text before it is evaluated. A backend need not implement it."""

    def promql_text(self, promql: str, /) -> str:
        """Return the PromQL that is evaluated for a text.

        Raises:
            UnsupportedError: the backend refuses the text.
        """
        ...


def promql_text_of(backend: object, promql: str) -> str:
    """Return the PromQL that a backend evaluates for a text: the text itself if it is not a `PromQLTextPort`.

    Raises:
        UnsupportedError: the backend refuses the text.
    """
    writer = as_port(backend, PromQLTextPort)
    return promql if writer is None else writer.promql_text(promql)


def as_promql(backend: object, *, reason: str) -> PromQLPort:
    """Return a backend as one that evaluates PromQL.

    Args:
        backend: a metric backend.
        reason: why it is needed, for the message.

    Raises:
        UnsupportedError: the backend does not evaluate PromQL.
    """
    if (evaluator := as_port(backend, PromQLPort)) is not None:
        return evaluator
    name = backend.__class__.__name__  # type() of a wrapper would be the wrapper
    raise UnsupportedError(f"{reason}, for which the metric backend must evaluate PromQL; {name} does not")
