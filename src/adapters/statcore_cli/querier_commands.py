"""Groups with one command for each installed kind of querier; the options come from the fields of the querier class."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import attrs
import click
from click.shell_completion import CompletionItem

from statcore.errors import PluginError
from statcore.plugins.fields import FieldType, QuerierField
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import METRIC_FIELD, PreparedQuery, build_querier, prepare
from statcore.queriers.container import OWNER_LABELS
from statcore.queriers.interface import PreparedQuerier
from statcore_cli.command_context import CommandContext
from statcore_cli.command_line import LazyGroup, completing
from statcore_cli.standard_output import blame, plugin_code

_PREFIX: Final = "querier_"
"""Begins the names of click parameters that stand for a querier's fields, so that no other parameter has their name."""
_STATCORE: Final = "statcore"
_HELP: Final = "--help"
_TYPES: Final[Mapping[FieldType, click.ParamType[Any]]] = {
    FieldType.TEXT: click.STRING,
    FieldType.TRUTH: click.BOOL,
    FieldType.INTEGER: click.INT,
    FieldType.NUMBER: click.FLOAT,
    FieldType.UUID: click.UUID,
}


class QuerierGroup(LazyGroup):
    """A group with a command for each installed kind of querier.

    Args:
        build: makes the command for one kind.
        attributes: the arguments of `click.Group`.
    """

    def __init__(self, *, build: Callable[[QuerierSpec], click.Command], **attributes: Any) -> None:  # noqa: ANN401 - click's
        """Start with no command built."""
        super().__init__(**attributes)
        self._build = build

    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """Return a line for each kind of querier, with its distribution unless that is statcore."""
        registry = CommandContext.of(ctx).registry
        origins = {name: registry.origin(name) for name in registry.queriers}
        return {
            name: spec.summary if origins[name].distribution == _STATCORE else f"{spec.summary}  [{origins[name].source}]"
            for name, spec in registry.queriers.items()
        }

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command for a kind.

        Raises:
            InputError: the kind is unknown; the message lists the known kinds.
            PluginError: the kind is unknown, but a broken plugin may have it; or the kind's fields cannot become options.
        """
        registry = CommandContext.of(ctx).registry
        spec = registry.querier(cmd_name)
        blame(registry.origin(cmd_name))
        with plugin_code():
            return self._build(spec)


def group_by_option() -> click.Option:
    """Return the option with labels that the series of the answer keep, besides those of the querier."""
    return click.Option(
        ["--group-by", "group_by"],
        metavar="LABEL",
        multiple=True,
        help="Return one series for each value of this label, such as kernel_id. May be repeated.",
        shell_complete=completing(lambda _: OWNER_LABELS),
    )


@attrs.frozen
class QuerierOptions:
    """The options of one kind of querier.

    Args:
        spec: the kind.
        taken: the flags of the command's own options. A field whose flag is taken becomes `--KIND-FIELD`.
    """

    spec: QuerierSpec
    taken: Collection[str]

    def params(self) -> list[click.Parameter]:
        """Return an option for every field.

        Raises:
            PluginError: the fields cannot be read, or a field has the flag of another field or of the command itself.
        """
        self._check_distinct()
        return [
            click.Option(
                [self.flag(field), f"{_PREFIX}{field.name}"],
                type=click.Choice(list(field.choices)) if field.choices else _TYPES[field.type],
                required=field.required,
                help=f"{field.help}  [default: {field.note}]" if field.note else field.help,
                shell_complete=self._completing(field),
            )
            for field in self.spec.fields
        ]

    def _completing(self, field: QuerierField) -> Callable[..., list[CompletionItem]] | None:
        """Return what completes the value of a field, if click does not do it by the field's type."""
        return completing(lambda _: self.spec.units) if field.name == METRIC_FIELD and not field.choices else None

    def flag(self, field: QuerierField) -> str:
        """Return the flag of a field."""
        flag = f"--{field.name.strip('_').replace('_', '-')}"
        return f"--{self.spec.name}{flag[1:]}" if flag in {*self.taken, _HELP} else flag

    def _check_distinct(self) -> None:
        kind = self.spec.name
        fields_by_flag = dict.fromkeys([*self.taken, _HELP, "--"], "")  # click reads "--" as the end of the options
        for field in self.spec.fields:
            flag = self.flag(field)
            other = fields_by_flag.setdefault(flag, field.name)
            if not other:
                raise PluginError(f"{field.name} of {kind} would be {flag}, which the command has", plugin=kind)
            if other != field.name:
                raise PluginError(f"{other} and {field.name} of {kind} would both be the option {flag}", plugin=kind)

    def usage(self) -> str:
        """Return the kind with its required options, for examples in help."""
        required = [field for field in self.spec.fields if field.required]
        return " ".join([self.spec.name, *(f"{self.flag(field)} {field.name.upper()}" for field in required)])

    def build(self, values: Mapping[str, Any]) -> PreparedQuery:
        """Return the query for the values of a command's parameters, of `group_by_option` too if the command has it.

        Raises:
            InputError: the querier class refuses a value.
            PluginError: the querier class fails.
        """
        with plugin_code():
            querier = build_querier(self.spec, {field.name: values[f"{_PREFIX}{field.name}"] for field in self.spec.fields})
            prepared = prepare(querier, self.spec.units)
        query = prepared.querier.query
        group_by = tuple(sorted({*query.group_by, *(values.get("group_by") or ())}))
        return prepared._replace(querier=PreparedQuerier(query._replace(group_by=group_by)))


def flags(params: Collection[click.Parameter]) -> set[str]:
    """Return the flags of parameters."""
    return {flag for param in params for flag in param.opts}
