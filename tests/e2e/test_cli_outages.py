"""Servers that are down or hang, as the program reports them."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.program import ID_1, start, statcore

from statcore.testing.servers import free_port

COMMANDS = pytest.mark.parametrize(
    ("arguments", "setting", "scheme"),
    [(["kernels", ID_1], "statistics_url", "valkey"), (["metrics", "container"], "metrics_url", "http")],
)


@COMMANDS
def test_a_server_that_is_down_is_one_line(arguments: list[str], setting: str, scheme: str) -> None:
    """The exit code is 1, without a traceback and without the password."""
    done = statcore(*arguments, **{setting: f"{scheme}://user:hunter2@127.0.0.1:{free_port()}"})

    assert (1, "") == (done.returncode, done.stdout)
    assert re.fullmatch(r"statcore: .*127\.0\.0\.1.*\n", done.stderr)
    assert "hunter2" not in done.stderr


def test_doctor_reports_the_server_that_is_down(kernels: str) -> None:
    """The store is ok, the backend is wrong."""
    done = statcore("doctor", statistics_url=kernels, metrics_url=f"http://127.0.0.1:{free_port()}")

    assert 1 == done.returncode
    assert re.search(r"^store +ok ", done.stdout, re.MULTILINE)
    assert re.search(r"^backend +wrong .*check that a server runs there", done.stdout, re.MULTILINE)


@pytest.fixture
def hung() -> Iterator[socket.socket]:
    """The socket of a server that never answers; the kernel completes connections, and nobody accepts them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


def port_of(listener: socket.socket) -> int:
    """Return the port of a socket."""
    port: int = listener.getsockname()[1]
    return port


@COMMANDS
def test_an_interrupt_ends_a_waiting_command(hung: socket.socket, arguments: list[str], setting: str, scheme: str) -> None:
    """Ctrl-C while it waits for a server: exit code 130, without a traceback."""
    with start(*arguments, **{setting: f"{scheme}://127.0.0.1:{port_of(hung)}"}) as process, hung.accept()[0] as connection:
        assert connection.recv(64)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (130, "", "") == (process.returncode, out, err)


@COMMANDS
def test_a_hanging_server_is_waited_for_until_the_deadline_of_the_file(
    hung: socket.socket, tmp_path: Path, arguments: list[str], setting: str, scheme: str
) -> None:
    """The error is one line."""
    file = tmp_path / "statcore.toml"
    file.write_text(
        f'{setting} = "{scheme}://127.0.0.1:{port_of(hung)}"\n[{setting.removesuffix("_url")}]\ntimeout_s = 0.3'
    )

    done = statcore(*arguments, config=str(file))

    assert (1, "") == (done.returncode, done.stdout)
    assert re.fullmatch(r"statcore: .*0\.3.*\n", done.stderr)
