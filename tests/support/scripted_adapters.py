"""A store and a backend of plugins that succeed, fail, hang or break their contract as a test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeAlias

import attrs

from statcore.errors import UnavailableError
from statcore.model import MetricValue
from statcore.ports import MetricQuerierPort, StatisticsPort
from statcore.ports.capabilities import methods
from statcore.queriers.container import CONTAINER_SERIES
from statcore_connection.lifetime import Lifetime
from statcore_memory import MemoryMetrics, MemoryStatistics

Way: TypeAlias = Literal["ok", "slow", "hang", "unavailable", "foreign", "exit", "nothing", "bare", "odd", "not async"]
"""How opening, a call or closing goes.

It succeeds at once, after some turns of the event loop, or never; it raises an error of statcore, another one, or
`SystemExit`. Opening returns None, an object that can only be closed, or one whose attributes raise; or it is not async.
"""
KERNEL: Final = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
"""The kernel that the store and the backend know."""
SESSION: Final = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b12"
AGENT: Final = "i-1"
_SLOW_TURNS: Final = 3
_METHODS: Final = {*methods(StatisticsPort), *methods(MetricQuerierPort)}


@attrs.define(eq=False)
class ScriptedPort:
    """A store or a backend in memory that evaluates no PromQL.

    Args:
        opening: how it is opened.
        closing: how it is closed; it counts as closed at once.
        note: called when it is closed.
    """

    opening: Way
    closing: Way
    note: Callable[[ScriptedPort], object]
    answering: Way = attrs.field(default="ok", init=False)
    """How calls go that begin now, after the next `good_calls`, which succeed."""
    good_calls: int = attrs.field(default=0, init=False)
    was_called: bool = attrs.field(default=False, init=False)
    """Whether a call has gone as `answering` says since that was set."""
    was_opened: bool = attrs.field(default=False, init=False)
    _filled: Any = attrs.field(default=None, init=False)
    _end: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _lifetime: Lifetime = attrs.field(factory=Lifetime, init=False)

    def open(self, fill: Callable[[], Awaitable[Any]]) -> Any:
        """Return what a factory returns; `fill` makes the store or backend in memory."""
        return "not async" if self.opening == "not async" else self._open(fill)

    async def _open(self, fill: Callable[[], Awaitable[Any]]) -> Any:
        await _go(self.opening)
        if self.opening == "nothing":
            return None
        if self.opening == "odd":
            return _Odd()
        self._filled = await fill()
        self._lifetime.check("the scripted adapter")
        self.was_opened = True
        return _Bare(self) if self.opening == "bare" else self

    async def aclose(self) -> None:
        """End the calls under way."""
        self._lifetime.end("the scripted adapter")
        self._end.set()
        self.note(self)
        await _go(self.closing)

    def __getattr__(self, name: str) -> Any:
        """Return a method of the port."""
        if name not in _METHODS or not hasattr(self._filled, name):
            raise AttributeError(name)

        async def call(*arguments: Any, **options: Any) -> Any:
            self._lifetime.check("the scripted adapter")
            if self.good_calls:
                self.good_calls -= 1
            else:
                self.was_called = True
                if self.answering == "nothing":
                    return None
                if self.answering == "hang":
                    await self._end.wait()
                else:
                    await _go(self.answering)
            self._lifetime.check("the scripted adapter")
            return await getattr(self._filled, name)(*arguments, **options)

        return call

    def answer(self, way: Way, *, good_calls: int) -> None:
        """Set how calls go, after some that succeed."""
        self.answering, self.good_calls, self.was_called = way, good_calls, False


class _Odd:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@attrs.frozen
class _Bare:
    port: ScriptedPort

    async def aclose(self) -> None:
        await self.port.aclose()


async def _go(way: Way) -> None:
    if way == "slow":
        for _ in range(_SLOW_TURNS):
            await asyncio.sleep(0)
    if way == "hang":
        await asyncio.Event().wait()
    if way == "unavailable":
        raise UnavailableError("the scripted adapter is away")
    if way == "foreign":
        raise ZeroDivisionError
    if way == "exit":
        raise SystemExit(3)


SCRIPTED: Final[dict[str, ScriptedPort]] = {}
"""The store and the backend of each URL that is opened."""


def open_store(url: str, _: object) -> Any:
    """Open the store of a URL; it has the statistics of one kernel, and the activity of its session."""

    async def fill() -> MemoryStatistics:
        store = MemoryStatistics()
        await store.store_kernel_statistics({KERNEL: {"mem": MetricValue(current="7")}})
        await store.store_session_activity(SESSION, requests=3, last_response_ms=4)
        return store

    return SCRIPTED[url].open(fill)


def open_backend(url: str, _: object) -> Any:
    """Open the backend of a URL; it has one sample of the kernel."""

    async def fill() -> MemoryMetrics:
        owners = {"kernel_id": KERNEL, "session_id": SESSION, "agent_id": AGENT}
        labels = {**owners, "container_metric_name": "mem", "value_type": "current"}
        backend = MemoryMetrics()
        backend.append_scrape([(CONTAINER_SERIES, labels, 7.0)], target="agent", time=time.time())
        return backend

    return SCRIPTED[url].open(fill)


def plugin_source(scheme: str) -> str:
    """Return the module of a plugin that offers the scripted store and backend under a URL scheme."""
    return f"""
from tests.support.scripted_adapters import open_backend, open_store
from statcore.plugins import MetricBackendSpec, StatisticsStoreSpec, hookimpl
STATCORE_PLUGIN_API = 1

@hookimpl
def statcore_statistics_stores():
    return [StatisticsStoreSpec(name="{scheme}-store", summary="s", schemes=({scheme!r},), open=open_store)]

@hookimpl
def statcore_metric_backends():
    return [MetricBackendSpec(name="{scheme}-backend", summary="s", schemes=({scheme!r},), open=open_backend)]
"""
