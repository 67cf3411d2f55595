"""Programs that play kernels, ended with the test that starts them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from subprocess import PIPE, Popen

import pytest
from tests.integration.kernel_programs import PRELUDE, Start


@pytest.fixture
def start_kernel() -> Iterator[Start]:
    """Start a program in a session of its own, which is ended with the test."""
    with ExitStack() as stack:

        def run(program: str, *arguments: str) -> Popen[bytes]:
            command = [sys.executable, "-c", PRELUDE + program, *arguments]
            process = stack.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, bufsize=0, start_new_session=True))
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            return process

        yield run
