"""Starting the demo's children, and ending them whatever happens."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final

import attrs

from statcore_collector import KernelTarget

_STOP_S: Final = 5.0
_LOADS: Final = (
    ("busy 50%", "busy", "0.5"),
    ("busy 15%", "busy", "0.15"),
    ("memory", "memory", "120"),
    ("traffic", "traffic", "2"),
    ("writer", "writer", "1"),
)


@attrs.frozen(kw_only=True)
class Child:
    """A running load and the kernel that it stands for."""

    title: str
    target: KernelTarget


@contextmanager
def running_children(agent_id: str) -> Generator[tuple[Child, ...]]:
    """Run one child process for every load, as kernels of two sessions of one user."""
    sessions = [str(uuid.uuid4()) for _ in range(2)]
    user, project = str(uuid.uuid4()), str(uuid.uuid4())
    with ExitStack() as stack:
        children: list[Child] = []
        for number, (title, load, amount) in enumerate(_LOADS):
            process = stack.enter_context(_running(load, amount))
            target = KernelTarget(
                pid=process.pid,
                kernel_id=str(uuid.uuid4()),
                session_id=sessions[number % 2],
                user_id=user,
                project_id=project,
                agent_id=agent_id,
            )
            children.append(Child(title=title, target=target))
        yield tuple(children)


@contextmanager
def _running(load: str, amount: str) -> Generator[subprocess.Popen[bytes]]:
    # A session of its own: an interrupt at the terminal is the demo's to handle, not the child's.
    command = [sys.executable, "-m", "statcore_cli.demo.loads", load, amount]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own module
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
