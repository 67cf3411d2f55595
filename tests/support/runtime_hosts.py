"""Hosts of runtimes: what a host does with a runtime, and a model of what must have happened to its ports by then."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

import attrs
from tests.support.scripted_adapters import AGENT, KERNEL, SESSION, ScriptedPort, Way

from statcore.errors import PluginError, StatcoreError, UnavailableError, UnsupportedError
from statcore.model import QueryTimeRange
from statcore.plugins import PluginRegistry
from statcore.queriers import ContainerMetricQuerier
from statcore.runtime import Runtime, Settings, open_runtime
from statcore.services.listing import AGENTS, SESSIONS, ObjectKind, ObjectListing
from statcore_graphql import DataLoaderManager, GraphQueryContext
from statcore_graphql.schema import build_schema

WELL: Final = ("ok", "slow")
_MANAGER: Final = DataLoaderManager()
_SCHEMA: Final = build_schema(_MANAGER)
_QUERY: Final = "{ compute_session_list { items { inference_metrics } } }"
_MEMORY: Final = ContainerMetricQuerier(metric_name="mem", value_type="current", kernel_id=KERNEL)


class HostError(Exception):
    """An error of the host's own code, in the block in which the runtime is open."""


def error_of(way: Way) -> type[StatcoreError] | None:
    """Return the error that a caller gets for what an adapter does, or None where it succeeds."""
    if way in WELL:
        return None
    return UnavailableError if way == "unavailable" else PluginError


@attrs.define(eq=False, kw_only=True)
class Life:
    """A runtime and the host that opens it, and the model of what must have happened by now.

    Args:
        is_ours: whether the adapters count as statcore's own, so that their answers are not checked.
        store, backend: its ports.
        needs_promql: whether the settings need a backend that evaluates PromQL; none of the scripted ones does.
        refusal: the error with which the registry refuses the URLs, or None.
    """

    is_ours: bool
    store: ScriptedPort = attrs.field(init=False)
    backend: ScriptedPort = attrs.field(init=False)
    needs_promql: bool
    refusal: type[StatcoreError] | None
    is_left: asyncio.Event = attrs.field(factory=asyncio.Event)
    host_fails: bool = False
    runtime: Runtime | None = None
    registry: PluginRegistry
    host: asyncio.Task[None] = attrs.field(init=False)
    noted: list[ScriptedPort] = attrs.field(factory=list[ScriptedPort])
    """The port at each closing, in order."""
    phase: str = "opening the store"
    outcome: type[BaseException] | None = None
    """With what the host ends; None is no error."""
    opened: list[ScriptedPort] = attrs.field(factory=list[ScriptedPort])
    closed: list[ScriptedPort] = attrs.field(factory=list[ScriptedPort])
    """The ports that the runtime must have closed, in order."""
    closed_by_host: list[ScriptedPort] = attrs.field(factory=list[ScriptedPort])

    def advance(self) -> None:
        """Let the model go on until something hangs, or the host waits in its block."""
        before = ""
        while before != self.phase:
            before = self.phase
            self._go_on()

    def _go_on(self) -> None:
        match self.phase:
            case "opening the store":
                if self.refusal is not None:
                    self._fail(self.refusal, "over")
                else:
                    self._open(self.store, "opening the backend", failed="over", closing="closing the store")
            case "opening the backend":
                self._open(self.backend, "checking", failed="closing the store", closing="closing the backend")
            case "checking":
                if self.needs_promql:
                    self._fail(UnsupportedError, "closing the backend")
                else:
                    self.phase = "open"
            case "open":
                if self.is_left.is_set():
                    self._fail(HostError if self.host_fails else None, "closing the backend")
            case "closing the backend":
                self._close(self.backend, "closing the store")
            case "closing the store":
                self._close(self.store, "over")
            case _:
                pass

    def _open(self, port: ScriptedPort, opened: str, *, failed: str, closing: str) -> None:
        if port.opening == "hang":
            return
        if port.opening in WELL:
            self.opened.append(port)
            self.phase = opened
        elif port.opening == "bare":
            self.opened.append(port)
            self._fail(PluginError, closing)
        else:
            self._fail(error_of(port.opening), failed)

    def _close(self, port: ScriptedPort, following: str) -> None:
        if port not in self.closed:
            self.closed.append(port)
        if port.closing != "hang":
            self._fail(self.outcome or error_of(port.closing), following)  # the first error counts

    def _fail(self, error: type[BaseException] | None, following: str) -> None:
        self.outcome = error
        self.phase = following

    def cancel(self) -> None:
        """Note that the host is cancelled where it hangs or waits."""
        following = {
            "opening the store": "over",
            "opening the backend": "closing the store",
            "open": "closing the backend",
            "closing the backend": "closing the store",
            "closing the store": "over",
        }
        self._fail(asyncio.CancelledError, following[self.phase])
        self.advance()

    def end_cancelled(self) -> None:
        """Note that the host was cancelled at an unknown place: what was opened must be closed."""
        self.opened = [port for port in (self.store, self.backend) if port.was_opened]
        self.closed = self.opened[::-1]
        self._fail(asyncio.CancelledError, "over")

    def check(self) -> None:
        """Compare the host and its ports with the model."""
        assert self.opened == [port for port in (self.store, self.backend) if port.was_opened]
        assert Counter(self.noted) == Counter(self.closed + self.closed_by_host)
        if not self.closed_by_host:
            assert self.closed == self.noted
        assert (self.phase == "over") == self.host.done()
        assert self.phase != "open" or self.runtime is not None
        if self.phase == "over":
            assert self.closed == self.opened[::-1]
            assert self.outcome is ended_with(self.host)


def ended_with(task: asyncio.Task[Any]) -> type[BaseException] | None:
    """Return the type of the exception of a task that has ended."""
    return asyncio.CancelledError if task.cancelled() else type(error) if (error := task.exception()) else None


def answer_or_error(task: asyncio.Task[Any]) -> Any:
    """Return what a task that has ended returned, or the type of its exception."""
    return ended_with(task) or task.result()


async def host(life: Life, url: str) -> None:
    """Open a runtime, and wait in the block until it is left."""
    settings = Settings(
        statistics_url=f"{url}/store",
        metrics_url=f"{url}/backend",
        kernel_statistics="metrics" if life.needs_promql else "store",
    )
    async with open_runtime(settings, life.registry) as runtime:
        life.runtime = runtime
        await life.is_left.wait()
        if life.host_fails:
            raise HostError


async def live(runtime: Runtime, _: PluginRegistry) -> Any:
    """Read live statistics."""
    (entry,) = await runtime.repository.get_kernel_statistics_batch([KERNEL])
    return entry and entry["mem"]["current"]


async def history(runtime: Runtime, _: PluginRegistry) -> Any:
    """Read a range in which there is nothing."""
    return len((await runtime.metrics.query_utilization(_MEMORY, QueryTimeRange(start=0, end=60, step=60))).series)


async def ping(runtime: Runtime, _: PluginRegistry) -> Any:
    """Learn whether the store and the backend answer."""
    await runtime.statistics.ping()
    await runtime.metrics.ping()
    return True


async def sessions(runtime: Runtime, _: PluginRegistry) -> Any:
    """List sessions, and whether their figures are known."""
    return await listed(runtime, SESSIONS)


async def agents(runtime: Runtime, _: PluginRegistry) -> Any:
    """List agents, and whether their figures are known."""
    return await listed(runtime, AGENTS)


async def listed(runtime: Runtime, kind: ObjectKind[Any]) -> Any:
    """List objects, and whether their figures are known."""
    page = await ObjectListing(runtime.inventory, runtime.repository).read(kind, figures=True)
    return [(item.object_id, item.figures is not None and item.figures.problem is None) for item in page.items]


async def graphql(runtime: Runtime, registry: PluginRegistry) -> Any:
    """Execute a query, and return its data, or the codes of its errors."""
    context = GraphQueryContext(
        statistics_repository=runtime.repository,
        inventory=runtime.inventory,
        metrics=runtime.metrics,
        plugins=registry,
        dataloader_manager=_MANAGER,
    )
    result = await _SCHEMA.execute(_QUERY, context_value=context)
    if result.errors:
        return {(error.extensions or {}).get("code") for error in result.errors}
    assert result.data is not None
    return [dict(item["inference_metrics"]) for item in result.data["compute_session_list"]["items"]]


@attrs.frozen
class Kind:
    """A kind of use: the call, what it answers, and which ports it reads, in order."""

    call: Callable[[Runtime, PluginRegistry], Coroutine[Any, Any, Any]]
    answer: Any
    reads: tuple[str, ...]

    def ports(self, life: Life) -> list[ScriptedPort]:
        """Return the ports that are read, in order."""
        return [getattr(life, name) for name in self.reads]

    def error_of(self, way: Way) -> type[StatcoreError] | None:
        """Return how a port fails whose methods answer as scripted; "nothing" is what a `ping` must return."""
        return None if self.call is ping and way == "nothing" else error_of(way)

    def answer_for(self, error: type[StatcoreError] | None, *, is_second: bool) -> Any:
        """Return what the call answers, or the error that it raises, when a port that it reads fails.

        Args:
            error: how the port fails, or None if all answer.
            is_second: whether it is the second port that fails.
        """
        if error is None:
            return self.answer
        if self.call is graphql:
            return {error.__name__}
        if self.call in (sessions, agents) and is_second:
            return [(id_, False) for id_, _ in self.answer]
        return error


KINDS: Final = {
    kind.call.__name__: kind
    for kind in (
        Kind(live, "7", ("store",)),
        Kind(history, 0, ("backend",)),
        Kind(ping, True, ("store", "backend")),  # noqa: FBT003 - what it answers
        Kind(sessions, [(SESSION, True)], ("backend", "store")),
        Kind(agents, [(AGENT, True)], ("backend", "store")),
        Kind(graphql, [{"requests": 3, "last_response_ms": 4}], ("backend", "store")),
    )
}
