"""`statcore doctor`: checks that the other commands can work, and says what to do where they cannot."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

import attrs
import click

from statcore.errors import (
    AccessDeniedError,
    InputError,
    MissingExtraError,
    PluginError,
    ProtocolError,
    StatcoreError,
    UnsupportedError,
    UntrustedServerError,
)
from statcore.plugins.registry import PluginRegistry
from statcore.ports.capabilities import as_port
from statcore.ports.diagnosis import DiagnosisPort, ServerFacts, ServerFactsPort, Topology, TopologyPort
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.statistics import StatisticsPort
from statcore.services.health import check_health
from statcore_cli.command_context import CommandContext, given_options
from statcore_cli.command_line import SettingName, flag, format_option, setting_options, variable
from statcore_cli.event_loop import run
from statcore_cli.output import write
from statcore_cli.settings import CliSettings, Setting, address

Port: TypeAlias = Literal["store", "backend"]

_PING_S: Final = 15.0
"""The deadline of a check; adapters have their own deadlines, but a plugin's adapter may lack one."""
_CLOCK_TOLERANCE_S: Final = 5.0
"""How far clocks may be apart; this is less than a usual scrape interval, by which the newest sample may be late."""
_CERTIFICATE_DAYS: Final = 30
"""How many days before its end a certificate is reported."""
_DAY_S: Final = 86_400


@attrs.frozen
class Check:
    """The result of one check.

    Args:
        check: what was checked, such as `store clock`; docs/doctor.md lists the checks.
        subject: the address of the server or the name of the plugin that was checked; "" if there is only one.
        status: "ok"; "warning" for what will become wrong; "wrong"; "off" for what is not configured, or not told.
        detail: what was found.
        remedy: what to do; "" if it is ok.
    """

    check: str
    subject: str
    status: Literal["ok", "warning", "wrong", "off"]
    detail: str
    remedy: str = ""


@click.command(
    params=[
        *setting_options("statistics_url", "metrics_url", "rate_interval", "disable_plugins", "presets", "token_file"),
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
    when its certificate expires. Nothing is written to a server.

    Exits with 1 when something is wrong. A warning is no fault yet: a certificate that expires within 30 days, or a user
    who may write a part of what `statcore collect` writes. A store or a backend that is not configured is off, and so is
    what a server does not tell.

    JSON is {"checks": [{"check", "subject", "status", "detail", "remedy"}]}. The status is ok, warning, wrong or off.
    """
    checks = list(_checks(ctx))
    columns = [field.name for field in attrs.fields(Check)]
    rows = [[str(cell) for cell in attrs.astuple(check)] for check in checks]
    write(output_format, columns, rows, lambda: {"checks": [attrs.asdict(check) for check in checks]})
    if any(check.status == "wrong" for check in checks):
        ctx.exit(1)


def _checks(ctx: click.Context) -> Iterator[Check]:
    try:
        settings = CliSettings.read(given_options(ctx), os.environ)
    except InputError as error:
        yield Check("settings", "", "wrong", str(error), "correct it there")
        return
    yield Check("settings", "", "ok", f"rate_interval {settings.rate_interval.value} from {settings.rate_interval.origin}")
    context = CommandContext.of(ctx, trial=True)
    yield from _plugin_checks(context.registry, settings)
    if settings.presets:
        yield _preset_check(context)
    if settings.token_file is not None:
        yield _token_check(settings.token_file)
    yield from run(_port_checks("store", settings.statistics_url, context.statistics), doing="reading from the store")
    yield from run(_port_checks("backend", settings.metrics_url, context.metrics), doing="reading from the metric backend")


def _plugin_checks(registry: PluginRegistry, settings: CliSettings) -> Iterator[Check]:
    faults = [report for report in registry.reports if report.status.is_fault]
    for report in faults:
        detail = f"{report.status} in {report.distribution} {report.version}: {report.error}"
        yield Check("plugin", report.name, "wrong", detail, report.remedy or "")
    if unknown := settings.disabled - {report.name for report in registry.reports}:
        detail = f"disabled, but not installed: {', '.join(sorted(unknown))}"
        yield Check("plugins", "", "wrong", detail, "`statcore plugins` lists the names")
    elif not faults:
        yield Check("plugins", "", "ok", f"{len(registry.reports)} installed")


def _preset_check(context: CommandContext) -> Check:
    try:
        catalog = context.presets()
    except MissingExtraError as error:
        return Check("presets", "", "wrong", str(error), f"pip install '{error.requirement}'")
    except InputError as error:
        return Check("presets", "", "wrong", str(error), "correct it there")
    if catalog.faults:
        return Check("presets", "", "wrong", "; ".join(map(str, catalog.faults.values())), "correct it there")
    files = ", ".join(file.value for file in context.settings.presets)
    return Check("presets", "", "ok", f"{len(catalog.presets)} in plugins and {files}")


def _token_check(file: Setting) -> Check:
    from statcore_web.tokens import read_token_file  # noqa: PLC0415 - only where there are tokens

    try:
        tokens = read_token_file(file.value)
    except InputError as error:
        return Check(
            "tokens", "", "wrong", f"{file.origin}: {error}", "correct it, or make tokens with `statcore token new`"
        )
    now = datetime.now(UTC)
    detail = f"{len(tokens)} in {file.value}"
    if not tokens:
        return Check("tokens", "", "warning", detail, "every request is refused; make one with `statcore token new`")
    if expired := [token.name for token in tokens if token.expires is not None and token.expires <= now]:
        remedy = "remove them with `statcore token revoke`, and make others if they are still needed"
        return Check("tokens", "", "warning", f"{detail}; expired: {', '.join(expired)}", remedy)
    return Check("tokens", "", "ok", detail)


async def _port_checks(
    port: Port, url: Setting | None, opener: Callable[[], AbstractAsyncContextManager[StatisticsPort | MetricQuerierPort]]
) -> list[Check]:
    """Return a check of the port as a whole, and those of its servers."""
    name: SettingName = "statistics_url" if port == "store" else "metrics_url"
    if url is None:
        return [Check(port, "", "off", "not configured", f"give {flag(name)} URL or set {variable(name)}")]
    where = f"{address(url.value)} from {url.origin}"
    servers: list[Check] = []
    try:
        async with asyncio.timeout(_PING_S), opener() as adapter:
            fault = (await check_health({port: adapter}, timeout_s=_PING_S)).errors[port]
            try:
                with_topology = as_port(adapter, TopologyPort)
                topology = None if with_topology is None else await with_topology.topology()
            except StatcoreError as error:
                topology, fault = None, fault or error
            servers += () if topology is None else _topology_checks(port, topology)
            with_facts = as_port(adapter, ServerFactsPort)
            if with_facts is not None and (fault is None or isinstance(fault, AccessDeniedError)):
                servers = _with_facts(port, servers, await with_facts.server_facts(), is_wrong=fault is not None)
            if fault:
                raise fault
            with_diagnosis = as_port(adapter, DiagnosisPort)
            finding = None if with_diagnosis is None else await with_diagnosis.diagnose()
        whole = Check(port, "", "ok", where) if finding is None else Check(port, "", "wrong", where, finding)
    except InputError as error:
        whole = Check(port, "", "wrong", str(error), "correct it there")
    except StatcoreError as error:
        whole = Check(port, "", "wrong", f"{where}: {error}", _remedy(error, url))
    except TimeoutError:
        detail = f"{where}: no answer within {_PING_S:g} s"
        whole = Check(port, "", "wrong", detail, "check that the server answers other clients")
    return [whole, *servers]


def _topology_checks(port: Port, topology: Topology) -> Iterator[Check]:
    for server in topology.servers:
        owned = f" of slots {server.slots}" if server.slots else ""
        lag = "" if server.lag_bytes is None else f", {server.lag_bytes} bytes behind"
        detail = f"{server.role}{owned}{lag}"
        if server.fault is None:
            yield Check(f"{port} server", server.address, "ok", detail)
        else:
            yield Check(f"{port} server", server.address, "wrong", f"{detail}: {server.fault}", "check that server")
    if topology.unowned_slots:
        detail = f"no server owns slots {topology.unowned_slots}"
        yield Check(f"{port} slots", "", "wrong", detail, "start their server, or give the slots to another primary")


def _with_facts(port: Port, servers: Iterable[Check], facts: Iterable[ServerFacts], *, is_wrong: bool) -> list[Check]:
    """Return the checks of servers, and those of the facts; a server has one check of its fault.

    Args:
        port: what the servers are of.
        servers: the checks of the topology.
        facts: what is known of each server.
        is_wrong: whether the check of the whole port says already why its only server does not answer.
    """
    found = {(check.check, check.subject): check for check in servers}
    for each in facts:
        if is_wrong and each.fault is not None and not each.address:
            continue
        for check in _server_checks(port, each):
            key = check.check, check.subject
            if key not in found or found[key].status == "ok":
                found[key] = check
    return list(found.values())


def _server_checks(port: Port, facts: ServerFacts) -> Iterator[Check]:
    """Yield a check for each thing that is known of a server, or of why nothing is."""
    if facts.fault is not None:
        yield Check(f"{port} server", facts.address, "wrong", facts.fault, "check that server")
        return
    if facts.program is None:
        remedy = "allow the user to ask for it: +info in Valkey, /api/v1/status/buildinfo in Prometheus"
        yield Check(f"{port} version", facts.address, "off", "the server does not tell its version", remedy)
    else:
        yield Check(f"{port} version", facts.address, "ok", facts.program)
    yield _clock_check(port, facts)
    if facts.reads is not None:
        yield _reading_check(port, facts.address, facts.reads)
    if facts.writes is not None:
        yield _writing_check(port, facts.address, facts.writes)
    if facts.certificate_expires_s is not None:
        yield _certificate_check(port, facts.address, facts.certificate_expires_s)


def _clock_check(port: Port, facts: ServerFacts) -> Check:
    name, offset_s, error_s = f"{port} clock", facts.clock_offset_s, facts.clock_error_s
    if offset_s is None:
        remedy = "allow the user to ask for it: +time in Valkey"
        return Check(name, facts.address, "off", "the server does not tell its time", remedy)
    direction = "ahead of" if offset_s > 0 else "behind"
    detail = f"{abs(offset_s):.3f} s {direction} this machine's clock, to within {error_s:.3f} s"
    if abs(offset_s) - error_s <= _CLOCK_TOLERANCE_S:
        return Check(name, facts.address, "ok", detail)
    remedy = "synchronize both clocks, for example by NTP: ranges end at this machine's time"
    return Check(name, facts.address, "wrong", detail, remedy)


def _reading_check(port: Port, server: str, reads: Mapping[str, bool | None]) -> Check:
    if all(reads.values()):
        return Check(f"{port} reading", server, "ok", "the user may do all that reading needs")
    detail = _lacking(reads, "the user may not do what reading needs")
    remedy = "allow this on the server, or in a proxy in front of it"
    if False not in reads.values():
        remedy = "check why the server does not answer this"
    return Check(f"{port} reading", server, "wrong", detail, remedy)


def _writing_check(port: Port, server: str, writes: Mapping[str, bool | None]) -> Check:
    if all(writes.values()):
        return Check(f"{port} writing", server, "ok", "the user may do all that `statcore collect` needs")
    if {False} == set(writes.values()):
        remedy = "only the user of `statcore collect` needs more: +set and +del in Valkey"
        return Check(f"{port} writing", server, "off", "the user may only read", remedy)
    may_write = "may write, but not do all" if True in writes.values() else "may not do all"
    detail = _lacking(writes, f"the user {may_write} that `statcore collect` needs")
    remedy = "allow this to the user of `statcore collect`"
    if False not in writes.values():
        remedy = "check why the server does not answer this"
    return Check(f"{port} writing", server, "warning", detail, remedy)


def _lacking(actions: Mapping[str, bool | None], refusal: str) -> str:
    """Return in one line what is refused, and what could not be asked."""
    parts = ((refusal, False), ("it is not known whether the user may do this", None))
    found = [(text, [action for action, allowed in actions.items() if allowed is kind]) for text, kind in parts]
    return "; ".join(f"{text}: {', '.join(names)}" for text, names in found if names)


def _certificate_check(port: Port, server: str, expires_s: float) -> Check:
    name, left_s, day = f"{port} certificate", expires_s - time.time(), f"{datetime.fromtimestamp(expires_s, UTC):%Y-%m-%d}"
    if left_s <= 0:
        detail = f"expired {math.floor(-left_s / _DAY_S)} days ago, on {day}"
        return Check(name, server, "wrong", detail, "renew the server's certificate; clients refuse it")
    days = math.floor(left_s / _DAY_S)
    detail = f"expires in {days} days, on {day}"
    if days >= _CERTIFICATE_DAYS:
        return Check(name, server, "ok", detail)
    remedy = "renew the server's certificate; clients refuse it once it has expired"
    return Check(name, server, "warning", detail, remedy)


def _remedy(error: StatcoreError, url: Setting) -> str:  # noqa: PLR0911 - one return for each kind of error
    match error:
        case MissingExtraError():
            return f"pip install '{error.requirement}'"
        case UntrustedServerError():
            return f"replace the certificate of the server, or correct the host in {url.origin} or the option tls_ca_file"
        case AccessDeniedError():
            return f"correct the credentials in {url.origin}, or the permissions on the server"
        case PluginError():
            return f"report this to the author of the plugin {error.plugin}" if error.method else "see `statcore plugins`"
        case UnsupportedError():
            return f"correct {url.origin}, or the options of the adapter"
        case ProtocolError():
            return f"another program may listen there: correct host, port and path in {url.origin}"
        case _:
            blocks = f"that no firewall or proxy blocks {address(url.value)}"
            return f"check that a server runs there, with TLS only if the URL says so, and {blocks}"
