"""Options from the fields of querier classes."""

from __future__ import annotations

import inspect
from typing import Any

import click
import pytest

from statcore.errors import PluginError
from statcore.plugins import PluginRegistry, QuerierSpec
from statcore.testing.queriers import FixedQuerier
from statcore_cli.querier_commands import QuerierOptions


@pytest.fixture
def node(fake: Any) -> QuerierSpec:
    """A kind of querier with a field of every type."""
    del fake
    return PluginRegistry.discover().queriers["node"]


def test_types_are_those_of_the_fields(node: QuerierSpec) -> None:
    """So that a bad value is refused by the option, and completion knows the choices."""
    params = {param.opts[0]: param.type for param in QuerierOptions(node, []).params()}

    kinds = {
        "--metric-name": click.STRING,
        "--node-id": click.UUID,
        "--step": click.INT,
        "--strict": click.BOOL,
        "--share": click.FLOAT,
    }
    assert kinds == {flag: params[flag] for flag in kinds}
    assert {"--value-type": ("current", "capacity"), "--level": ("low", "high")} == {
        flag: tuple(kind.choices) for flag, kind in params.items() if isinstance(kind, click.Choice)
    }


def test_a_field_named_like_an_option_gets_the_kind_in_front(node: QuerierSpec) -> None:
    """A plugin may not know which options there will be."""
    options = QuerierOptions(node, ["--step", "--rack"])

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


def spec_with(*names: str) -> QuerierSpec:
    """Return a kind of querier with these fields."""
    fields = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=1) for name in names]
    made = type("Made", (FixedQuerier,), {"__signature__": inspect.Signature(fields)})
    return QuerierSpec(name="rack", summary="racks", querier=made)


def flags_of(spec: QuerierSpec, *taken: str) -> list[str]:
    """Return the flags of the fields."""
    return [param.opts[0] for param in QuerierOptions(spec, taken).params()]


def test_help_stays_help() -> None:
    """Though no command says that it has that option."""
    assert ["--rack-help", "--class"] == flags_of(spec_with("help", "class_"))


@pytest.mark.parametrize(
    ("names", "taken", "said"),
    [
        (("step", "rack_step"), ["--step"], "step and rack_step of rack would both be the option --rack-step"),
        (("class_", "class__"), [], "class_ and class__ of rack would both be the option --class"),
        (("step", "a"), ["--step", "--rack-step"], "step of rack would be --rack-step, which the command has"),
        (("_", "a"), [], "_ of rack would be --, which the command has"),
    ],
)
def test_fields_that_are_the_same_option_are_the_plugins_fault(names: tuple[str, ...], taken: list[str], said: str) -> None:
    """They are named, rather than one of them silently lost."""
    with pytest.raises(PluginError, match=said) as raised:
        flags_of(spec_with(*names), *taken)
    assert "rack" == raised.value.plugin


def test_fields_that_could_be_the_same_option_are_not_in_another_command() -> None:
    """What is not taken needs no kind in front."""
    assert ["--step", "--rack-step"] == flags_of(spec_with("step", "rack_step"), "--other")


def test_values_of_parameters_reach_the_constructor(node: QuerierSpec) -> None:
    """What was not given is left out, so that the class's own defaults apply."""
    values: dict[str, Any] = {f"querier_{field.name}": None for field in node.fields}

    querier: Any = QuerierOptions(node, []).build(
        values | {"querier_metric_name": "m", "querier_level": "high", "querier_strict": True}
    )

    assert ("m", "HIGH", True, "current", 1) == (
        querier.metric_name,
        querier.level.name,
        querier.strict,
        querier.value_type,
        querier.step,
    )
