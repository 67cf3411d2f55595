"""`statcore collect`: samples process trees and the node as an agent does, writes them to the store, serves `/metrics`."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack

import attrs
import click

from statcore.errors import InputError
from statcore.model.time import parse_duration
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import setting_options
from statcore_cli.event_loop import stop_on_signals
from statcore_cli.settings import errors_prefixed_with
from statcore_cli.standard_output import plugin_code
from statcore_collector import Collector, KernelTarget, start_exporter


@click.command(
    params=[
        click.Option(
            ["--kernel", "kernels"],
            multiple=True,
            metavar="KEY=VALUE,…",
            help="A process tree to collect: pid=PID, and optionally kernel_id, session_id, user_id and project_id."
            " May be repeated. Without this option only the node is collected.",
        ),
        click.Option(["--agent-id"], default=socket.gethostname, help="The name of this node.  [default: the host name]"),
        click.Option(["--interval"], default="5s", show_default=True, metavar="DURATION", help="The time between rounds."),
        click.Option(
            ["--listen"],
            default="127.0.0.1:9256",
            show_default=True,
            metavar="HOST:PORT",
            help="The address of /metrics and /healthz; port 0 takes a free port.",
        ),
        *setting_options("statistics_url", "disable_plugins"),
    ],
    epilog="""\b
Examples:
    statcore collect --statistics-url valkey://127.0.0.1:6379
    statcore collect --kernel pid=4711,session_id=6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11
    statcore collect --kernel pid=4711 --kernel pid=4712 --interval 1s --listen 127.0.0.1:0
""",
)
@click.pass_context
def command(
    ctx: click.Context, /, *, kernels: tuple[str, ...], agent_id: str, interval: str, listen: str, **_: object
) -> None:
    """Collect process trees as kernels, and this node as their agent.

    Every round writes live statistics to the store; a Prometheus that scrapes /metrics keeps their history. A kernel
    ends with the last of its processes.

    Runs until Ctrl-C or SIGTERM. Then it removes what it wrote to the store (the kernels, this node and its number of
    kernels), so that nothing that has ended looks alive.

    A store, process or device that fails is logged once when it begins to fail and once when it works again; everything
    else is collected meanwhile. /healthz answers 503 while rounds fail.
    """
    logging.basicConfig(level=logging.INFO, format="statcore: %(message)s")
    with errors_prefixed_with("--kernel"):
        targets = [read_target(text) for text in kernels]
    with errors_prefixed_with("--interval"):
        interval_s = parse_duration(interval).total_seconds()
    with errors_prefixed_with("--listen"):
        host, port = read_address(listen)
    context = CommandContext.of(ctx)
    with plugin_code():  # this command prints no answer
        asyncio.run(_collect(context, targets, agent_id=agent_id, interval_s=interval_s, host=host, port=port))


async def _collect(
    context: CommandContext, targets: Sequence[KernelTarget], *, agent_id: str, interval_s: float, host: str, port: int
) -> None:
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        sink = await stack.enter_async_context(context.sink())
        collector = Collector(sink, agent_id=agent_id, interval_s=interval_s)
        with errors_prefixed_with("--kernel"):
            for target in targets:
                collector.add(target)
        with errors_prefixed_with("--listen"):
            exporter = start_exporter(collector, host=host, port=port)
        stack.callback(exporter.close)
        for target in targets:
            click.echo(f"statcore: collecting pid {target.pid} as kernel {target.kernel_id}", err=True)
        click.echo(f"statcore: serving http://{exporter.address}/metrics and /healthz", err=True)
        gc.collect()
        gc.freeze()  # later collections, which delay a round, leave out modules and plugins
        await collector.run(stop)


def read_target(text: str) -> KernelTarget:
    """Read a value of --kernel such as `pid=4711,session_id=…`; a kernel without an id gets a new one.

    Raises:
        InputError: a key is unknown or repeated, there is no pid, or a value is not valid.
    """
    keys = [field.name for field in attrs.fields(KernelTarget) if field.name != "agent_id"]
    values: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or key not in keys or key in values:
            raise InputError(f"cannot read {part!r}; expected KEY=VALUE, with each key at most once: {', '.join(keys)}")
        values[key] = value
    pid = values.pop("pid", "")
    if not (pid.isascii() and pid.isdecimal()):
        raise InputError(f"pid must be a number, not {pid!r}")
    return KernelTarget(pid=int(pid), **{"kernel_id": str(uuid.uuid4()), **values})


def read_address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT` or `[HOST]:PORT`.

    Raises:
        InputError: the host or the port is missing.
    """
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()):
        raise InputError(f"expected HOST:PORT such as 127.0.0.1:9256, not {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)
