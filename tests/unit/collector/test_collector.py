"""Rounds of collection, with real idle processes and a sink that records what it gets."""

from __future__ import annotations

import asyncio
import logging
import os
from subprocess import Popen
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
from tests.unit.collector.conftest import KERNEL, METRICS, SESSION, label_values

from statcore import InputError
from statcore_collector import Collector, KernelTarget, kernel
from statcore_memory import MemoryInventory

OTHER = str(uuid4())


async def test_a_round_writes_everything(collecting: Collector, sink: Any) -> None:
    """Kernel and session, the agent with its interval, and its number of kernels."""
    await collecting.collect()
    assert {KERNEL, SESSION} == set(sink.kernels)
    assert METRICS == set(sink.kernels[KERNEL])
    assert {"cpu_util", "mem", "disk"} <= set(sink.agents["i-1"]["node"])
    assert "root" in sink.agents["i-1"]["devices"]["mem"]
    assert 60 == sink.agents["i-1"]["interval_s"]
    assert {"i-1": 1} == sink.counts


async def test_a_first_round_is_as_agents_write_it(collecting: Collector, sink: Any) -> None:
    """Rates are 0 until there are two samples; the capacity of memory is the node's, that of CPU is one core."""
    await collecting.collect()
    assert ["0", "0", "0"] == [sink.kernels[KERNEL][metric].current for metric in ("cpu_util", "net_rx", "net_tx")]
    assert str(psutil.virtual_memory().total) == sink.kernels[KERNEL]["mem"].capacity
    assert "1000" == sink.kernels[KERNEL]["cpu_util"].capacity
    assert "0" == sink.agents["i-1"]["node"]["cpu_util"].capacity


async def test_a_session_is_stored_once_for_all_its_kernels(collecting: Collector, sink: Any) -> None:
    """The memory of the session is the sum over its two kernels, which are stored as well."""
    collecting.add(KernelTarget(pid=os.getpid(), kernel_id=OTHER, session_id=SESSION))
    await collecting.collect()
    memory = {key: int(values["mem"].current) for key, values in sink.kernels.items()}
    assert memory[KERNEL] + memory[OTHER] == memory[SESSION]
    assert {"i-1": 2} == sink.counts


async def test_a_kernel_without_a_session_is_stored_alone(sink: Any, sleeper: Popen[bytes]) -> None:
    """The store gets no entry for a missing session."""
    collecting = Collector(sink, agent_id="i-1")
    collecting.add(KernelTarget(pid=sleeper.pid, kernel_id=KERNEL))
    await collecting.collect()
    assert {KERNEL} == set(sink.kernels)
    collecting.remove(KERNEL)
    await collecting.collect()
    assert [[KERNEL]] == sink.removed


async def test_an_agent_without_kernels_is_written(sink: Any) -> None:
    """Its statistics and a count of 0 are written."""
    await Collector(sink, agent_id="i-1").collect()
    assert ({}, {"i-1": 0}, {"i-1"}) == (sink.kernels, sink.counts, set(sink.agents))


async def test_a_removed_kernel_is_gone_from_the_exporter_at_once(collecting: Collector, sink: Any) -> None:
    """Its samples disappear before the next round, its entries in the store with the next round."""
    await collecting.collect()
    assert {KERNEL} == label_values(collecting.samples(), "kernel_id")
    collecting.remove(KERNEL.upper())
    assert set() == label_values(collecting.samples(), "kernel_id")
    assert {"i-1"} == label_values(collecting.samples(), "agent_id")
    assert () == collecting.kernel_ids
    await collecting.collect()
    assert [sorted([KERNEL, SESSION])] == sink.removed
    assert {"i-1": 0} == sink.counts
    await collecting.collect()
    assert 1 == len(sink.removed)


async def test_a_session_stays_while_it_has_kernels(collecting: Collector, sink: Any) -> None:
    """Only the entry of the removed kernel is deleted."""
    collecting.add(KernelTarget(pid=os.getpid(), kernel_id=OTHER, session_id=SESSION))
    await collecting.collect()
    collecting.remove(KERNEL)
    await collecting.collect()
    assert [[KERNEL]] == sink.removed
    assert sink.kernels[OTHER]["mem"].current == sink.kernels[SESSION]["mem"].current


async def test_a_kernel_that_has_ended_is_removed(
    collecting: Collector, sink: Any, sleeper: Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Its samples and its entries are removed."""
    caplog.set_level(logging.INFO)
    await collecting.collect()
    sleeper.kill()
    sleeper.wait()
    await collecting.collect()
    assert () == collecting.kernel_ids
    assert set() == label_values(collecting.samples(), "kernel_id")
    assert [sorted([KERNEL, SESSION])] == sink.removed
    assert f"kernel {KERNEL} has ended" in caplog.messages


async def test_a_kernel_that_is_added_again_keeps_its_entries(
    collecting: Collector, sink: Any, sleeper: Popen[bytes]
) -> None:
    """The next round replaces them."""
    await collecting.collect()
    collecting.remove(KERNEL)
    collecting.add(KernelTarget(pid=sleeper.pid, kernel_id=KERNEL, session_id=SESSION))
    await collecting.collect()
    assert [] == sink.removed
    assert {KERNEL, SESSION} == set(sink.kernels)


async def test_a_kernel_that_is_removed_while_it_is_sampled_stays_removed(
    collecting: Collector, sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round that was running does not add it again."""
    loop = asyncio.get_running_loop()
    sampled, removed = asyncio.Event(), asyncio.Event()
    sample = kernel.KernelSampler.sample

    def held(*arguments: Any, **named: Any) -> Any:
        result = sample(*arguments, **named)
        loop.call_soon_threadsafe(sampled.set)
        asyncio.run_coroutine_threadsafe(removed.wait(), loop).result()
        return result

    monkeypatch.setattr(kernel.KernelSampler, "sample", held)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(collecting.collect())
        await sampled.wait()
        collecting.remove(KERNEL)
        removed.set()
    assert set() == label_values(collecting.samples(), "kernel_id")
    assert {} == sink.kernels


async def test_a_collector_that_stops_removes_what_it_wrote(sink: Any) -> None:
    """Kernels, sessions, the agent and its count leave the store, and kernels leave the inventory."""
    inventory = MemoryInventory()
    collecting = Collector(sink, agent_id="i-2", inventory=inventory)
    collecting.add(KernelTarget(pid=os.getpid(), kernel_id=OTHER, session_id=SESSION))
    await collecting.collect()
    assert 1 == (await inventory.list_sessions()).total_count
    stop = asyncio.Event()
    stop.set()
    await collecting.run(stop)
    assert [sorted([OTHER, SESSION, "i-2"])] == sink.removed
    assert (0, ()) == ((await inventory.list_sessions()).total_count, collecting.kernel_ids)
    assert [] == list(collecting.samples())


async def test_a_kernel_that_was_removed_before_stopping_leaves_the_store(collecting: Collector, sink: Any) -> None:
    """It needs no further round."""
    await collecting.collect()
    collecting.remove(KERNEL)
    await collecting.withdraw()
    assert [sorted([KERNEL, SESSION, "i-1"])] == sink.removed


async def test_a_collector_removes_only_what_it_wrote(collecting: Collector, sink: Any) -> None:
    """Before its first round it removes nothing; the entries of other writers stay."""
    await collecting.withdraw()
    assert [] == sink.removed


@pytest.mark.parametrize(
    "options",
    [*({"interval_s": interval_s} for interval_s in (0, float("nan"), 10**400, 1e300, "5")), {"agent_id": ""}],
    ids=lambda options: f"{options}"[:40],
)
def test_settings_are_checked(sink: Any, options: dict[str, Any]) -> None:
    """The error names the bad setting."""
    with pytest.raises(InputError, match=next(iter(options))):
        Collector(sink, **{"agent_id": "i-1", **options})


def test_a_kernel_of_another_agent_is_refused(collecting: Collector, sleeper: Popen[bytes]) -> None:
    """A kernel may name the collector's own agent."""
    collecting.add(KernelTarget(pid=os.getpid(), kernel_id=OTHER, agent_id="i-1"))
    with pytest.raises(InputError, match="'i-2'"):
        collecting.add(KernelTarget(pid=sleeper.pid, kernel_id=uuid4(), agent_id="i-2"))


def test_removing_an_unknown_kernel_does_nothing(collecting: Collector) -> None:
    """A kernel may have ended just before."""
    collecting.remove(OTHER)
    assert (KERNEL,) == collecting.kernel_ids


def test_ids_become_canonical_text() -> None:
    """An entry is found whatever spelling the id had."""
    target = KernelTarget(pid=1, kernel_id=KERNEL.upper(), user_id=UUID(KERNEL), agent_id="i-1")
    assert (KERNEL, KERNEL, None) == (target.kernel_id, target.user_id, target.session_id)


@pytest.mark.parametrize(
    "wrong", [{"kernel_id": "x"}, {"user_id": ""}, {"pid": 0}, {"pid": -1}, {"pid": "1"}, {"agent_id": "\ud800"}]
)
def test_a_bad_id_or_pid_is_refused(wrong: dict[str, Any]) -> None:
    """A target with it cannot be built."""
    with pytest.raises(InputError):
        KernelTarget(**{"pid": 1, "kernel_id": uuid4(), **wrong})
