"""Scopes on the command line: the option `--scope LABEL=VALUE`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from statcore.errors import InputError
from statcore.queriers.container import OWNER_LABELS
from statcore.scopes.scope import Scope
from statcore_cli.command_line import completing
from statcore_cli.settings import errors_prefixed_with


def scope_option(help_text: str) -> click.Option:
    """Return the option `--scope`, which may be repeated."""
    return click.Option(
        ["--scope"],
        metavar="LABEL=VALUE",
        multiple=True,
        help=help_text,
        shell_complete=completing(lambda _: OWNER_LABELS, ending="="),
    )


def read_scope(given: Iterable[str]) -> Scope:
    """Return the scope of texts such as `project_id=ID`; a label that recurs allows several values.

    Raises:
        InputError: there is no text, or one has no equals sign, or is not a label and a value of a scope.
    """
    values: dict[str, list[str]] = {}
    for text in given:
        label, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--scope: expected LABEL=VALUE, not {text!r:.200}")
        values.setdefault(label, []).append(value)
    with errors_prefixed_with("--scope"):
        return Scope.of(**values)
