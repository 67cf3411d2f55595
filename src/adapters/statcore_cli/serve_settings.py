"""The settings of `statcore serve` alone: options, environment variables, and the tables `[serve]` and `[limits]`."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self, cast

import attrs
import click
from attrs.validators import optional
from click.core import ParameterSource

from statcore.errors import InputError
from statcore.model.validation import (
    NOT_A_SETTING,
    check_line,
    check_one_of,
    check_seconds,
    check_truth,
    check_whole_number,
    from_settings,
)
from statcore_cli.settings import CliSettings, errors_prefixed_with
from statcore_web import Limits
from statcore_web.browsers import read_origins
from statcore_web.process import server_tls

_MAX_PORT: Final = 65_535
_MAX_WORKERS: Final = 256
_LOG_FORMATS: Final = ("text", "json")
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_FILES: Final = ("tls_cert_file", "tls_key_file")
"""Settings with paths, which in a file of settings are relative to it."""


def _check_origins(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        raise InputError(f"{field.name} must be a list of origins such as https://dashboard.example")
    with errors_prefixed_with(field.name):
        read_origins(cast("list[str]", value))


def _check_pair(settings: ServeSettings, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and settings.tls_cert_file is None:
        raise InputError(f"{field.name} is set but tls_cert_file is not; set both")


@attrs.frozen(kw_only=True)
class ServeSettings:
    """The settings; their names are those of the table `[serve]`.

    Raises:
        InputError: a value cannot be used; the message names it.
    """

    host: str = attrs.field(default="127.0.0.1", validator=check_line)
    port: int = attrs.field(default=8080, validator=check_whole_number(0, _MAX_PORT))
    insecure: bool = attrs.field(default=False, validator=check_truth)
    tls_cert_file: str | None = attrs.field(default=None, validator=optional(check_line))
    tls_key_file: str | None = attrs.field(default=None, validator=[optional(check_line), _check_pair])
    workers: int = attrs.field(default=1, validator=check_whole_number(1, _MAX_WORKERS))
    origins: Iterable[str] = attrs.field(default=(), validator=_check_origins)
    drain_s: float = attrs.field(default=30.0, validator=check_seconds)
    log_format: Literal["text", "json"] = attrs.field(default="text", validator=check_one_of(_LOG_FORMATS))
    log_level: str = attrs.field(default="info", validator=check_one_of(_LOG_LEVELS))
    limits: Limits = attrs.field(factory=Limits, metadata=NOT_A_SETTING)

    @classmethod
    def read(cls, ctx: click.Context, settings: CliSettings) -> Self:
        """Read the settings from the options of `serve_options`, the environment, and the file of settings.

        Raises:
            InputError: a value cannot be used; the message says where it comes from.
        """
        folder = Path(settings.file or "").parent
        table = {
            name: str(folder / value) if name in _FILES and isinstance(value, str) else value
            for name, value in settings.serve.items()
        }
        with errors_prefixed_with(f"[serve] in {settings.file}"):
            in_file = from_settings(cls, table, adapter="statcore serve")
        given_limits = _read_limits(ctx.params["limits"])
        with errors_prefixed_with("--limit" if given_limits else f"[limits] in {settings.file}"):
            limits = Limits.from_settings({**settings.limits, **given_limits})
        sources = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
        fields = {field.name for field in attrs.fields(cls)} - {"limits"}
        given = {name: ctx.params[name] for name in fields if ctx.get_parameter_source(name) in sources}
        return attrs.evolve(in_file, **given, limits=limits)

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context; None for plain HTTP.

        Raises:
            InputError: a file cannot be used.
        """
        return None if self.tls_cert_file is None else server_tls(self.tls_cert_file, self.tls_key_file)


def serve_options() -> list[click.Parameter]:
    """Return the options of `ServeSettings`."""
    return [
        _option("--host", "The address to listen on; 0.0.0.0 or :: for all.  [default: 127.0.0.1]", metavar="HOST"),
        _option(
            "--port",
            "The port to listen on; 0 takes a free one.  [default: 8080]",
            type=int,
            metavar="PORT",
        ),
        _option("--insecure", "Let everyone who can reach the service see everything.", is_flag=True),
        _option(
            "--tls-cert",
            "The certificate and its chain in PEM, for HTTPS.",
            name="tls_cert_file",
            type=click.Path(),
            metavar="FILE",
        ),
        _option(
            "--tls-key",
            "The key, if it is not in the file of the certificate.",
            name="tls_key_file",
            type=click.Path(),
            metavar="FILE",
        ),
        _option(
            "--workers",
            "How many processes answer requests.  [default: 1]",
            type=int,
            metavar="NUMBER",
        ),
        _option(
            "--origin",
            "Another origin whose pages may read answers, such as https://dashboard.example. May be repeated.",
            name="origins",
            metavar="ORIGIN",
            multiple=True,
        ),
        _option(
            "--drain-s",
            "How many seconds running requests may take after the stop.  [default: 30]",
            type=float,
            metavar="SECONDS",
        ),
        _option(
            "--limit",
            f"A limit of requests, such as request_s=10. May be repeated: {', '.join(attrs.fields_dict(Limits))}.",
            name="limits",
            metavar="NAME=VALUE",
            multiple=True,
        ),
        _option("--log-format", "How log lines are written to standard error.", type=click.Choice(_LOG_FORMATS)),
        _option("--log-level", "The lowest level that is logged; info logs each request.", type=click.Choice(_LOG_LEVELS)),
    ]


def _option(flag: str, help_: str, *, name: str | None = None, **attributes: Any) -> click.Option:  # noqa: ANN401 - click's
    name = name or flag.removeprefix("--").replace("-", "_")
    variable = f"STATCORE_{name.upper()}"
    return click.Option([flag, name], envvar=variable, help=f"{help_}  [env: {variable}]", **attributes)


def _read_limits(texts: Iterable[str]) -> Mapping[str, float]:
    limits: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            limits[name] = int(value) if value.isdecimal() else float(value)
        except ValueError:
            raise InputError(f"--limit: expected NAME=NUMBER such as request_s=10, not {text!r:.100}") from None
    return limits
