"""The settings of the manager, read once from the environment at start-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import attrs

from statcore.errors import InputError

PREFIX: Final = "MANAGER_"
_HIGHEST_PORT: Final = 65_535


@attrs.frozen(kw_only=True)
class ManagerSettings:
    """The settings; the environment variable of each is `MANAGER_` and its name in capitals.

    Args:
        statistics_url: the store of live statistics.
        metrics_url: the metric backend.
        cluster: the file that describes the cluster.
        host, port: the address to serve HTTP on; port 0 takes a free port.
        tick_s: the seconds between two decisions on replicas.
        freshness_s: the age in seconds from which live statistics are stale; rules ignore stale statistics.
        kernel_statistics: where live statistics of kernels come from: `store` or `metrics`.
    """

    statistics_url: str = attrs.field(default="valkey://127.0.0.1:6379", repr=False)
    metrics_url: str = attrs.field(default="http://127.0.0.1:9090", repr=False)
    cluster: Path = Path("cluster.toml")
    host: str = "127.0.0.1"
    port: int = 8080
    tick_s: float = 10.0
    freshness_s: float = 60.0
    kernel_statistics: Literal["store", "metrics"] = "store"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from the variables that are set and not empty.

        Raises:
            InputError: a value cannot be used; the message names its variable.
        """
        given: dict[str, Any] = {}
        for field in attrs.fields(cls):
            variable = PREFIX + field.name.upper()
            if text := environment.get(variable):
                try:
                    given[field.name] = _READERS.get(field.name, str)(text)
                except InputError as error:
                    raise InputError(f"{variable} must be {error}, not {text!r}") from error
        return cls(**given)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise InputError(f"a number from 0 to {_HIGHEST_PORT}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError("a number of seconds above zero")
    return seconds


def _source(text: str) -> str:
    if text not in {"store", "metrics"}:
        raise InputError("store or metrics")
    return text


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "cluster": Path,
    "port": _port,
    "tick_s": _seconds,
    "freshness_s": _seconds,
    "kernel_statistics": _source,
}
