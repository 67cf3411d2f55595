"""Rounds that fail, are cancelled, or cannot read everything: what was read is kept, and the next round goes on."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from typing import Any

import psutil
import pytest
from tests.unit.collector.conftest import KERNEL, METRICS, SESSION, label_values, raising

from statcore import PluginError, UnavailableError
from statcore_collector import Collector, collector
from statcore_collector.failures import Unreadable
from statcore_collector.process_tree import read_process_table


async def test_rounds_do_not_sample_at_once(collecting: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round waits for the sampling of a cancelled round, whose thread still runs."""
    loop = asyncio.get_running_loop()
    sampling, go_on = asyncio.Event(), threading.Event()
    order: list[str] = []

    def held(unreadable: Unreadable) -> Any:
        order.append("begins")
        loop.call_soon_threadsafe(sampling.set)
        assert go_on.wait(60)
        table = read_process_table(unreadable)
        order.append("ends")
        return table

    monkeypatch.setattr(collector, "read_process_table", held)
    cancelled = asyncio.create_task(collecting.collect())
    await sampling.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    another = asyncio.create_task(collecting.collect())
    await asyncio.sleep(0)
    await asyncio.to_thread(str)  # the other round has its thread by now
    go_on.set()
    await another
    assert ["begins", "ends", "begins", "ends"] == order


async def test_a_failed_write_leaves_the_other_writes(collecting: Collector, sink: Any) -> None:
    """The round raises; the agent, the count and the exporter are up to date."""
    sink.failures["store_kernel_statistics"] = UnavailableError("down")
    with pytest.raises(UnavailableError, match="down"):
        await collecting.collect()
    assert ({"i-1": 1}, {"i-1"}) == (sink.counts, set(sink.agents))
    assert {KERNEL} == label_values(collecting.samples(), "kernel_id")


async def test_a_failed_removal_is_repeated(collecting: Collector, sink: Any) -> None:
    """The next round removes the same entries."""
    await collecting.collect()
    collecting.remove(KERNEL)
    sink.failures["remove"] = UnavailableError("down")
    with pytest.raises(UnavailableError):
        await collecting.collect()
    sink.failures.clear()
    await collecting.collect()
    assert [sorted([KERNEL, SESSION])] == sink.removed


async def test_run_goes_on_after_a_failed_round(
    collecting: Collector, sink: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two failed rounds are one line in the log, and the good round after them is another; stopping ends the run."""
    caplog.set_level(logging.INFO, "statcore_collector")
    stop = asyncio.Event()
    rounds = 0
    collect = collecting.collect

    async def counted() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            sink.failures.clear()
            stop.set()
        await collect()

    sink.failures["store_kernel_statistics"] = UnavailableError("down")
    collecting.interval_s = 0.01
    monkeypatch.setattr(collecting, "collect", counted)
    async with asyncio.timeout(60):
        await collecting.run(stop)
    assert 3 == rounds
    begun, ended = [line for line in caplog.messages if "the store" in line]
    assert re.fullmatch(r"failing since 2\S+Z: the store: down", begun)
    assert re.fullmatch(r"no longer failing since 2\S+Z: the store; it had failed since 2\S+Z", ended)
    assert [sorted([KERNEL, SESSION, "i-1"])] == sink.removed


async def test_stopping_survives_a_store_that_is_down(
    collecting: Collector, sink: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what stays in the store, and why."""
    stop = asyncio.Event()
    stop.set()
    await collecting.collect()
    sink.failures["remove"] = UnavailableError("down")
    await collecting.run(stop)
    assert ["cannot remove what agent i-1 wrote; it will expire by itself: down"] == caplog.messages


async def test_cancelling_a_run_ends_it(collecting: Collector, sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`CancelledError` is raised, even from the middle of a write."""
    writing = asyncio.Event()

    async def hang(*_: object) -> None:
        writing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(type(sink), "store_container_count", hang)
    task = asyncio.create_task(collecting.run(asyncio.Event()))
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_samples_become_stale(collecting: Collector, now_s: list[float]) -> None:
    """Nothing is exported after four intervals without a round, because unchanged counters look idle."""
    assert [] == list(collecting.samples())
    await collecting.collect()
    now_s[0] += 4 * 60
    assert [] != list(collecting.samples())
    now_s[0] += 1
    assert [] == list(collecting.samples())


@pytest.mark.parametrize(
    ("target", "error", "unreadable", "reason"),
    [
        (
            "statcore_collector.collector.read_sockets",
            PermissionError(1, "Operation not permitted"),
            {"net_rx", "net_tx"},
            r"net_rx and net_tx of kernels: PermissionError: \[Errno 1\] Operation not permitted",
        ),
        (
            "psutil.Process.io_counters",
            psutil.AccessDenied(),
            {"io_read", "io_write"},
            f"kernel {KERNEL}: io_read and io_write: AccessDenied",
        ),
    ],
    ids=["sockets", "a metric of a kernel"],
)
async def test_figures_that_cannot_be_read_are_logged_once(
    collecting: Collector,
    sink: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    target: str,
    error: Exception,
    unreadable: set[str],
    reason: str,
) -> None:
    """They are absent, not zero; the other metrics are written."""
    monkeypatch.setattr(target, raising(error))
    await collecting.collect()
    await collecting.collect()
    assert METRICS - unreadable == set(sink.kernels[KERNEL])
    assert unreadable.isdisjoint(label_values(collecting.samples(), "container_metric_name"))
    (line,) = caplog.messages
    assert re.fullmatch(rf"failing since 2\S+Z: {reason}", line)


async def test_an_unreadable_machine_is_unavailable(collecting: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """No exception of psutil or the system leaves a round."""
    monkeypatch.setattr(psutil, "pids", raising(OSError(24, "Too many open files")))
    with pytest.raises(UnavailableError, match="Too many open files"):
        await collecting.collect()
    assert {"machine": 1, "item": 0, "store": 0} == collecting.health.failures


@pytest.mark.parametrize("method", ["store_kernel_statistics", "store_agent_statistics", "store_container_count", "remove"])
@pytest.mark.parametrize("is_async", [True, False])
async def test_a_foreign_error_of_a_sink_names_the_sink(
    collecting: Collector,
    sink: Any,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    is_async: bool,  # noqa: FBT001
) -> None:
    """It becomes a `PluginError`, even when the method is not a coroutine function."""
    fail = raising(RuntimeError("Event loop is closed"))

    async def fail_later(*_: object, **_named: object) -> None:
        fail()

    await collecting.collect()
    collecting.remove(KERNEL)
    monkeypatch.setattr(type(sink), method, fail_later if is_async else fail)
    with pytest.raises(PluginError, match="RecordingSink raised RuntimeError: Event loop is closed"):
        await collecting.collect()


async def test_health_follows_the_rounds(collecting: Collector, sink: Any, now_s: list[float]) -> None:
    """Before a round, after a success, after a failure with its reason, after a success, without rounds for too long."""
    assert "no round has ended yet" == collecting.problem()
    await collecting.collect()
    assert None is collecting.problem()
    sink.failures["store_container_count"] = UnavailableError("down")
    with pytest.raises(UnavailableError):
        await collecting.collect()
    assert "the last round failed: down" == collecting.problem()
    sink.failures.clear()
    await collecting.collect()
    now_s[0] += 4 * 60
    assert None is collecting.problem()
    now_s[0] += 7
    assert "no round has ended for 247 seconds" == collecting.problem()
    assert (2, 1) == (collecting.health.succeeded, collecting.health.failed)
