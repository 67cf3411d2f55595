"""Health check: pings the store and the metric backend, and reports which of them answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

from statcore.concurrency import Deadline, run_concurrently
from statcore.errors import PluginError, StatcoreError, TimedOutError

HEALTH_TIMEOUT_S: Final = 5.0
"""How long each port has to answer. An adapter's own deadline may be longer than a health check can wait."""


class Pingable(Protocol):
    """The method that `StatisticsPort` and `MetricQuerierPort` share."""

    async def ping(self) -> None:
        """Return when the service answers.

        Raises:
            StatcoreError: it does not answer.
        """
        ...


@attrs.frozen
class HealthReport:
    """Which ports answered.

    Args:
        errors: by name of the port, why it did not answer, or None if it did.
    """

    errors: Mapping[str, StatcoreError | None]

    @property
    def healthy(self) -> bool:
        """Whether every port answered."""
        return not any(self.errors.values())

    @property
    def http_status(self) -> int:
        """200 if every port answered, else 503."""
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
    """Ping ports concurrently and report each of them; a port that fails does not raise.

    Args:
        ports: by the name that the report shows, for example `{"metrics": runtime.metrics}`.
        timeout_s: how long each port has to answer, in seconds.
    """
    errors = await run_concurrently(_ping(name, port, timeout_s) for name, port in ports.items())
    return HealthReport(dict(zip(ports, errors, strict=True)))


async def _ping(name: str, port: Pingable, timeout_s: float) -> StatcoreError | None:
    """Ping a port and return why it did not answer, or None."""
    try:
        async with Deadline(timeout_s, waiting_for=f"{name} to answer"):
            await port.ping()
    except StatcoreError as error:
        return error
    except TimeoutError:  # of a shorter deadline in the port
        return TimedOutError(f"{name} did not answer in time", timeout_s=timeout_s)
    except Exception as error:  # noqa: BLE001 - the port may be a third party's
        adapter = f"{type(port).__module__}.{type(port).__qualname__}"
        # Reports may be public, and the message of a foreign error may contain a password.
        failure = PluginError(f"{adapter}.ping() raised {type(error).__name__}", plugin=adapter, method="ping")
        failure.__cause__ = error
        return failure
    return None
