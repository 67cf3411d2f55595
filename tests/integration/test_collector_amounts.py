"""The collector on real processes: CPU time, memory, writes and traffic agree with what the system reports."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from tests.integration.kernel_programs import DUTY_CYCLE, Start, cpu_ms, current, read_line, resume, watch

HOLDER = """
held = bytearray(os.urandom(1 << 20)) * 64
for _ in range(3):
    if not os.fork():
        say("up")
        wait_for_input()
        os._exit(0)
say("up")
wait_for_input()
"""


WRITER = """
def write(path):
    with open(path, "wb", buffering=0) as file:
        for _ in range(8): file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
write(sys.argv[1])
say("written")
wait_for_input()
if not os.fork():
    write(sys.argv[1])
    os._exit(0)
os.wait()
say("written")
wait_for_input()
"""


RECEIVER = """
with socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as server:
    say(server.getsockname()[1])
    peer, _ = server.accept()
left = int(sys.argv[2])
while left: left -= len(peer.recv(min(left, 65536)))
say("received")
wait_for_input()
peer.close()
say("closed")
wait_for_input()
"""


SENDER = """
peer = socket.create_connection((sys.argv[1], int(sys.argv[3])))
peer.sendall(bytes(int(sys.argv[2])))
say("sent")
wait_for_input()
peer.close()
say("closed")
wait_for_input()
"""


MIB = 1 << 20


async def test_cpu_time_is_what_proc_says(start_kernel: Start) -> None:
    """The counter lies between two readings of /proc in every round; the stored rate is that between two rounds."""
    process = start_kernel(DUTY_CYCLE)
    collector, store, [kernel_id] = watch(process)
    looks: list[tuple[float, int, float, int]] = []
    for _ in range(2):
        for _ in range(20):
            assert "burnt" == await read_line(process)
        before_s, before_ms = time.monotonic(), cpu_ms(process.pid)
        await collector.collect()
        looks.append((before_s, before_ms, time.monotonic(), cpu_ms(process.pid)))
        assert looks[-1][1] <= current(collector, kernel_id, "cpu_util") <= looks[-1][3]
        assert current(collector, kernel_id, "cpu_util") == current(collector, kernel_id, "cpu_used")
    (early_s, early_ms, late_s, late_ms), (early2_s, early2_ms, late2_s, late2_ms) = looks
    [statistics] = await store.fetch_kernel_statistics([kernel_id])
    assert statistics is not None
    rate = float(statistics["cpu_util"]["current"])
    least, most = (early2_ms - late_ms) / (late2_s - early_s), (late2_ms - early_ms) / (early2_s - late_s)
    assert 0 < least - 0.001 <= rate <= most + 0.001
    assert float(statistics["cpu_util"]["pct"]) == pytest.approx(rate / 10, abs=0.01)


async def test_memory_that_forks_share_is_counted_once(start_kernel: Start) -> None:
    """Four processes that share 64 MiB have 64 MiB and their own pages, not 256 MiB."""
    process = start_kernel(HOLDER)
    collector, store, [kernel_id] = watch(process)
    for _ in range(4):
        assert "up" == await read_line(process)
    await collector.collect()
    assert 64 * MIB <= current(collector, kernel_id, "mem") <= 128 * MIB
    [statistics] = await store.fetch_kernel_statistics([kernel_id])
    assert statistics is not None
    assert str(psutil.virtual_memory().total) == statistics["mem"]["capacity"]


async def test_written_bytes_are_counted(start_kernel: Start, tmp_path: Path) -> None:
    """The process writes, and so does a child that it waits for; the counter never falls."""
    folder = max((part for part in psutil.disk_partitions(all=True) if tmp_path.is_relative_to(part.mountpoint)), key=len)
    if folder.fstype in {"tmpfs", "ramfs"}:
        pytest.skip("the temporary folder is in memory: nothing is written to a disk")
    process = start_kernel(WRITER, str(tmp_path / "file"))
    collector, _, [kernel_id] = watch(process)
    for times in (1, 2):
        assert "written" == await read_line(process)
        await collector.collect()
        assert 8 * MIB * times <= current(collector, kernel_id, "io_write") <= 8 * MIB * times + MIB
        resume(process)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_traffic_is_counted_on_both_ends(start_kernel: Start, host: str) -> None:
    """A kernel sends and another receives; closing the connection does not lower the counters."""
    size = 4 * MIB
    receiver = start_kernel(RECEIVER, host, str(size))
    sender = start_kernel(SENDER, host, str(size), await read_line(receiver))
    collector, store, kernels = watch(receiver, sender)
    assert ["received", "sent"] == [await read_line(receiver), await read_line(sender)]
    await collector.collect()
    received, sent = (current(collector, key, metric) for key, metric in zip(kernels, ("net_rx", "net_tx"), strict=True))
    assert size == received
    assert 0.97 * size <= sent <= size + 1
    assert 0 == current(collector, kernels[0], "net_tx")
    for process in (sender, receiver):
        resume(process)
        assert "closed" == await read_line(process)
    await collector.collect()
    assert size == current(collector, kernels[0], "net_rx")
    assert sent <= current(collector, kernels[1], "net_tx") <= size + 2
    for statistics in await store.fetch_kernel_statistics(kernels):
        assert statistics is not None
        assert "bps" == statistics["net_rx"]["unit_hint"]
        assert "0" == statistics["net_rx"]["current"]
