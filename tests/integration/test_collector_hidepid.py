"""A collector without privileges under a mounted /proc that hides the processes of others (`hidepid=1`)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

# Does two rounds over a child process, and prints what was found and logged.
COLLECT = """
import asyncio, json, logging, os, subprocess, sys
from statcore_collector import Collector, KernelTarget
from statcore_memory import MemoryStatistics

lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("statcore_collector").addHandler(handler)
KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"

async def main():
    store = MemoryStatistics()
    collector = Collector(store, agent_id="i-1", interval_s=60)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        collector.add(KernelTarget(pid=child.pid, kernel_id=KERNEL))
        try:
            collector.add(KernelTarget(pid=1, kernel_id=KERNEL.replace("6", "7")))
        except ValueError as error:
            refused = str(error)
        await collector.collect()
        await collector.collect()
        child.stdin.close()
    [kernel] = await store.fetch_kernel_statistics([KERNEL])
    [agent] = await store.fetch_agent_statistics(["i-1"])
    document = {"kernel": sorted(kernel), "node": sorted(agent["node"]), "lines": lines, "refused": refused}
    print(json.dumps(document))

asyncio.run(main())
"""
# The same user without capabilities and in another group: it may read files, but other processes are foreign to it.
UNPRIVILEGED = "setpriv --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all"
HIDE = f'mount -t proc -o hidepid=1 proc /proc && cd / && exec {UNPRIVILEGED} "$@"'


def _hidden(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command without privileges in a mount namespace whose /proc hides the processes of others."""
    hidden = ["unshare", "--mount", "sh", "-c", HIDE, "sh", *command]
    return subprocess.run(hidden, capture_output=True, text=True, timeout=60, check=False)


def test_hidden_processes_cost_only_themselves() -> None:
    """Kernel and node have their metrics; the hidden processes are logged once together."""
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("unshare and setpriv are not installed")
    trial = _hidden("sh", "-c", "! cat /proc/1/stat && exec $0 -c 'import statcore_collector'", sys.executable)
    if trial.returncode:
        pytest.skip(f"/proc cannot be mounted with hidepid=1 here, or hides nothing: {trial.stderr.strip()[-200:]}")
    answer = _hidden(sys.executable, "-c", COLLECT)
    assert 0 == answer.returncode, answer.stderr
    document = json.loads(answer.stdout)
    assert ["cpu_used", "cpu_util", "io_read", "io_write", "mem", "net_rx", "net_tx"] == document["kernel"]
    assert {"cpu_util", "disk", "mem"} <= set(document["node"])
    (line,) = document["lines"]
    assert ": processes (AccessDenied): " in line
    assert "process 1 cannot be read: AccessDenied" in document["refused"]
