"""A real Prometheus that holds planted series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

import pytest

from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server

RUN_S: Final = 3_600
"""How long a run of all tests may take.

Samples reach so far beyond the time at which a module was imported, where a test asks about the present.
"""


def planted_server(planted: Callable[[], Iterable[PlantedSeries]], *arguments: str) -> Any:
    """Return a fixture: a server with these series and arguments, for all tests of the module."""

    @pytest.fixture(scope="module")
    def server(prometheus_holding: Callable[..., AbstractContextManager[Server]]) -> Iterator[Server]:
        with prometheus_holding(openmetrics_text(planted()), arguments=arguments) as running:
            yield running

    return server
