"""`statcore serve`: the service over HTTP, in one process or in several workers that share a listening socket."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from functools import partial
from socket import socket
from typing import Final, Literal

import click
from aiohttp import web

from statcore.errors import InputError, StatcoreError
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import setting_options
from statcore_cli.event_loop import stop_on_signals
from statcore_cli.serve_settings import ServeSettings, serve_options
from statcore_cli.settings import CliSettings, errors_prefixed_with
from statcore_cli.standard_output import guarded, plugin_code, take_back, write_errors_at_once
from statcore_web import Tokens, attach, log_handler
from statcore_web.admission import AdmissionRows
from statcore_web.browsers import LOOPBACK_HOSTS, BrowserRules
from statcore_web.observation import count_in_memory
from statcore_web.process import is_loopback, listen, notify_systemd, serve_until_stopped, url_of
from statcore_web.workers import Worker, serve_with_workers

_logger: Final = logging.getLogger("statcore.serve")


@click.command(
    params=[
        *serve_options(),
        *setting_options(
            "token_file",
            "statistics_url",
            "metrics_url",
            "kernel_statistics",
            "rate_interval",
            "disable_plugins",
            "presets",
        ),
    ],
    epilog="""\b
In the file that --config names, the table [serve] holds these settings
(host, port, token_file, workers, …), and [limits] the limits of requests.

\b
Examples:
    statcore serve
    statcore token new ci --scope project_id=ID --token-file tokens.toml
    statcore serve --host 0.0.0.0 --token-file tokens.toml --workers 4
    statcore serve --port 0 --limit request_s=10 --log-format json
""",
)
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> None:
    """Serve GraphQL, an explorer of it, health and metrics over HTTP.

    Prints its URL once it accepts connections. /graphql answers queries, /explorer is a page to write them, /healthz says
    that the process is alive, /readyz that the store and the metric backend answer, and /metrics counts requests.

    Listens on this machine alone. On another address callers need a token of --token-file, unless --insecure lets everyone
    see everything. The file of tokens and the certificate are read again when they change.

    SIGTERM and Ctrl-C finish the running requests and end it; a second signal cuts them off.
    """
    context = CommandContext.of(ctx)
    serve = ServeSettings.read(ctx, context.settings)
    _start_log(serve)
    count_in_memory()
    for fault in context.presets().faults.values():
        _logger.warning("%s", fault)
    listener = listen(serve.host, serve.port)
    with listener:
        _check_exposure(listener, context.settings, serve)
        answer = copy_context()  # within it, prints are the command's answer
        with plugin_code():
            asyncio.run(_serve(context, serve, listener, answer))


def _check_exposure(listener: socket, settings: CliSettings, serve: ServeSettings) -> None:
    """Refuse to let other machines see everything without having been told so."""
    if settings.token_file is not None and serve.insecure:
        raise InputError(f"--insecure lets everyone see everything, but {settings.token_file.origin} is set; leave one out")
    if is_loopback(listener) or serve.insecure:
        return
    if settings.token_file is None:
        raise InputError(
            f"other machines can reach {serve.host}: give --token-file FILE (`statcore token new` makes tokens), or "
            "--insecure to let everyone see everything"
        )
    if serve.tls_cert_file is None:
        _logger.warning("tokens are sent without encryption; give --tls-cert, or serve through a proxy with TLS")


async def _serve(context: CommandContext, serve: ServeSettings, listener: socket, answer: Context) -> None:
    url = url_of(listener, tls=serve.tls_cert_file is not None)

    def announce(state: Literal["ready", "stopping"]) -> None:
        if state == "ready":
            answer.run(_print_line, url)
            _logger.info("serving %s", url)
            notify_systemd("READY=1")
        else:
            _logger.info("stopping: running requests are finished")
            notify_systemd("STOPPING=1")

    with stop_on_signals() as stop:
        async with _opened(context, serve, listener) as serve_here:
            if serve.workers == 1:
                await serve_here(stop, announce=announce)
                return
        # The certificate was read and the application opened: a setting that cannot be used is reported once.
        run_worker = partial(_run_worker, context.settings, serve)
        await serve_with_workers(
            run_worker, listener, stop, workers=serve.workers, drain_s=serve.drain_s, announce=announce
        )


def _print_line(text: str) -> None:
    take_back()
    click.echo(text)
    sys.stdout.flush()


def _run_worker(settings: CliSettings, serve: ServeSettings, worker: Worker) -> None:
    write_errors_at_once()
    _start_log(serve)
    try:
        with guarded(), plugin_code():
            asyncio.run(_serve_in_worker(CommandContext.discover(settings), serve, worker))
    except StatcoreError as error:
        _logger.error("%s", error)  # noqa: TRY400 - a message of statcore says all that there is to know
        sys.exit(1)


async def _serve_in_worker(context: CommandContext, serve: ServeSettings, worker: Worker) -> None:
    def announce(state: Literal["ready", "stopping"]) -> None:
        if state == "ready":
            worker.announce_start()
        else:  # only the parent cuts requests off; a service manager may send SIGTERM to the workers as well
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)

    with stop_on_signals() as stop:
        worker.stop_with_parent(stop)
        async with _opened(context, serve, worker.listener, admission_rows=worker.rows) as serve_here:
            await serve_here(stop, announce=announce)


@asynccontextmanager
async def _opened(
    context: CommandContext, serve: ServeSettings, listener: socket, *, admission_rows: AdmissionRows | None = None
) -> AsyncGenerator[Callable[..., Awaitable[None]]]:
    """Open the application, and yield `serve_until_stopped` for it, which needs only the event and `announce`."""
    settings, tls = context.settings, serve.tls()
    tokens = None
    if settings.token_file is not None:
        with errors_prefixed_with(settings.token_file.origin):
            tokens = Tokens(settings.token_file.value)
    hosts = None
    if is_loopback(listener) and tokens is None and not serve.insecure:
        hosts = LOOPBACK_HOSTS | {serve.host.lower(), listener.getsockname()[0]}
    async with context.runtime() as runtime:
        app = web.Application()
        attach(
            app,
            runtime,
            context.registry,
            tokens=tokens,
            limits=serve.limits,
            presets=context.presets().presets,
            rate_interval=settings.rate_interval.value,
            admission_rows=admission_rows,
            browsers=BrowserRules(origins=frozenset(serve.origins), hosts=hosts),
        )
        yield partial(serve_until_stopped, app, listener, tls=tls, drain_s=serve.drain_s, read_s=serve.limits.request_s)


def _start_log(serve: ServeSettings) -> None:
    root = logging.getLogger()
    root.addHandler(log_handler(sys.stderr, format=serve.log_format))
    root.setLevel(logging.WARNING)
    for name in ("statcore", "statcore_web"):
        logging.getLogger(name).setLevel(serve.log_level.upper())
