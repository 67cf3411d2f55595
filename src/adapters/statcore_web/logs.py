"""Logs: a request id and a trace for the lines of a request, as text or as one JSON object in a line.

The trace is that of the header `traceparent`; only where OpenTelemetry's API is installed do lines have one.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from statcore_connection.tracing import taking_over_trace, trace_id

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_request_id: Final[ContextVar[str | None]] = ContextVar("statcore_request_id", default=None)
_FIELDS: Final = ("duration_s", "token")
"""The names of extra values of a record that lines show."""


@contextmanager
def request_context(headers: Mapping[str, str]) -> Generator[str]:
    """Within the block, log lines have the id and the trace of a request; yields the id.

    The id is that of the header `X-Request-Id`, unless it is long or has characters that could forge a log line.
    """
    given = headers.get("X-Request-Id", "")
    request_id = given if _SANE_ID.fullmatch(given) else secrets.token_hex(16)
    id_token = _request_id.set(request_id)
    try:
        with taking_over_trace(headers):
            yield request_id
    finally:
        _request_id.reset(id_token)


def log_handler(stream: TextIO, *, format: Literal["json", "text"] = "text") -> logging.Handler:  # noqa: A002
    """Return a handler that writes each record in one line, with the id and the trace of its request.

    While a line cannot be written, because the disk is full or nobody reads the pipe, nothing else happens.

    Args:
        stream: where to.
        format: `json` for an object in a line, or `text`.
    """
    handler = _Lines(stream)
    handler.setFormatter(_JsonLines() if format == "json" else _TextLines())
    return handler


def _values(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a line shows of a record beside its time, level and message."""
    values: dict[str, Any] = {"request_id": _request_id.get(), "trace_id": trace_id()}
    values |= {name: getattr(record, name, None) for name in _FIELDS}
    return {name: value for name, value in values.items() if value is not None}


class _Lines(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)  # a fault of the code that logs; it is printed with a traceback


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_values(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        # A message may quote what a client sent, which must not begin a line of its own.
        message = record.getMessage().replace("\n", "\\n").replace("\r", "\\r")
        values = "".join(f" {name}={value}" for name, value in _values(record).items())
        trace_ = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{time} {record.levelname} {record.name}: {message}{values}{trace_}"
