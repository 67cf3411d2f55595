"""The checks as pytest classes: a subclass opens the adapter or returns queriers, and every check is a test.

No pytest plugin is needed: each check of an adapter has an event loop of its own.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import ClassVar

import pytest

from statcore.errors import QueryRejectedError, UnsupportedError
from statcore.plugins.hooks import QuerierSpec
from statcore.ports.inventory import InventoryPort
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.testing import inventory, metrics, querier_checks, statistics
from statcore.testing.inventory import InventoryCheck, InventoryDataset
from statcore.testing.metrics import MetricCheck, MetricDataset
from statcore.testing.querier_checks import QuerierCheck
from statcore.testing.statistics import StatisticsCheck


def _name(check: object) -> str:
    return getattr(check, "__name__", repr(check)).removeprefix("check_")


def _run(check: object, running: Coroutine[object, object, None]) -> None:
    try:
        asyncio.run(running)
    except AssertionError as error:
        error.add_note(f"The promise: {inspect.getdoc(check)}")
        raise


class StatisticsConformance(ABC):
    """Checks a reader and a writer of live statistics.

    Example::

        class TestMyStore(StatisticsConformance):
            @asynccontextmanager
            async def open(self):
                async with my_server() as url:
                    yield MyStore(url), MyStoreSink(url)

    `open` is entered for every check, in the check's event loop. Start a server only once: in an autouse fixture of
    class scope, a classmethod that sets the address on the class (`cls.url = …`).
    """

    @abstractmethod
    def open(self) -> AbstractAsyncContextManager[tuple[StatisticsPort, StatisticsSinkPort]]:
        """Open a reader and a writer of the same store, and close them afterwards."""

    @pytest.mark.parametrize("check", statistics.CHECKS, ids=_name)
    def test_keeps_promise(self, check: StatisticsCheck) -> None:
        """The store keeps the promise that the check's docstring makes."""

        async def run() -> None:
            async with self.open() as (store, sink):
                await check(store, sink)

        _run(check, run())


class MetricQuerierConformance(ABC):
    """Checks a metric backend.

    Example::

        class TestMyBackend(MetricQuerierConformance):
            @asynccontextmanager
            async def open(self, dataset):
                yield MyBackend(dataset.series)

    `open` is entered for every check, in the check's event loop. Where loading is expensive, load in a fixture of class
    scope that asks for the fixture `dataset`, and have `open` connect only. `statcore.testing.metrics.openmetrics` writes
    the series as text that Prometheus loads.

    A backend that cannot keep a promise documents it in `differences`: the name of the check, as its test shows it, to what
    happens instead. Such a check must fail, with another answer, `QueryRejectedError` or `UnsupportedError`, so that the
    documentation stays true. Use the `differences` of the backend's spec.
    """

    differences: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @pytest.fixture(scope="class")
    @classmethod
    def dataset(cls) -> MetricDataset:
        """The series to plant, the same for all checks of a class."""
        return MetricDataset.recent()

    @abstractmethod
    def open(self, dataset: MetricDataset) -> AbstractAsyncContextManager[MetricQuerierPort]:
        """Open a backend that holds the series of the data set, and close it afterwards."""

    @pytest.mark.parametrize("check", metrics.CHECKS, ids=_name)
    def test_keeps_promise(self, check: MetricCheck, dataset: MetricDataset) -> None:
        """The backend keeps the promise that the check's docstring makes, or breaks it as documented."""

        async def run() -> None:
            async with self.open(dataset) as backend:
                await check(backend, dataset)

        difference = self.differences.get(_name(check))
        if difference is None:
            _run(check, run())
            return
        try:  # any other error is a fault, not a difference
            asyncio.run(run())
        except (AssertionError, QueryRejectedError, UnsupportedError):
            return
        pytest.fail(f"the promise is kept, so this difference does not exist any more: {_name(check)}: {difference}")

    def test_differs_in_known_promises(self) -> None:
        """Every documented difference has the name of a check."""
        unknown = self.differences.keys() - set(map(_name, metrics.CHECKS))
        assert not unknown, f"differences that are not named like a check: {', '.join(sorted(unknown))}"  # noqa: S101 - a test


class InventoryConformance(ABC):
    """Checks an inventory.

    Example::

        class TestMyInventory(InventoryConformance):
            @asynccontextmanager
            async def open(self, planted):
                async with my_database() as database:
                    await database.insert(planted.sessions, planted.endpoints)
                    yield MyInventory(database)

    `open` is entered for every check, in the check's event loop. Where planting is expensive, plant in a fixture of class
    scope that asks for the fixture `planted`, and have `open` connect only. An inventory that raises `UnsupportedError`
    for endpoints plants none.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def planted(cls) -> InventoryDataset:
        """The records to plant, and nothing else, the same for all checks of a class."""
        return InventoryDataset.usual()

    @abstractmethod
    def open(self, planted: InventoryDataset) -> AbstractAsyncContextManager[InventoryPort]:
        """Open an inventory that holds the records, and close it afterwards."""

    @pytest.mark.parametrize("check", inventory.CHECKS, ids=_name)
    def test_keeps_promise(self, check: InventoryCheck, planted: InventoryDataset) -> None:
        """The inventory keeps the promise that the check's docstring makes."""

        async def run() -> None:
            async with self.open(planted) as opened:
                await check(opened, planted)

        _run(check, run())


class QuerierConformance(ABC):
    """Checks a class of queriers, without any server.

    Example::

        class TestRack(QuerierConformance):
            def queriers(self):
                return [RackMetricQuerier(metric_name="power"), RackMetricQuerier(metric_name="power", rack_id="r1")]

    Return several queriers, with and without each optional field, some of which differ in one value alone.
    """

    @abstractmethod
    def queriers(self) -> Sequence[UtilizationMetricQuerier]:
        """Return queriers of the class."""

    def spec(self) -> QuerierSpec:
        """Return the spec that the plugin contributes: by default the one that the class of the first querier makes."""
        return QuerierSpec.of(type(self.queriers()[0]))

    @pytest.mark.parametrize("check", querier_checks.CHECKS, ids=_name)
    def test_keeps_promise(self, check: QuerierCheck) -> None:
        """The class keeps the promise that the check's docstring makes."""
        try:
            check(self.spec(), self.queriers())
        except Exception as error:
            error.add_note(f"The promise: {inspect.getdoc(check)}")
            raise
