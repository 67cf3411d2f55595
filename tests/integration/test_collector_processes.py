"""The collector on real process trees: a process that starts, ends, is orphaned or killed counts once, for its kernel."""

from __future__ import annotations

import asyncio
import os
import select

import psutil
from tests.integration.kernel_programs import Start, cpu_ms, current, end, pids, read_line, resume, watch

SHORT_LIVED = """
say("up")
wait_for_input()
for _ in range(5):
    pid = os.fork()
    if not pid:
        burn(0.04)
        os._exit(0)
    os.waitpid(pid, 0)
say("done")
wait_for_input()
"""


MANY_CHILDREN = """
say("up")
wait_for_input()
for _ in range(30):
    for _ in range(2):
        if not os.fork():
            burn(0.02)
            os._exit(0)
    os.wait(), os.wait()
say("done")
wait_for_input()
"""


NEVER_WAITS = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if not os.fork():
    burn(0.1)
    say("burnt")
    wait_for_input()
    os._exit(0)
try: os.wait()
except ChildProcessError: say("gone")
wait_for_input()
"""


ORPHAN = """
reading, writing = os.pipe()
child = os.fork()
if not child:
    if not os.fork():
        os.close(writing)
        say(os.getpid())
        os.read(reading, 1)
        burn(0.1)
        say("burnt")
        wait_for_input()
        os._exit(0)
    os.close(reading)
    wait_for_input()
    os._exit(0)
os.close(writing)
os.close(reading)
os.waitpid(child, 0)
signal.pause()
"""


async def test_children_that_live_between_two_rounds_are_counted(start_kernel: Start) -> None:
    """No round sees them; their parent waits for them and has their time."""
    process = start_kernel(SHORT_LIVED)
    collector, _, [kernel_id] = watch(process)
    assert "up" == await read_line(process)
    await collector.collect()
    before = current(collector, kernel_id, "cpu_util")
    resume(process)
    assert "done" == await read_line(process)
    await collector.collect()
    assert cpu_ms(process.pid) == current(collector, kernel_id, "cpu_util")
    assert before + 5 * 40 - 5 * 10 <= current(collector, kernel_id, "cpu_util")


async def test_children_that_end_during_rounds_are_counted_once(start_kernel: Start) -> None:
    """Children start and end during rounds without a pause; the counter never falls, and is exact in the end."""
    process = start_kernel(MANY_CHILDREN)
    collector, _, [kernel_id] = watch(process)
    assert "up" == await read_line(process)
    await collector.collect()
    counted = [current(collector, kernel_id, "cpu_util")]
    resume(process)
    done = asyncio.create_task(read_line(process))
    while not done.done():
        await collector.collect()
        counted.append(current(collector, kernel_id, "cpu_util"))
    assert "done" == await done
    await collector.collect()
    assert sorted(counted) == counted
    assert cpu_ms(process.pid) == current(collector, kernel_id, "cpu_util")


async def test_a_child_that_nobody_waits_for_stays_counted(start_kernel: Start) -> None:
    """The system drops its time; the counter keeps it."""
    process = start_kernel(NEVER_WAITS)
    collector, _, [kernel_id] = watch(process)
    assert "burnt" == await read_line(process)
    await collector.collect()
    before = current(collector, kernel_id, "cpu_util")
    assert before >= 90
    resume(process)
    assert "gone" == await read_line(process)
    assert cpu_ms(process.pid) < before
    await collector.collect()
    assert before <= current(collector, kernel_id, "cpu_util")
    assert {process.pid} == pids(collector)


async def test_an_orphan_stays_in_its_kernel(start_kernel: Start) -> None:
    """A grandchild whose parent has ended belongs to the kernel, and its time stays when it ends elsewhere."""
    process = start_kernel(ORPHAN)
    collector, _, [kernel_id] = watch(process)
    orphan = int(await read_line(process))
    await collector.collect()
    assert 3 == len(pids(collector))
    resume(process)
    assert "burnt" == await read_line(process)
    assert psutil.Process(orphan).ppid() not in pids(collector)
    await collector.collect()
    assert {process.pid, orphan} == pids(collector)
    before = current(collector, kernel_id, "cpu_util")
    assert before >= 90
    handle = os.pidfd_open(orphan)
    resume(process)
    await asyncio.to_thread(select.select, [handle], [], [])
    os.close(handle)
    await collector.collect()
    assert {process.pid} == pids(collector)
    assert before <= current(collector, kernel_id, "cpu_util")


async def test_a_killed_kernel_is_removed(start_kernel: Start) -> None:
    """It is removed even before its parent waits for it; the other kernel's samples and entries stay."""
    killed, other = start_kernel(SHORT_LIVED), start_kernel(SHORT_LIVED)
    collector, store, [kernel_id, other_id] = watch(killed, other)
    assert ["up", "up"] == [await read_line(killed), await read_line(other)]
    await collector.collect()
    await end(killed)
    await collector.collect()
    assert (other_id,) == collector.kernel_ids
    assert {other.pid} == pids(collector)
    batch = await store.fetch_kernel_statistics([kernel_id, other_id])
    assert [False, True] == [entry is not None for entry in batch]
