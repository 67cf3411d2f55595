"""`statcore doctor`: checks that the other commands can work, and says what to do where they cannot."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Final

import attrs
import click

from statcore.errors import (
    AccessDeniedError,
    InputError,
    MissingExtraError,
    PluginError,
    StatcoreError,
    UnsupportedError,
)
from statcore.plugins.registry import PluginRegistry
from statcore.ports.diagnosis import DiagnosisPort, ServerFacts, ServerFactsPort, Topology, TopologyPort
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.statistics import StatisticsPort
from statcore.services.health import check_health
from statcore_cli.command_context import CommandContext, given_options
from statcore_cli.command_line import SettingName, flag, format_option, setting_options, variable
from statcore_cli.event_loop import run
from statcore_cli.output import write
from statcore_cli.settings import CliSettings, Setting, address

_PING_S: Final = 15.0
"""The deadline of a check; adapters have their own deadlines, but a plugin's adapter may lack one."""
_CLOCK_TOLERANCE_S: Final = 5.0
"""How far clocks may be apart; this is less than a usual scrape interval, by which the newest sample may be late."""
_CERTIFICATE_DAYS: Final = 14
_DAY_S: Final = 86_400


@attrs.frozen
class Check:
    """The result of one check.

    Args:
        check: what was checked.
        status: "ok"; "wrong"; or "off", if the store or backend is not configured, or does not tell what is checked.
        detail: what was found.
        remedy: what to do if it is wrong or off.
    """

    check: str
    status: str
    detail: str
    remedy: str = ""


@click.command(
    params=[
        *setting_options("statistics_url", "metrics_url", "rate_interval", "disable_plugins", "presets"),
        format_option(),
    ],
    epilog="""\b
Examples:
    statcore doctor
    statcore doctor --config statcore.toml --format json
""",
)
@click.pass_context
def command(ctx: click.Context, /, output_format: str, **_: object) -> None:
    """Check configuration, plugins, store and backend, and say how to correct what is wrong.

    Of each server it checks the version, how far its clock is from the clock of this machine, what its user may not do, and
    when its certificate expires.

    Exits with 1 when something is wrong. A store or a backend that is not configured is off; that is not a fault. The same
    is true of what a server does not tell.

    JSON is {"checks": [{"check", "status", "detail", "remedy"}]}.
    """
    checks = list(_checks(ctx))
    rows = [[check.check, check.status, check.detail, check.remedy] for check in checks]
    columns = [field.name for field in attrs.fields(Check)]
    write(output_format, columns, rows, lambda: {"checks": [attrs.asdict(check) for check in checks]})
    if any(check.status == "wrong" for check in checks):
        ctx.exit(1)


def _checks(ctx: click.Context) -> Iterator[Check]:
    try:
        settings = CliSettings.read(given_options(ctx), os.environ)
    except InputError as error:
        yield Check("settings", "wrong", str(error), "correct it there")
        return
    yield Check("settings", "ok", f"rate_interval {settings.rate_interval.value} from {settings.rate_interval.origin}")
    context = CommandContext.of(ctx, trial=True)
    yield from _plugin_checks(context.registry, settings)
    if settings.presets:
        yield _preset_check(context)
    yield from run(_ping("store", settings.statistics_url, context.statistics), doing="reading from the store")
    yield from run(_ping("backend", settings.metrics_url, context.metrics), doing="reading from the metric backend")


def _plugin_checks(registry: PluginRegistry, settings: CliSettings) -> Iterator[Check]:
    faults = [report for report in registry.reports if report.status.is_fault]
    for report in faults:
        detail = f"{report.status} in {report.distribution} {report.version}: {report.error}"
        yield Check(f"plugin {report.name}", "wrong", detail, report.remedy or "")
    if unknown := settings.disabled - {report.name for report in registry.reports}:
        detail = f"disabled, but not installed: {', '.join(sorted(unknown))}"
        yield Check("plugins", "wrong", detail, "`statcore plugins` lists the names")
    elif not faults:
        yield Check("plugins", "ok", f"{len(registry.reports)} installed")


def _preset_check(context: CommandContext) -> Check:
    try:
        catalog = context.presets()
    except MissingExtraError as error:
        return Check("presets", "wrong", str(error), f"pip install '{error.requirement}'")
    except InputError as error:
        return Check("presets", "wrong", str(error), "correct it there")
    if catalog.faults:
        return Check("presets", "wrong", "; ".join(map(str, catalog.faults.values())), "correct it there")
    files = ", ".join(file.value for file in context.settings.presets)
    return Check("presets", "ok", f"{len(catalog.presets)} in plugins and {files}")


async def _ping(
    check: str, url: Setting | None, opener: Callable[[], AbstractAsyncContextManager[StatisticsPort | MetricQuerierPort]]
) -> list[Check]:
    name: SettingName = "statistics_url" if check == "store" else "metrics_url"
    if url is None:
        return [Check(check, "off", "not configured", f"give {flag(name)} URL or set {variable(name)}")]
    where = f"{address(url.value)} from {url.origin}"
    servers: list[Check] = []
    try:
        async with asyncio.timeout(_PING_S), opener() as adapter:
            fault = (await check_health({check: adapter}, timeout_s=_PING_S)).errors[check]
            try:
                topology = await adapter.topology() if isinstance(adapter, TopologyPort) else None
            except StatcoreError as error:
                topology, fault = None, fault or error
            servers += () if topology is None else _topology_checks(check, topology)
            if isinstance(adapter, ServerFactsPort) and (fault is None or isinstance(fault, AccessDeniedError)):
                servers += [found for facts in await adapter.server_facts() for found in _facts_checks(check, facts)]
            if fault:
                raise fault
            finding = await adapter.diagnose() if isinstance(adapter, DiagnosisPort) else None
        answered = Check(check, "ok", where) if finding is None else Check(check, "wrong", where, finding)
    except InputError as error:
        answered = Check(check, "wrong", str(error), "correct it there")
    except StatcoreError as error:
        answered = Check(check, "wrong", f"{where}: {error}", _remedy(error, url))
    except TimeoutError:
        detail = f"{where}: no answer within {_PING_S:g} s"
        answered = Check(check, "wrong", detail, "check that the server answers other clients")
    return [answered, *servers]


def _topology_checks(check: str, topology: Topology) -> Iterator[Check]:
    for server in topology.servers:
        owned = f" of slots {server.slots}" if server.slots else ""
        lag = "" if server.lag_bytes is None else f", {server.lag_bytes} bytes behind"
        detail = f"{server.role}{owned}{lag}"
        if server.fault is None:
            yield Check(f"{check} {server.address}", "ok", detail)
        else:
            yield Check(f"{check} {server.address}", "wrong", f"{detail}: {server.fault}", "check that server")
    if topology.unowned_slots:
        detail = f"no server owns slots {topology.unowned_slots}"
        yield Check(f"{check} slots", "wrong", detail, "start their server, or give the slots to another primary")


def _facts_checks(check: str, facts: ServerFacts) -> Iterator[Check]:
    """Yield a check for each thing that is known of a server."""
    name = f"{check} {facts.address}".rstrip()
    if facts.fault is not None:
        yield Check(name, "wrong", facts.fault, "check that server")
        return
    if facts.program is not None:
        yield Check(f"{name} version", "ok", facts.program)
    if facts.clock_offset_s is None:
        yield Check(
            f"{name} clock", "off", "the server does not tell its time", "allow the user to ask for it, as by +time"
        )
    else:
        yield _clock_check(f"{name} clock", facts.clock_offset_s, facts.clock_error_s)
    if facts.refused:
        detail = f"the user may not do what reading needs: {', '.join(facts.refused)}"
        yield Check(f"{name} permissions", "wrong", detail, "allow the user these commands and keys on the server")
    if facts.certificate_expires_s is not None:
        yield _certificate_check(f"{name} certificate", facts.certificate_expires_s)


def _clock_check(name: str, offset_s: float, error_s: float) -> Check:
    direction = "ahead of" if offset_s > 0 else "behind"
    detail = f"{abs(offset_s):.3f} s {direction} this machine's clock, to within {error_s:.3f} s"
    if abs(offset_s) - error_s <= _CLOCK_TOLERANCE_S:
        return Check(name, "ok", detail)
    return Check(name, "wrong", detail, "synchronize both clocks, for example by NTP: ranges end at this machine's time")


def _certificate_check(name: str, expires_s: float) -> Check:
    days = math.floor((expires_s - time.time()) / _DAY_S)
    detail = f"expires in {days} days, on {datetime.fromtimestamp(expires_s, UTC):%Y-%m-%d}"
    if days >= _CERTIFICATE_DAYS:
        return Check(name, "ok", detail)
    return Check(name, "wrong", detail, "renew the server's certificate; clients refuse it once it has expired")


def _remedy(error: StatcoreError, url: Setting) -> str:
    if isinstance(error, MissingExtraError):
        return f"pip install '{error.requirement}'"
    if isinstance(error, AccessDeniedError):
        return f"correct the credentials in {url.origin}, or the permissions on the server"
    if isinstance(error, PluginError):
        return f"report this to the author of the plugin {error.plugin}" if error.method else "see `statcore plugins`"
    if isinstance(error, UnsupportedError):
        return f"correct {url.origin}, or the options of the adapter"
    return f"check that a server runs there, and that no firewall or proxy blocks {address(url.value)}"
