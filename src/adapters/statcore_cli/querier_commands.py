"""Groups with one command for each kind of querier that is installed, its options made from the querier's fields."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import attrs
import click

from statcore.errors import PluginError
from statcore.plugins.fields import FieldType, QuerierField
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import build_querier
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore_cli.groups import LazyGroup
from statcore_cli.session import Session
from statcore_cli.standard_output import plugin_code, suspect

_PREFIX: Final = "querier_"
"""In front of the names of click parameters that are a querier's fields, so that they cannot meet any other's."""
_OURS: Final = "statcore"
_HELP: Final = "--help"
_TYPES: Final[Mapping[FieldType, click.ParamType[Any]]] = {
    FieldType.TEXT: click.STRING,
    FieldType.TRUTH: click.BOOL,
    FieldType.INTEGER: click.INT,
    FieldType.NUMBER: click.FLOAT,
    FieldType.UUID: click.UUID,
}


class QuerierGroup(LazyGroup):
    """A group whose commands are the kinds of querier.

    Args:
        build: makes the command of one kind.
    """

    def __init__(self, *, build: Callable[[QuerierSpec], click.Command], **attributes: Any) -> None:  # noqa: ANN401 - click's
        """Take what click takes, and `build`."""
        super().__init__(**attributes)
        self._build = build

    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """Return the kinds of querier that plugins offer, and where those come from that are not our own."""
        registry = Session.of(ctx).registry
        origins = {name: registry.origin(name) for name in registry.queriers}
        return {
            name: spec.summary if origins[name].distribution == _OURS else f"{spec.summary}  [{origins[name].source}]"
            for name, spec in registry.queriers.items()
        }

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the command for a kind; an unknown one raises with the names that are known."""
        registry = Session.of(ctx).registry
        spec = registry.querier(cmd_name)
        suspect(registry.origin(cmd_name))
        with plugin_code():
            return self._build(spec)


@attrs.frozen
class QuerierOptions:
    """The options of one kind of querier.

    Args:
        spec: the kind.
        taken: the flags that the command has for itself; a field of such a name gets the kind's name in front.
    """

    spec: QuerierSpec
    taken: Collection[str]

    def params(self) -> list[click.Parameter]:
        """Return an option for every field.

        Raises:
            PluginError: two fields would be the same option, or one would be an option that the command has.
        """
        fields = self.spec.fields
        self._check_distinct(fields)
        return [
            click.Option(
                [self.flag(field), f"{_PREFIX}{field.name}"],
                type=click.Choice(list(field.choices)) if field.choices else _TYPES[field.type],
                required=field.required,
                help=f"{field.help}  [default: {field.note}]" if field.note else field.help,
            )
            for field in fields
        ]

    def flag(self, field: QuerierField) -> str:
        """Return the flag of a field."""
        flag = f"--{field.name.strip('_').replace('_', '-')}"
        return f"--{self.spec.name}{flag[1:]}" if flag in {*self.taken, _HELP} else flag

    def _check_distinct(self, fields: Iterable[QuerierField]) -> None:
        kind = self.spec.name
        of = dict.fromkeys([*self.taken, _HELP, "--"], "")  # the last ends the options
        for field in fields:
            flag = self.flag(field)
            other = of.setdefault(flag, field.name)
            if not other:
                raise PluginError(f"{field.name} of {kind} would be {flag}, which the command has", plugin=kind)
            if other != field.name:
                raise PluginError(f"{other} and {field.name} of {kind} would both be the option {flag}", plugin=kind)

    def usage(self) -> str:
        """Return the shortest use, for examples in help."""
        required = [field for field in self.spec.fields if field.required]
        return " ".join([self.spec.name, *(f"{self.flag(field)} {field.name.upper()}" for field in required)])

    def build(self, values: Mapping[str, Any]) -> UtilizationMetricQuerier:
        """Return the querier that the values of a command's parameters describe.

        Raises:
            InputError: the class refuses a value.
            PluginError: the class fails.
        """
        with plugin_code():
            fields = self.spec.fields
            return build_querier(self.spec, {field.name: values[f"{_PREFIX}{field.name}"] for field in fields})


def flags(params: Collection[click.Parameter]) -> set[str]:
    """Return the flags that parameters answer to."""
    return {flag for param in params for flag in param.opts}
