"""The GraphQL types of the service itself: the health of its ports, its plugins, its limits, and its version.

A caller who may see only a part gets no texts of errors: they name addresses, and may name the objects of others.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Self

import strawberry

from statcore.plugins.report import PluginReport
from statcore.services import check_health
from statcore_graphql.context import GraphQueryContext


@strawberry.type(description="Whether a port answers.")
class PortHealth:
    """The health of a port."""

    name: str
    healthy: bool
    error: str | None = strawberry.field(description="Why it does not answer; null for callers who may see only a part.")


@strawberry.type(description="Whether the store and the metric backend answer.")
class Health:
    """The health of all ports."""

    healthy: bool
    ports: list[PortHealth]

    @classmethod
    async def check(cls, context: GraphQueryContext) -> Self:
        """Ping the ports of a context."""
        report = await check_health({"statistics": context.statistics_repository.source.store, "metrics": context.metrics})
        ports = [
            PortHealth(name=name, healthy=error is None, error=None if error is None or context.is_confined else str(error))
            for name, error in report.errors.items()
        ]
        return cls(healthy=report.healthy, ports=ports)


@strawberry.type(description="An installed plugin.")
class Plugin:
    """A plugin."""

    name: str
    distribution: str
    version: str
    status: str = strawberry.field(description="ok, broken, rejected or blocked.")
    offers: list[str] = strawberry.field(description="What it contributes, such as `querier container`.")
    error: str | None = strawberry.field(description="Why it cannot be used; null for callers who may see only a part.")
    remedy: str | None = strawberry.field(description="What to do about the error.")

    @classmethod
    def of(cls, report: PluginReport, *, with_error: bool) -> Self:
        """Convert a report."""
        return cls(
            name=report.name,
            distribution=report.distribution,
            version=report.version,
            status=report.status.value,
            offers=list(report.offers),
            error=report.error if with_error else None,
            remedy=report.remedy if with_error else None,
        )


@strawberry.type(description="A limit of requests; an error has the name of its limit in `extensions.limit`.")
class Limit:
    """A limit."""

    name: str = strawberry.field(description="Its name, which ends with its unit if it has one, such as `request_s`.")
    value: float


@cache
def installed_version() -> str:
    """Return the version of statcore that is installed."""
    return version("statcore")
