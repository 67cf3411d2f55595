"""The fields of querier classes, which are read once for a command."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NewType

import attrs
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plugins.known_queriers import Known, Level, Node

from statcore.errors import InputError, PluginError
from statcore.plugins import QuerierSpec
from statcore.plugins.builtin import statcore_queriers
from statcore.plugins.fields import FieldType, read_fields
from statcore.plugins.querier_kinds import build_querier
from statcore.queriers import ContainerMetricQuerier
from statcore_cli.app import cli


@dataclass(kw_only=True, frozen=True)
class Rack(Known):
    """A dataclass."""

    rack_id: str = "r1"


class Unreadable(Known):
    """A class with an annotation that is not defined."""

    def __init__(self, *, what: NoSuchType) -> None:  # type: ignore[name-defined]  # noqa: F821 - that is the point
        """Take a field of an unknown type."""
        del what


def _spec(querier: type[Known], name: str = "node") -> QuerierSpec:
    return QuerierSpec(name=name, summary="s", querier=querier, series="m")


(CONTAINER,) = statcore_queriers()


def test_types_defaults_and_help_come_from_the_class() -> None:
    """Optional, UUID, Literal, Enum, numbers and truth values are read; other unions are text."""
    fields = {field.name: field for field in _spec(Node).fields}

    assert {
        "metric_name": FieldType.TEXT,
        "node_id": FieldType.UUID,
        "rack": FieldType.TEXT,
        "value_type": FieldType.CHOICE,
        "level": FieldType.CHOICE,
        "step": FieldType.INTEGER,
        "strict": FieldType.TRUTH,
        "share": FieldType.NUMBER,
    } == {name: field.type for name, field in fields.items()}
    assert ["metric_name"] == [name for name, field in fields.items() if field.required]
    assert {"value_type": ["current", "capacity"], "level": ["1", "2"]} == {
        name: list(field.choices) for name, field in fields.items() if field.choices
    }
    assert {"value_type": "current", "step": "1", "strict": "False"} == {
        name: field.note for name, field in fields.items() if field.note
    }
    assert "what is measured, in more than one line." == fields["metric_name"].help
    assert "which one." == fields["node_id"].help == fields["rack"].help
    assert "not the step of a range." == fields["step"].help
    assert "" == fields["level"].help


def test_a_required_choice_defaults_to_its_first() -> None:
    """`query container --metric-name mem` is enough, although the class requires a value type."""
    fields = {field.name: field for field in CONTAINER.fields}

    assert (False, "current", "current") == (
        fields["value_type"].required,
        fields["value_type"].default,
        fields["value_type"].note,
    )
    querier: Any = build_querier(CONTAINER, {"metric_name": "mem"})
    assert ("mem", "current") == (querier.metric_name, querier.value_type)


def test_dataclasses_serve_as_well() -> None:
    """The field has the default as a note, and the class applies it."""
    (field,) = _spec(Rack).fields

    assert ("rack_id", False, None, "r1") == (field.name, field.required, field.default, field.note)


class Mode(str, enum.Enum):  # noqa: UP042 - as it was written before StrEnum
    """An enumeration of text."""

    A = "a"
    B = "b"


KelvinId = NewType("KelvinId", int)

OuterId = NewType("OuterId", KelvinId)


@attrs.frozen(kw_only=True)
class Choosing(Known):
    """Choices, and types with names of their own."""

    mode: Mode = Mode.B
    level: Level = Level.HIGH
    maybe: Literal["x", None] = None  # noqa: PYI061 - as people write it
    truth: Literal[1, True, "one"] = True
    nested: Literal["y", None] | None = "y"  # noqa: PYI061 - as people write it
    unlisted: str = Mode.A
    first: Mode
    kelvin: KelvinId
    outer: OuterId | None = None


def test_the_default_of_a_choice_is_shown_as_it_is_typed() -> None:
    """It is the value of an enumeration's member; None is not a choice."""
    fields = {field.name: field for field in _spec(Choosing).fields}

    assert {
        "mode": "b",
        "level": "2",
        "maybe": None,
        "truth": "True",
        "nested": "y",
        "unlisted": "a",
        "first": "a",
        "kelvin": None,
        "outer": None,
    } == {name: field.note for name, field in fields.items()}
    assert {"maybe": ["x"], "nested": ["y"], "truth": ["1", "True", "one"]} == {
        name: list(fields[name].choices) for name in ("maybe", "nested", "truth")
    }
    assert "a" == fields["first"].default


def test_a_new_type_is_its_supertype() -> None:
    """A `NewType` of a number takes numbers."""
    fields = {field.name: field for field in _spec(Choosing).fields}
    assert (FieldType.INTEGER, FieldType.INTEGER) == (fields["kelvin"].type, fields["outer"].type)
    assert 5 == fields["outer"].read(5)


class Same(enum.Enum):
    """Choices that are the same text."""

    NUMBER = 1
    TEXT = "1"


@pytest.mark.parametrize("hint", [Literal[1, "1"], Same, Literal[True, "True"] | None])
def test_choices_that_are_the_same_text_are_the_plugins_fault(hint: Any) -> None:
    """Users could not tell them apart; the error names the field."""
    querier = type("One", (Known,), {"__annotations__": {"level": hint}, "level": attrs.field(kw_only=True)})
    with pytest.raises(PluginError, match=r"One cannot be read: .*level has two choices that are '(1|True)' as text"):
        read_fields(attrs.frozen(querier))


def test_fields_that_cannot_be_read_are_the_plugins_fault() -> None:
    """The error names the class and the cause."""
    with pytest.raises(PluginError, match=r"Unreadable cannot be read: NameError: name 'NoSuchType' is not defined"):
        read_fields(Unreadable)


_VALUES: Mapping[FieldType, tuple[str, st.SearchStrategy[object]]] = {
    FieldType.TEXT: ("metric_name", st.text(max_size=5)),
    FieldType.TRUTH: ("strict", st.booleans()),
    FieldType.INTEGER: ("step", st.integers()),
    FieldType.NUMBER: ("share", st.floats()),
    FieldType.UUID: ("node_id", st.uuids()),
    FieldType.CHOICE: ("level", st.sampled_from(["1", "2"])),
}


@given(data=st.data())
def test_a_value_of_another_type_is_refused(data: st.DataObject) -> None:
    """No value is converted: a truth value is not a number, and a number is not text."""
    type_, (name, _) = data.draw(st.sampled_from(sorted(_VALUES.items())))
    others = [values for other, (_, values) in _VALUES.items() if other not in {type_, FieldType.CHOICE, FieldType.UUID}]
    value = data.draw(st.one_of(*others, st.just([]), st.just({})))
    if type_ is FieldType.NUMBER and isinstance(value, int):
        value = bool(value)
    field = next(field for field in _spec(Node).fields if field.name == name)

    with pytest.raises(InputError, match=rf"{name} must be (of type|one of)|not an id"):
        field.read(value)


COUNTING = '''
import abc, inspect
from statcore.plugins import hookimpl
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier

STATCORE_PLUGIN_API = 1
READINGS = []

class CountsReadings(abc.ABCMeta):
    @property
    def __signature__(cls):
        READINGS.append(cls.__name__)
        parameter = inspect.Parameter("rack_id", inspect.Parameter.KEYWORD_ONLY, default="r1", annotation=str)
        return inspect.Signature([parameter])

class RackQuerier(UtilizationMetricQuerier, metaclass=CountsReadings):
    """Racks."""
    def __init__(self, *, rack_id="r1"): self.rack_id = rack_id
    def name(self): return "rack_power"
    def labels(self): return {"rack_id": self.rack_id}
    def group_by_labels(self): return []
    def query_strategy(self): return QueryStrategy.GAUGE

@hookimpl
def statcore_queriers(): return [RackQuerier]
'''


@pytest.mark.parametrize("command", [["promql", "rack", "--rack-id", "r2"], ["promql", "rack", "--help"], ["plugins"]])
def test_a_class_is_read_once_for_a_command(install: Callable[..., Path], command: list[str]) -> None:
    """Its fields are kept on the spec: options, help, trial and the querier itself take them from there."""
    install("acme-racks", racks=COUNTING)
    import acme_racks_racks  # type: ignore[import-not-found]  # noqa: PLC0415 - the plugin just installed

    result = CliRunner().invoke(cli, command)

    assert 0 == result.exit_code, result.output
    assert ["RackQuerier"] == acme_racks_racks.READINGS


@attrs.frozen(kw_only=True)
class PodMetricQuerier(ContainerMetricQuerier):
    """Pods, whose ids are of a type that this module does not import."""

    pod: str | None = None


def test_fields_that_are_inherited_from_another_module_are_read() -> None:
    """The types in their annotations need not be imported by the module of the class."""
    fields = {field.name: field.type for field in QuerierSpec.of(PodMetricQuerier).fields}
    assert (FieldType.UUID, FieldType.CHOICE, FieldType.TEXT) == (fields["kernel_id"], fields["value_type"], fields["pod"])
