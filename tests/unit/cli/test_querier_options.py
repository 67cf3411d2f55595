"""Command-line options from the fields of querier classes."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
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


def test_an_option_has_the_type_of_its_field(node: QuerierSpec) -> None:
    """Click rejects a bad value, and completion knows the choices."""
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
    """A plugin cannot know all options of the commands."""
    options = QuerierOptions(node, ["--step", "--rack"])

    flags = [param.opts[0] for param in options.params()]

    expected = "--metric-name --node-id --node-rack --value-type --level --node-step --strict --share"
    assert expected.split() == flags
    assert "node --metric-name METRIC_NAME" == options.usage()


def spec_with(*names: str) -> QuerierSpec:
    """Return a kind of querier with these fields."""
    fields = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=1) for name in names]
    made = type("Made", (FixedQuerier,), {"__signature__": inspect.Signature(fields)})
    return QuerierSpec(name="rack", summary="racks", querier=made)


def flags_of(spec: QuerierSpec, *taken: str) -> list[str]:
    """Return the flags of the fields."""
    return [param.opts[0] for param in QuerierOptions(spec, taken).params()]


def test_help_is_never_a_fields_option() -> None:
    """No command lists --help among its own options."""
    assert ["--rack-help", "--class"] == flags_of(spec_with("help", "class_"))


@pytest.mark.parametrize(
    ("names", "taken", "message"),
    [
        (("step", "rack_step"), ["--step"], "step and rack_step of rack would both be the option --rack-step"),
        (("class_", "class__"), [], "class_ and class__ of rack would both be the option --class"),
        (("step", "a"), ["--step", "--rack-step"], "step of rack would be --rack-step, which the command has"),
        (("_", "a"), [], "_ of rack would be --, which the command has"),
    ],
)
def test_fields_with_the_same_option_are_a_plugin_error(names: tuple[str, ...], taken: list[str], message: str) -> None:
    """The error names both fields."""
    with pytest.raises(PluginError, match=message) as raised:
        flags_of(spec_with(*names), *taken)
    assert "rack" == raised.value.plugin


def test_a_flag_that_is_not_taken_needs_no_kind_in_front() -> None:
    """The same fields have no conflict in another command."""
    assert ["--step", "--rack-step"] == flags_of(spec_with("step", "rack_step"), "--other")


def test_values_of_parameters_reach_the_constructor(node: QuerierSpec) -> None:
    """An option that is not given leaves the default of the class, whose methods are called once."""
    seen: list[Any] = []
    kind: Any = node.querier

    class Seen(kind):  # type: ignore[misc]  # its class is that of a plugin
        def query_strategy(self) -> Any:
            seen.append(self)
            return super().query_strategy()

    values: dict[str, Any] = {f"querier_{field.name}": None for field in node.fields}

    QuerierOptions(attrs.evolve(node, querier=Seen), []).build(
        values | {"querier_metric_name": "m", "querier_level": "high", "querier_strict": True}
    )

    (querier,) = seen
    found = (querier.metric_name, querier.level.name, querier.strict, querier.value_type, querier.step)
    assert ("m", "HIGH", True, "current", 1) == found
