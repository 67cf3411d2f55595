"""Whether the store and the metric backend answer, for a host's health check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from statcore.concurrency import run_concurrently
from statcore.errors import PluginError, StatcoreError, TimedOutError

HEALTH_TIMEOUT_S: Final = 5.0
"""How long each port has to answer: adapters have their own deadlines, which may be longer than a health check waits."""


class Pingable(Protocol):
    """The part of `StatisticsPort` and `MetricQuerierPort` that tells whether it answers."""

    async def ping(self) -> None:
        """Return when it answers; raise a `StatcoreError` when it does not."""
        ...


@attrs.frozen
class HealthReport:
    """Which ports answered.

    Args:
        errors: by name of the port, why it did not answer; None where it did.
    """

    errors: Mapping[str, StatcoreError | None]

    @property
    def healthy(self) -> bool:
        """Whether every port answered."""
        return not any(self.errors.values())

    @property
    def http_status(self) -> int:
        """200 where every port answered, else 503."""
        return 200 if self.healthy else 503

    def to_json(self) -> dict[str, Any]:
        """Return `{"healthy": bool, "ports": {name: {"healthy": bool, "error": text or None}}}`.

        An error's text names the address of the service, without credentials.
        """
        ports = {
            name: {"healthy": error is None, "error": None if error is None else str(error)}
            for name, error in self.errors.items()
        }
        return {"healthy": self.healthy, "ports": ports}


async def check_health(ports: Mapping[str, Pingable], *, timeout_s: float = HEALTH_TIMEOUT_S) -> HealthReport:
    """Ping ports concurrently and report each; no failure of a port raises.

    Args:
        ports: by the name that the report shows, for example `{"metrics": runtime.metrics}`.
        timeout_s: how long each port has, in seconds.
    """
    errors = await run_concurrently(_error_of(name, port, timeout_s) for name, port in ports.items())
    return HealthReport(dict(zip(ports, errors, strict=True)))


async def _error_of(name: str, port: Pingable, timeout_s: float) -> StatcoreError | None:
    from asyncio import timeout  # noqa: PLC0415 - costs as much as the rest of the import, and is there by now

    try:
        async with timeout(timeout_s):
            await port.ping()
    except StatcoreError as error:
        return error
    except TimeoutError:
        return TimedOutError(f"{name} did not answer within {timeout_s:g} s", timeout_s=timeout_s)
    except Exception as error:  # noqa: BLE001 - the port may be a third party's
        adapter = f"{type(port).__module__}.{type(port).__qualname__}"
        # The report is for everybody, and a foreign message may show a password.
        failure = PluginError(f"{adapter}.ping() raised {type(error).__name__}", plugin=adapter, method="ping")
        failure.__cause__ = error
        return failure
    return None
