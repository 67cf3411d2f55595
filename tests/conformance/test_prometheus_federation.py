"""A real Prometheus that reads two others by `remote_read` keeps every promise."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from typing import Any

import pytest

from statcore.ports import MetricQuerierPort
from statcore.testing.conformance import MetricQuerierConformance
from statcore.testing.metrics import MetricDataset
from statcore_prometheus import PrometheusClient


class TestFederation(MetricQuerierConformance):
    """The client of a server whose two shards hold the planted series."""

    url: str

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _start(
        cls, dataset: MetricDataset, prometheus_federation: Callable[..., AbstractContextManager[Any]]
    ) -> Iterator[None]:
        """One federation for all checks."""
        with prometheus_federation(dataset.series) as federation:
            cls.url = federation.server.url
            yield

    @asynccontextmanager
    async def open(self, dataset: MetricDataset) -> AsyncGenerator[MetricQuerierPort]:  # noqa: ARG002 - loaded already
        """Connect as a tenant, whose client keeps the same promises; this server does not look at its header."""
        async with aclosing(PrometheusClient(self.url)) as client, aclosing(client.for_tenant("any")) as tenant:
            yield tenant
