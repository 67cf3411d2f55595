"""The fields of a querier class: the parameters of its constructor, read from annotations, defaults and docstring."""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, Final, Literal, NewType, Union, get_args, get_origin
from uuid import UUID

import attrs

from statcore.errors import InputError, PluginError
from statcore.model.text import describe, id_text
from statcore.queriers.interface import UtilizationMetricQuerier

_ARGUMENTS: Final = re.compile(r"^Args:\n((?:[ ]+.*\n?|\n)*)", re.MULTILINE)
_ENTRY: Final = re.compile(r"^(\w[\w, ]*?)(?: \(.*?\))?: (.*(?:\n[ ]+.*)*)", re.MULTILINE)


class FieldType(StrEnum):
    """The type of the value of a field."""

    TEXT = "text"
    TRUTH = "truth"
    INTEGER = "integer"
    NUMBER = "number"
    UUID = "uuid"
    CHOICE = "choice"


_TYPES: Final[Mapping[Any, FieldType]] = {
    bool: FieldType.TRUTH,
    int: FieldType.INTEGER,
    float: FieldType.NUMBER,
    UUID: FieldType.UUID,
}


@attrs.frozen(kw_only=True)
class QuerierField:
    """One parameter of a querier's constructor.

    Args:
        name: the name of the parameter.
        type: the type of its value; a type that is none of the others is text.
        choices: the value that each choice stands for, by the text of the choice.
        required: whether a value must be given.
        default: the first choice, if the class has no default of its own but choices; otherwise None.
        note: the default as users would type it, for listings, or None.
        help: the text about it in the class's docstring, under `Args:`.
    """

    name: str
    type: FieldType
    choices: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    required: bool
    default: str | None
    note: str | None
    help: str

    def read(self, value: object) -> Any:  # noqa: ANN401 - what the constructor takes
        """Return the argument of the constructor for a value from JSON or a command line.

        Raises:
            InputError: the value is not of the field's type, or none of its choices.
        """
        match self.type:
            case FieldType.TEXT if isinstance(value, str):
                return value
            case FieldType.TRUTH if isinstance(value, bool):
                return value
            case FieldType.INTEGER if isinstance(value, int) and not isinstance(value, bool):
                return value
            case FieldType.NUMBER if isinstance(value, int | float) and not isinstance(value, bool):
                return value
            case FieldType.UUID if isinstance(value, str | UUID):
                return UUID(id_text(value))
            case FieldType.CHOICE if isinstance(value, str) and value in self.choices:
                return self.choices[value]
            case _:
                expected = f"one of {', '.join(self.choices)}" if self.choices else f"of type {self.type}"
                raise InputError(f"{self.name} must be {expected}, not {value!r:.100}")


def read_fields(querier: type[UtilizationMetricQuerier]) -> Sequence[QuerierField]:
    """Return the fields of a querier class, in the order of its constructor.

    Raises:
        PluginError: they cannot be read, for example because an annotation names something unknown.
    """
    try:
        parameters = inspect.signature(querier).parameters.values()
        # The class's own annotations come first, because a converter widens the annotation of the constructor. And a
        # generated constructor may have inherited annotations with names that its own module does not know.
        hints = typing.get_type_hints(querier)
        if any(parameter.name not in hints and f"_{parameter.name}" not in hints for parameter in parameters):
            hints = typing.get_type_hints(querier.__init__) | hints
        texts = _documented(inspect.getdoc(querier) or "")
        return [
            _field(parameter, hints.get(parameter.name, hints.get(f"_{parameter.name}")), texts.get(parameter.name, ""))
            for parameter in parameters
            if parameter.kind in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        ]
    except Exception as error:
        plugin = f"{querier.__module__}.{querier.__qualname__}"
        raise PluginError(f"the fields of {plugin} cannot be read: {describe(error)}", plugin=plugin) from error


def _documented(docstring: str) -> dict[str, str]:
    section = _ARGUMENTS.search(docstring)
    entries = _ENTRY.findall(textwrap.dedent(section.group(1))) if section else []
    return {name.strip(): " ".join(text.split()) for names, text in entries for name in names.split(",")}


def _field(parameter: inspect.Parameter, hint: Any, text: str) -> QuerierField:  # noqa: ANN401 - any annotation
    hint = _plain(hint)
    choices = _choices(parameter.name, hint)
    required = parameter.default is parameter.empty
    default = next(iter(choices), None) if required else None
    return QuerierField(
        name=parameter.name,
        type=FieldType.CHOICE if choices else _TYPES.get(hint, FieldType.TEXT),
        choices=choices,
        required=required and default is None,
        default=default,
        note=default if required else _shown(parameter.default, choices),
        help=text,
    )


def _plain(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    """Return an annotation without None and without the names of a `NewType`; a union of several types becomes text."""
    while True:
        if isinstance(hint, NewType):
            hint = hint.__supertype__
        elif get_origin(hint) in {Union, types.UnionType}:
            members = [member for member in get_args(hint) if member is not types.NoneType]
            hint = members[0] if len(members) == 1 else str
        else:
            return hint


def _choices(name: str, hint: Any) -> dict[str, Any]:  # noqa: ANN401 - any annotation
    if get_origin(hint) is Literal:
        found = [(str(choice), choice) for choice in get_args(hint) if choice is not None]
    elif isinstance(hint, type) and issubclass(hint, Enum):
        found = [(str(member.value), member) for member in hint]
    else:
        return {}
    choices = dict(found)
    if len(choices) < len(found):
        twice = next(text for text, choice in found if choices[text] is not choice)
        raise TypeError(f"{name} has two choices that are {twice!r:.100} as text")
    return choices


def _shown(default: object, choices: Mapping[str, Any]) -> str | None:
    """Return a default as users would type it, or None if it cannot be typed."""
    for text, choice in choices.items():
        if type(choice) is type(default) and choice == default:  # 1 equals True, but is not the same choice
            return text
    if not isinstance(default, str | int | float):
        return None
    return str(default.value if isinstance(default, Enum) else default)
