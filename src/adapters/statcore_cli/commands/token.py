"""`statcore token` and its commands `new`, `list` and `revoke`, for the tokens of a service's callers."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from statcore.errors import InputError
from statcore.scopes.scope import Scope
from statcore_cli.command_context import given_options
from statcore_cli.command_line import flag, format_option, setting_options, variable
from statcore_cli.output import write
from statcore_cli.scope_option import read_scope, scope_option
from statcore_cli.settings import CliSettings, Setting, errors_prefixed_with
from statcore_cli.times import format_time, read_expiry
from statcore_web.token_file import add_token, remove_token
from statcore_web.tokens import Token, new_secret, read_token_file, scope_value, secret_hash

_COLUMNS: Final = ("name", "scope", "expires", "expired", "requests_per_s")


def _complete_name(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    tokens = read_token_file(_token_file(ctx).value)
    return [CompletionItem(token.name) for token in tokens if token.name.startswith(incomplete)]


@click.group(
    params=setting_options("token_file"),
    help="""Make, list and revoke the tokens of callers.

    A token is a secret that a caller sends as `Authorization: Bearer SECRET`. The file has the hash of the secret, what its
    bearer may see, when it expires, and how many requests it may make. The service reads the file again when it changes.

    To rotate a token without a gap, make a second one with the same scope under another name, give its secret to the
    caller, and revoke the first when the caller uses the second.
    """,
    epilog="""\b
Examples:
    statcore token new ci --scope project_id=6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11
    statcore token --token-file tokens.toml list
    statcore token revoke ci
""",
)
def command(**_: object) -> None:
    """Group the commands for tokens."""


@command.command(
    "new",
    params=[
        click.Argument(["name"]),
        scope_option(
            "What the bearer may see: objects with this label, which is kernel_id, session_id, agent_id, user_id or"
            " project_id. Repeat a label to allow several values; objects must have a value of every label."
        ),
        click.Option(["--everything"], is_flag=True, help="Let the bearer see every object, as an operator."),
        click.Option(
            ["--expires"], metavar="TIME", help="90d, 2027-01-31, or 2027-01-31T12:00:00Z.  [default: it does not expire]"
        ),
        click.Option(
            ["--requests-per-s"],
            type=click.FLOAT,
            metavar="NUMBER",
            help="How many requests the bearer may make in a second on average.  [default: any number]",
        ),
        *setting_options("token_file"),
    ],
    epilog="""\b
Examples:
    statcore token new ci --scope project_id=ID --expires 90d --requests-per-s 20
    statcore token new both-projects --scope project_id=ID1 --scope project_id=ID2
    statcore token new mine-in-project --scope project_id=ID --scope user_id=ID
    statcore token new operator --everything > operator.secret
""",
)
@click.pass_context
def new_command(
    ctx: click.Context,
    /,
    *,
    name: str,
    scope: tuple[str, ...],
    everything: bool,
    expires: str | None,
    requests_per_s: float | None,
    **_: object,
) -> None:
    """Make a token, and print its secret once.

    Standard output has the secret alone. It is not stored: if it is lost, revoke the token and make another. A file that
    does not exist is made, and only its owner may read it.
    """
    if everything == bool(scope):
        raise InputError("a token needs either --scope LABEL=VALUE or --everything")
    now = datetime.now(UTC)
    secret = new_secret()
    with errors_prefixed_with("--expires"):
        expiry = read_expiry(expires, now) if expires is not None else None
    token = Token(
        name=name,
        hash=secret_hash(secret),
        scope=Scope.everything() if everything else read_scope(scope),
        expires=expiry,
        requests_per_s=requests_per_s,
    )
    file = _token_file(ctx)
    with errors_prefixed_with(file.origin):
        add_token(file.value, token)
    end = "does not expire" if expiry is None else f"expires at {_time(expiry)}"
    click.echo(f"statcore: token {name} sees {_scope_text(token)} and {end}; its secret is shown only now:", err=True)
    click.echo(secret)
    _warn_if_writable(file)


@command.command(
    "list",
    params=[*setting_options("token_file"), format_option()],
    epilog="""\b
Examples:
    statcore token list
    statcore token list --token-file tokens.toml --format json
""",
)
@click.pass_context
def list_command(ctx: click.Context, /, output_format: str, **_: object) -> None:
    """List the tokens, without hashes.

    JSON is {"tokens": [{"name", "scope", "expires", "expired", "requests_per_s"}]}. A scope is "everything", or a list of
    objects, of which any may allow an object; each has lists of values by label.
    """
    file, now = _token_file(ctx), datetime.now(UTC)
    with errors_prefixed_with(file.origin):
        tokens = read_token_file(file.value)
    rows = [
        [
            token.name,
            _scope_text(token),
            _time(token.expires) if token.expires else "",
            "yes" if _is_expired(token, now) else "",
            "" if token.requests_per_s is None else f"{token.requests_per_s:.15g}",
        ]
        for token in tokens
    ]
    write(output_format, _COLUMNS, rows, lambda: {"tokens": [_document(token, now) for token in tokens]})
    _warn_if_writable(file)


@command.command(
    "revoke",
    params=[click.Argument(["name"], shell_complete=_complete_name), *setting_options("token_file")],
    epilog="""\b
Examples:
    statcore token revoke ci
""",
)
@click.pass_context
def revoke_command(ctx: click.Context, /, name: str, **_: object) -> None:
    """Remove a token from the file; the service refuses it from its next request on."""
    file = _token_file(ctx)
    with errors_prefixed_with(file.origin):
        remove_token(file.value, name)
    click.echo(f"statcore: token {name} is revoked", err=True)


def _token_file(ctx: click.Context) -> Setting:
    file = CliSettings.read(given_options(ctx), os.environ).token_file
    if file is None:
        raise InputError(f"no file of tokens is configured: give {flag('token_file')} FILE or set {variable('token_file')}")
    return file


def _warn_if_writable(file: Setting) -> None:
    if Path(file.value).stat().st_mode & stat.S_IWOTH:
        message = "every user of this machine may write the file of tokens, and so see everything; run chmod o-w on it"
        click.echo(f"statcore: {message}", err=True)


def _is_expired(token: Token, now: datetime) -> bool:
    return token.expires is not None and token.expires <= now


def _time(time: datetime) -> str:
    return format_time(time.timestamp())


def _scope_text(token: Token) -> str:
    value = scope_value(token.scope)
    if isinstance(value, str):
        return value
    return "; or ".join(" and ".join(f"{label}={','.join(values)}" for label, values in table.items()) for table in value)


def _document(token: Token, now: datetime) -> dict[str, object]:
    return {
        "name": token.name,
        "scope": scope_value(token.scope),
        "expires": _time(token.expires) if token.expires else None,
        "expired": _is_expired(token, now),
        "requests_per_s": token.requests_per_s,
    }
