"""What is where: read once, from the environment, by whoever starts the manager."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

import attrs

from statcore.errors import InputError

PREFIX: Final = "MANAGER_"
_HIGHEST_PORT: Final = 65_535


def _port(value: str | int) -> int:
    if not str(value).isdecimal() or int(value) > _HIGHEST_PORT:
        raise InputError(f"{PREFIX}PORT must be a number from 0 to {_HIGHEST_PORT}, not {value!r}")
    return int(value)


def _seconds(value: str | float) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"{PREFIX}TICK_S must be a number of seconds above zero, not {value!r}")
    return seconds


@attrs.frozen(kw_only=True)
class ManagerSettings:
    """The settings, each the value of `MANAGER_` and its name in capitals.

    Args:
        statistics_url: the store of live statistics.
        metrics_url: the metric backend.
        cluster: the file that describes the cluster.
        host, port: where HTTP is served; port 0 takes a free one.
        tick_s: the time between two decisions on replicas, in seconds.
        kernel_statistics: where live statistics of kernels come from: `store` or `metrics`.
    """

    statistics_url: str = attrs.field(default="valkey://127.0.0.1:6379", repr=False)
    metrics_url: str = attrs.field(default="http://127.0.0.1:9090", repr=False)
    cluster: Path = attrs.field(default=Path("cluster.toml"), converter=Path)
    host: str = "127.0.0.1"
    port: int = attrs.field(default=8080, converter=_port)
    tick_s: float = attrs.field(default=10.0, converter=_seconds)
    kernel_statistics: Literal["store", "metrics"] = "store"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables that are set.

        Raises:
            InputError: a value cannot be used.
        """
        names = [field.name for field in attrs.fields(cls)]
        given: dict[str, Any] = {
            name: environment[variable] for name in names if (variable := PREFIX + name.upper()) in environment
        }
        return cls(**given)
