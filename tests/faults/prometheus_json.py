"""Answers as the API of Prometheus words them."""

from __future__ import annotations

import json

from statcore.model import QueryTimeRange

RANGE = QueryTimeRange(start=1_795_341_600, end=1_795_341_660, step="60s")


def vector(*values: str, **members: object) -> str:
    """Return the answer to an instant query."""
    result = [{"metric": {"n": str(n)}, "value": [1_795_341_600, value]} for n, value in enumerate(values)]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **members})


def refusal(kind: str, text: str) -> str:
    """Return an error as Prometheus words it."""
    return json.dumps({"status": "error", "errorType": kind, "error": text})
