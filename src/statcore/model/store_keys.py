"""Wire format of the statistics store: its keys, times to live, and the entries that are made of several values.

Every store that agents and managers share has this format, and so has the memory store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from statcore.errors import InputError
from statcore.model.statistics import Entry, MetricValue, Problem, ProblemKind
from statcore.model.validation import require_seconds

KERNEL_TTL_S: Final = 86_400
"""How long the statistics of kernels and sessions and the container counts of agents are kept, in seconds."""
INFERENCE_TTL_S: Final = 120
"""How long the statistics of endpoints and replicas are kept, in seconds."""
NO_ACTIVITY: Final[Mapping[str, int]] = {"requests": 0, "last_response_ms": 0}
"""The entry of a session whose activity is not known."""
_AGENT_INTERVALS: Final = 4
_SHORTEST_TTL_S: Final = 1.0


def agent_ttl_s(interval_s: float) -> float:
    """Return how long the statistics of an agent are kept: four collection intervals, and at least one second.

    A store that counts whole seconds rounds up.

    Raises:
        InputError: the interval is not a number of seconds above zero.
    """
    require_seconds(interval_s, name="interval_s")
    return max(_AGENT_INTERVALS * interval_s, _SHORTEST_TTL_S)


def endpoint_key(endpoint_id: str) -> str:
    """Return the key of an inference endpoint's statistics."""
    return f"inference.{endpoint_id}.app"


def replica_key(pair: tuple[str, str]) -> str:
    """Return the key of the statistics of an (endpoint id, replica id) pair."""
    endpoint_id, replica_id = pair
    return f"inference.{endpoint_id}.replica.{replica_id}"


def container_count_key(agent_id: str) -> str:
    """Return the key of the number of an agent's kernels."""
    return f"container_count.{agent_id}"


def activity_keys(session_id: str) -> tuple[str, str]:
    """Return the keys of a session's request count and last response time; both are in the live database."""
    return f"session.{session_id}.requests", f"session.{session_id}.last_response_time"


def activity_entry(keys: tuple[str, str], counts: Sequence[int | None]) -> tuple[Entry, Problem | None]:
    """Return the entry of a session's activity, and a problem where it is not complete.

    Args:
        keys: as `activity_keys` returns them.
        counts: the number under each key, None where there is none.

    Returns:
        `{"requests": int, "last_response_ms": int}` and None; or zeros in both and the problem *incomplete*, also if
        only one number is missing.
    """
    missing = [key for key, count in zip(keys, counts, strict=True) if count is None]
    if missing:
        message = f"no number at {' and '.join(missing)}"
        return dict(NO_ACTIVITY), Problem(ProblemKind.INCOMPLETE, message=message, key=missing[0])
    return dict(zip(NO_ACTIVITY, counts, strict=True)), None


def metrics_entry(metrics: Mapping[str, MetricValue]) -> dict[str, dict[str, Any]]:
    """Return the entry of a kernel or session: `{metric: MetricValue map}`.

    Raises:
        InputError: `metrics` is not a map of names to `MetricValue`.
    """
    try:
        return {metric: value.to_map() for metric, value in metrics.items()}
    except (AttributeError, TypeError) as error:
        raise InputError(f"metrics must be a map of names to MetricValue: {error}") from error


def agent_entry(*, node: Mapping[str, MetricValue], devices: Mapping[str, Mapping[str, MetricValue]]) -> dict[str, Any]:
    """Return the entry of an agent: `{"node": {metric: map}, "devices": {metric: {device id: map}}}`.

    Raises:
        InputError: `node`, or the devices of a metric, are not a map of names to `MetricValue`.
    """
    return {
        "node": metrics_entry(node),
        "devices": {metric: metrics_entry(by_device) for metric, by_device in devices.items()},
    }
