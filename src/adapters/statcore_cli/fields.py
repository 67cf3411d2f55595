"""What a querier class wants to know, read from the class alone: its constructor's parameters become options."""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

import attrs
import click

from statcore.errors import PluginError
from statcore.plugins.contributions import QuerierSpec

_ARGUMENTS: Final = re.compile(r"^Args:\n((?:[ ]+.*\n?|\n)*)", re.MULTILINE)
_ENTRY: Final = re.compile(r"^(\w[\w, ]*?)(?: \(.*?\))?: (.*(?:\n[ ]+.*)*)", re.MULTILINE)
_SCALARS: Final[Mapping[Any, click.ParamType[Any]]] = {
    bool: click.BOOL,
    int: click.INT,
    float: click.FLOAT,
    UUID: click.UUID,
}


def _as_is(value: Any) -> Any:  # noqa: ANN401 - whatever click made of the text
    return value


@attrs.frozen(kw_only=True)
class QuerierField:
    """One parameter of a querier's constructor, as an option.

    Args:
        name: of the parameter.
        kind: the click type that its text is read with.
        required: whether it must be given.
        default: what stands when it is not given and the class has no default of its own: the first of several choices.
        note: the default as help shows it, or None.
        help: what the class's docstring says under `Args:`.
        convert: from what click read to what the constructor takes.
    """

    name: str
    kind: click.ParamType[Any]
    required: bool
    default: str | None
    note: str | None
    help: str
    convert: Callable[[Any], Any]


def querier_fields(spec: QuerierSpec) -> list[QuerierField]:
    """Return the fields of a kind of querier, in the order of its constructor.

    Raises:
        PluginError: they cannot be read, for example because an annotation names something unknown.
    """
    querier = spec.querier
    try:
        parameters = inspect.signature(querier).parameters.values()
        # The class's own annotations first: a converter widens that of the constructor.
        hints = typing.get_type_hints(querier.__init__) | typing.get_type_hints(querier)
    except Exception as error:
        raise PluginError(
            f"the fields of {querier.__module__}.{querier.__qualname__} cannot be read: {type(error).__name__}: {error}",
            plugin=spec.name,
        ) from error
    texts = _documented(inspect.getdoc(querier) or "")
    return [
        _field(parameter, hints.get(parameter.name, hints.get(f"_{parameter.name}")), texts.get(parameter.name, ""))
        for parameter in parameters
        if parameter.kind in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    ]


def _documented(docstring: str) -> dict[str, str]:
    section = _ARGUMENTS.search(docstring)
    entries = _ENTRY.findall(textwrap.dedent(section.group(1))) if section else []
    return {name.strip(): " ".join(text.split()) for names, text in entries for name in names.split(",")}


def _field(parameter: inspect.Parameter, hint: Any, text: str) -> QuerierField:  # noqa: ANN401 - any annotation
    hint = _without_none(hint)
    required = parameter.default is parameter.empty
    kind: click.ParamType[Any] = _SCALARS.get(hint, click.STRING)
    convert: Callable[[Any], Any] = _as_is
    default: str | None = None
    if choices := _choices(hint):
        kind, convert = click.Choice(list(choices)), choices.__getitem__
        default = next(iter(choices)) if required else None
    note = default if required else parameter.default
    return QuerierField(
        name=parameter.name,
        kind=kind,
        required=required and default is None,
        default=default,
        note=str(note) if isinstance(note, str | int | float) else None,
        help=text,
        convert=convert,
    )


def _without_none(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    if get_origin(hint) not in {Union, types.UnionType}:
        return hint
    members = [member for member in get_args(hint) if member is not type(None)]
    return members[0] if len(members) == 1 else str


def _choices(hint: Any) -> dict[str, Any]:  # noqa: ANN401 - any annotation
    if get_origin(hint) is Literal:
        return {str(choice): choice for choice in get_args(hint)}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {str(member.value): member for member in hint}
    return {}
