"""Faults of the Prometheus adapter, planted by hand: the scenario of metrics must find each."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from tests.simulation.planting import Plant

from statcore.concurrency import Deadline
from statcore.errors import ProtocolError, StatcoreError, UnavailableError
from statcore.model import MatrixResult, Series
from statcore.queriers.coalescing import CoalescedQuerier
from statcore.testing.simulation import prometheus_faults
from statcore_prometheus import PrometheusClient, client, error_mapping, transport, wire
from statcore_prometheus.server import Server
from statcore_prometheus.transport import Transport
from statcore_prometheus.wire import MatrixReader

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def the_deadline_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A call waits for an hour."""
    patch.setattr(Transport, "deadline", lambda _: Deadline(3_600, waiting_for="an answer"))


def the_first_server_takes_all_the_time(patch: pytest.MonkeyPatch) -> None:
    """The second server of a pair is asked when the deadline is over."""
    remaining_s = Deadline.remaining_s
    patch.setattr(Deadline, "remaining_s", lambda self: 2 * remaining_s(self))


def the_second_server_is_never_asked(patch: pytest.MonkeyPatch) -> None:
    """Only the first server of a pair is asked."""
    patch.setattr(transport._Failures, "without_paused", lambda *arguments: arguments[1][:1])


def there_is_no_way_back(patch: pytest.MonkeyPatch) -> None:
    """After a fail-over the first server is not asked any more."""
    patch.setattr(Transport, "_first_position", lambda self: self._states.last_answered)


def retry_after_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A server that asks for a pause is asked again at once."""
    patch.setattr(error_mapping, "_retry_after", lambda _: None)


def retries_have_no_limit(patch: pytest.MonkeyPatch) -> None:
    """Attempts go on until the deadline."""
    failures = transport._Failures
    patch.setattr(transport, "_Failures", lambda _: failures(10**9))


def a_failure_is_nothing(patch: pytest.MonkeyPatch) -> None:
    """A server that cannot be reached has no series."""
    query_utilization = PrometheusClient.query_utilization

    async def query(self: PrometheusClient, *arguments: Any, **options: Any) -> MatrixResult:
        try:
            return await query_utilization(self, *arguments, **options)
        except StatcoreError:
            return MatrixResult(series=())

    patch.setattr(PrometheusClient, "query_utilization", query)


def warnings_are_lost(patch: pytest.MonkeyPatch) -> None:
    """An answer does not say that it lacks series."""
    read = wire._open

    def open_without_notes(*arguments: Any) -> tuple[Any, dict[str, Any]]:
        data, _ = read(*arguments)
        return data, {"warnings": (), "infos": (), "partial": False}

    patch.setattr(wire, "_open", open_without_notes)


def the_beginning_is_taken_for_the_whole(patch: pytest.MonkeyPatch) -> None:
    """An answer that cannot be read to its end is what could be read."""
    finish = MatrixReader.finish

    def finish_anyhow(self: MatrixReader) -> MatrixResult:
        try:
            return finish(self)
        except ProtocolError:
            return MatrixResult(series=tuple(self._series))

    patch.setattr(MatrixReader, "finish", finish_anyhow)


def answers_may_have_any_length(patch: pytest.MonkeyPatch) -> None:
    """Nothing bounds the bytes of an answer."""
    patch.setattr(transport, "_check_length", lambda *_: None)


def parts_are_joined_as_they_arrive(patch: pytest.MonkeyPatch) -> None:
    """The parts of a range are joined in the order of their answers."""

    async def map_as_they_arrive(items: Iterable[_Item], call: Callable[[_Item], Awaitable[_Result]]) -> list[_Result]:
        results: list[_Result] = []

        async def keep(item: _Item) -> None:
            results.append(await call(item))

        await asyncio.gather(*map(keep, items))
        return results

    patch.setattr(client, "map_concurrently", map_as_they_arrive)


def parts_are_left_running(patch: pytest.MonkeyPatch) -> None:
    """When a part of a range fails, or the call is cancelled, the requests for the other parts go on."""

    async def map_and_leave(items: Iterable[_Item], call: Callable[[_Item], Awaitable[_Result]]) -> list[_Result]:
        running = [asyncio.ensure_future(call(item)) for item in items]
        return [await asyncio.shield(part) for part in running]

    patch.setattr(client, "map_concurrently", map_and_leave)


def a_part_is_joined_twice(patch: pytest.MonkeyPatch) -> None:
    """The samples of the first part are in the result twice."""

    def join(parts: Sequence[MatrixResult]) -> MatrixResult:
        joined: dict[frozenset[tuple[str, str]], tuple[Mapping[str, str], array[float], array[float]]] = {}
        for part in [parts[0], *parts]:
            for one in part.series:
                key = frozenset(one.labels.items())
                _, times, values = joined.setdefault(key, (one.labels, array("d"), array("d")))
                times.extend(one.timestamps)
                values.extend(one.values)
        series = (Series(labels=labels, timestamps=times, values=values) for labels, times, values in joined.values())
        return MatrixResult(series=tuple(series))

    patch.setattr(client, "join_parts", join)


def answers_of_a_batch_are_shifted(patch: pytest.MonkeyPatch) -> None:
    """Each querier of a shared request gets the answer of the next."""
    split = CoalescedQuerier.split

    def split_and_shift(self: CoalescedQuerier, answer: Any) -> tuple[Any, ...]:
        first, *others = split(self, answer)
        return (*others, first)

    patch.setattr(CoalescedQuerier, "split", split_and_shift)


def a_redirect_is_followed(patch: pytest.MonkeyPatch) -> None:
    """A redirect is followed, with the credential."""
    request = aiohttp.ClientSession.request

    def follow(self: aiohttp.ClientSession, *arguments: Any, **options: Any) -> Any:
        return request(self, *arguments, **{**options, "allow_redirects": True})

    patch.setattr(aiohttp.ClientSession, "request", follow)


def a_cancellation_is_swallowed(patch: pytest.MonkeyPatch) -> None:
    """A call that is cancelled is taken for one that failed, and is made again."""
    exchange = Transport._exchange

    async def swallow(self: Transport, *arguments: Any) -> Any:
        try:
            return await exchange(self, *arguments)
        except asyncio.CancelledError:
            raise UnavailableError("cancelled") from None

    patch.setattr(Transport, "_exchange", swallow)


def connections_are_kept(patch: pytest.MonkeyPatch) -> None:
    """A connection whose answer was not read does not go back to the pool."""

    async def forget(*_: object) -> None:
        """Do not release the answer."""

    patch.setattr("aiohttp.client._BaseRequestContextManager.__aexit__", forget)


def an_unread_answer_is_left_for_the_next(patch: pytest.MonkeyPatch) -> None:
    """A connection goes back to the pool although its answer was not read to the end; bombs are larger than usual."""
    patch.setattr(ResponseHandler, "should_close", False)
    patch.setattr(prometheus_faults, "_BOMB_BYTES", 20_000_000)


def a_password_is_shown(patch: pytest.MonkeyPatch) -> None:
    """Errors name a server by the headers of its requests."""
    patch.setattr(Server, "__str__", lambda self: str(self.request_headers()))


PLANTS: Final[tuple[Plant, ...]] = (
    the_deadline_is_ignored,
    the_first_server_takes_all_the_time,
    the_second_server_is_never_asked,
    there_is_no_way_back,
    retry_after_is_ignored,
    retries_have_no_limit,
    a_failure_is_nothing,
    warnings_are_lost,
    the_beginning_is_taken_for_the_whole,
    answers_may_have_any_length,
    parts_are_joined_as_they_arrive,
    parts_are_left_running,
    a_part_is_joined_twice,
    answers_of_a_batch_are_shifted,
    a_redirect_is_followed,
    a_cancellation_is_swallowed,
    connections_are_kept,
    an_unread_answer_is_left_for_the_next,
    a_password_is_shown,
)
