"""Options from the fields of querier classes."""

from __future__ import annotations

from typing import Any

import click
import pytest

from statcore.errors import InputError, PluginError
from statcore.plugins import PluginRegistry, QuerierSpec
from statcore_cli.fields import querier_fields
from statcore_cli.querier_commands import QuerierOptions


@pytest.fixture
def specs(fake: Any) -> dict[str, QuerierSpec]:
    """The kinds of querier that are installed."""
    del fake
    return dict(PluginRegistry.discover().queriers)


def test_types_defaults_and_help_come_from_the_class(specs: dict[str, QuerierSpec]) -> None:
    """Optional, UUID, Literal, Enum, numbers and truth values are read; other unions are text."""
    fields = {field.name: field for field in querier_fields(specs["node"])}

    assert ["metric_name", "node_id", "rack", "value_type", "level", "step", "strict", "share"] == list(fields)
    assert ["metric_name"] == [name for name, field in fields.items() if field.required]
    kinds = {"node_id": click.UUID, "rack": click.STRING, "step": click.INT, "strict": click.BOOL, "share": click.FLOAT}
    assert kinds == {name: fields[name].kind for name in kinds}
    assert {"value_type": ("current", "capacity"), "level": ("low", "high")} == {
        name: tuple(field.kind.choices) for name, field in fields.items() if isinstance(field.kind, click.Choice)
    }
    assert {"value_type": "current", "step": "1", "strict": "False"} == {
        name: field.note for name, field in fields.items() if field.note
    }
    assert "what is measured, in more than one line." == fields["metric_name"].help
    assert "which one." == fields["node_id"].help == fields["rack"].help
    assert "not the step of a range." == fields["step"].help
    assert "" == fields["level"].help


def test_a_required_choice_defaults_to_its_first(specs: dict[str, QuerierSpec]) -> None:
    """So `query container --metric-name mem` is enough, though the class itself insists on a value type."""
    fields = {field.name: field for field in querier_fields(specs["container"])}

    assert (False, "current", "current") == (
        fields["value_type"].required,
        fields["value_type"].default,
        fields["value_type"].note,
    )


def test_dataclasses_serve_as_well(specs: dict[str, QuerierSpec]) -> None:
    """A default of theirs is left to them."""
    (field,) = querier_fields(specs["rack"])

    assert ("rack_id", False, None, "r1") == (field.name, field.required, field.default, field.note)


def test_fields_that_cannot_be_read_are_the_plugins_fault(specs: dict[str, QuerierSpec]) -> None:
    """The error names class and cause."""
    with pytest.raises(PluginError, match=r"Unreadable cannot be read: NameError: name 'NoSuchType' is not defined"):
        querier_fields(specs["unreadable"])


def test_a_field_named_like_an_option_gets_the_kind_in_front(specs: dict[str, QuerierSpec]) -> None:
    """A plugin may not know which options there will be."""
    options = QuerierOptions(specs["node"], ["--step", "--rack"])

    flags = [param.opts[0] for param in options.params()]

    assert [
        "--metric-name",
        "--node-id",
        "--node-rack",
        "--value-type",
        "--level",
        "--node-step",
        "--strict",
        "--share",
    ] == flags
    assert "node --metric-name METRIC_NAME" == options.usage()


def test_values_reach_the_constructor_as_it_wants_them(specs: dict[str, QuerierSpec]) -> None:
    """What was not given is left out, so that the class's own defaults apply."""
    options = QuerierOptions(specs["node"], [])
    values: dict[str, Any] = {f"querier_{field.name}": None for field in querier_fields(specs["node"])}

    querier: Any = options.build(values | {"querier_metric_name": "m", "querier_level": "high", "querier_strict": True})

    assert ("m", "HIGH", True, "current", 1) == (
        querier.metric_name,
        querier.level.name,
        querier.strict,
        querier.value_type,
        querier.step,
    )


def test_a_class_that_crashes_is_named(specs: dict[str, QuerierSpec]) -> None:
    """Errors of ours pass, all others become one."""
    node, container = QuerierOptions(specs["node"], []), QuerierOptions(specs["container"], [])
    nothing: dict[str, Any] = {
        f"querier_{field.name}": None for spec in (specs["node"], specs["container"]) for field in querier_fields(spec)
    }

    with pytest.raises(PluginError, match="Node failed: KeyError: 'crash'"):
        node.build(nothing | {"querier_metric_name": "crash"})
    with pytest.raises(InputError, match="metric_name is empty"):
        container.build(nothing | {"querier_metric_name": "", "querier_value_type": "current"})
