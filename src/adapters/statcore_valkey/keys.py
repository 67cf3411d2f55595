"""Names of the keys in the store, and for how long each kind is kept."""

from __future__ import annotations

import math
from typing import Final

from statcore.model.validation import require_seconds

DAY_S: Final = 86_400
"""Kernels, sessions and container counts."""
INFERENCE_S: Final = 120
"""Endpoints and replicas."""
_AGENT_INTERVALS: Final = 4


def endpoint_key(endpoint_id: str) -> str:
    """Return where an inference endpoint's metrics are."""
    return f"inference.{endpoint_id}.app"


def replica_key(pair: tuple[str, str]) -> str:
    """Return where the metrics of an (endpoint id, replica id) pair are."""
    endpoint_id, replica_id = pair
    return f"inference.{endpoint_id}.replica.{replica_id}"


def container_count_key(agent_id: str) -> str:
    """Return where the number of an agent's kernels is."""
    return f"container_count.{agent_id}"


def activity_keys(session_id: str) -> tuple[str, str]:
    """Return where a session's request count and last response time are, in the live database."""
    return f"session.{session_id}.requests", f"session.{session_id}.last_response_time"


def agent_ttl_s(interval_s: float) -> int:
    """Return for how many seconds an agent's metrics are kept: four collection intervals, never below one second.

    Raises:
        InputError: the interval is not a number of seconds above zero.
    """
    require_seconds(interval_s, name="interval_s")
    return math.ceil(_AGENT_INTERVALS * interval_s)
