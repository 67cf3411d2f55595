"""Traces over HTTP, by OpenTelemetry's API: taken over from the headers of a request, and passed on to servers.

Where the API is not installed, nothing is taken over and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any


@cache
def _opentelemetry() -> Any | None:  # noqa: ANN401 - its modules
    try:
        from opentelemetry import context, propagate, trace  # noqa: PLC0415 - few hosts have it
    except ImportError:
        return None
    return SimpleNamespace(context=context, propagate=propagate, trace=trace)


@contextmanager
def taking_over_trace(headers: Mapping[str, str]) -> Generator[None]:
    """Within the block, what is called belongs to the trace that the header `traceparent` names."""
    otel = _opentelemetry()
    if otel is None:
        yield
        return
    token = otel.context.attach(otel.propagate.extract(headers))
    try:
        yield
    finally:
        otel.context.detach(token)


def trace_headers() -> dict[str, str]:
    """Return the headers that pass the current trace on to a server; none without a trace."""
    headers: dict[str, str] = {}
    if (otel := _opentelemetry()) is not None:
        otel.propagate.inject(headers)
    return headers


def trace_id() -> str | None:
    """Return the id of the current trace, 32 hexadecimal digits; None without one."""
    otel = _opentelemetry()
    if otel is None or not (span := otel.trace.get_current_span().get_span_context()).is_valid:
        return None
    return str(otel.trace.format_trace_id(span.trace_id))
