"""The specs that hooks return: a class describes itself, and a spec refuses arguments that it cannot use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.unit.plugins.known_queriers import Known, RackMetricQuerier
from tests.unit.plugins.plugin_modules import HEAD, report_of

from statcore.errors import InputError
from statcore.plugins import MetricBackendSpec, PluginRegistry, PluginStatus, QuerierSpec, StatisticsStoreSpec
from statcore.queriers import ContainerMetricQuerier


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NodeMetricQuerier", "node"),
        ("AgentDeviceMetricQuerier", "agent-device"),
        ("ProcessQuerier", "process"),
        ("VLLMMetricQuerier", "vllm"),
        ("GPUMemoryQuerier", "gpu-memory"),
        ("Rack", "rack"),
        ("Rack2MetricQuerier", "rack2"),
        ("H100MetricQuerier", "h100"),
        ("GPU2MemoryQuerier", "gpu2-memory"),
        ("XRayQuerier", "x-ray"),
    ],
)
def test_the_name_is_that_of_the_class(name: str, expected: str) -> None:
    """It is in lower case, its words are joined by hyphens, and `MetricQuerier` is left out."""
    assert expected == QuerierSpec.of(type(name, (Known,), {"__doc__": "D."})).name


def test_the_summary_is_the_first_line_of_the_docstring() -> None:
    """The class itself has the docstring; the full stop is left out."""
    spec = QuerierSpec.of(RackMetricQuerier)
    assert ("rack", "Racks, by row", RackMetricQuerier) == (spec.name, spec.summary, spec.querier)


@dataclass(kw_only=True)
class Undocumented(Known):  # noqa: D101 - that is the point
    rack: str = "r1"


@dataclass(kw_only=True, slots=True, frozen=True)
class WithSlots(Known):  # noqa: D101 - that is the point
    rack: str = "r1"
    room: list[str] = field(default_factory=list)


@attrs.frozen(kw_only=True)
class OfAttrs(Known):  # noqa: D101 - that is the point
    rack: str = "r1"


@pytest.mark.parametrize(
    "querier",
    [
        Undocumented,
        WithSlots,
        OfAttrs,
        dataclass(type("BareQuerier", (Known,), {})),
        type("NodeQuerier", (Known,), {}),
        type("NodeQuerier", (Known,), {"__doc__": 5}),
        type("NodeQuerier", (Known,), {"__doc__": " "}),
        type("Querier", (Known,), {"__doc__": "D"}),
    ],
)
def test_a_class_without_docstring_or_name_is_refused(querier: type[Known]) -> None:
    """An inherited docstring and the signature that `dataclass` writes do not count; the name must not be empty."""
    with pytest.raises(InputError, match=r"needs a docstring|name must be"):
        QuerierSpec.of(querier)


@pytest.mark.parametrize("decorate", [dataclass, attrs.frozen, lambda querier: querier])
@pytest.mark.parametrize("text", ["RackQuerier(s) of a room.", "RackQuerier", "RackQuerier(rows)"])
def test_a_docstring_that_begins_with_the_name_is_one(decorate: Callable[[type], type[Known]], text: str) -> None:
    """Only the signature that `dataclass` writes does not count."""
    assert text.rstrip(".") == QuerierSpec.of(decorate(type("RackQuerier", (Known,), {"__doc__": text}))).summary
    assert "RackQuerier()" == QuerierSpec.of(type("RackQuerier", (Known,), {"__doc__": "RackQuerier()"})).summary


@pytest.mark.parametrize("name", ["ÜberMetricQuerier", "RäckQuerier", "ラックQuerier"])
def test_a_name_that_could_not_be_typed_is_refused(name: str) -> None:
    """Only ASCII can be typed everywhere."""
    with pytest.raises(InputError, match=f"{name} must be ASCII"):
        QuerierSpec.of(type(name, (Known,), {"__doc__": "D."}))


@pytest.mark.parametrize("character", ["\t", "\x1b", "\x7f", "\x9b", "\n", "\u2028", "\ud800"])
def test_a_summary_is_one_line_without_control_characters(character: str) -> None:
    """This holds for a class and for each spec; any script and its spaces are allowed."""
    summary = f"Racks{character}and rows"
    with pytest.raises(InputError, match="summary must be"):
        QuerierSpec(name="rack", summary=summary, querier=Known)
    with pytest.raises(InputError, match="summary must be"):
        StatisticsStoreSpec(name="rack", summary=summary, schemes=("rack",), open=open_nothing)
    with pytest.raises(InputError, match="summary must be"):
        MetricBackendSpec(name="rack", summary=summary, schemes=("rack",), open=open_nothing)
    if character not in "\n\ud800":  # which ends the summary, and what no docstring can hold
        with pytest.raises(InputError, match="summary must be"):
            QuerierSpec.of(type("RackQuerier", (Known,), {"__doc__": summary}))
    assert "ラック\u3000🗄" == QuerierSpec(name="rack", summary="ラック\u3000🗄", querier=Known).summary


async def open_nothing(url: str, options: Mapping[str, object]) -> Any:
    """Open nothing."""
    raise LookupError(url, options)


def test_a_hook_returns_the_class_alone(install: Callable[..., Path]) -> None:
    """A class without a docstring breaks its plugin."""
    source = f"""{HEAD}
class %sMetricQuerier(ContainerMetricQuerier):
    {{doc}}
@hookimpl
def statcore_queriers():
    return [%sMetricQuerier]
"""
    install("acme-good", good=(source % ("Rack", "Rack")).replace("{doc}", '"""Racks."""'))
    install("acme-bad", bad=(source % ("Row", "Row")).replace("{doc}", "pass"))

    registry = PluginRegistry.discover()

    assert "Racks" == registry.querier("rack").summary
    assert ("querier rack",) == report_of(registry, "good").offers
    bad = report_of(registry, "bad")
    assert (PluginStatus.BROKEN, True) == (bad.status, "RowMetricQuerier needs a docstring" in (bad.error or ""))


def spec(**arguments: Any) -> MetricBackendSpec:
    """Return a spec."""
    return MetricBackendSpec(name="acme", summary="s", schemes=("acme",), open=open_nothing, **arguments)


def test_a_backend_has_no_differences_by_default() -> None:
    """The differences of a spec do not change afterwards."""
    assert {} == dict(spec().differences)
    given = {"values_are_exact": "They are rounded."}
    differing = spec(differences=given)
    given.clear()
    assert {"values_are_exact": "They are rounded."} == dict(differing.differences)
    with pytest.raises(TypeError):
        differing.differences["ping_returns"] = "It does not."  # type: ignore[index]
    assert hash(spec()) == hash(differing)


@pytest.mark.parametrize(
    "differences", [None, "all", ["values_are_exact"], {"": "x"}, {"values_are_exact": ""}, {"a": None}, {1: "x"}]
)
def test_differences_without_an_explanation_are_refused(differences: Any) -> None:
    """The constructor raises."""
    with pytest.raises(InputError, match=r"^differences must "):
        spec(differences=differences)


def test_an_example_is_fields_by_name() -> None:
    """The constructor refuses anything else."""
    example: Any = "r1"
    with pytest.raises(InputError, match="example must be a mapping, not str"):
        attrs.evolve(QuerierSpec.of(ContainerMetricQuerier), example=example)


@pytest.mark.parametrize("units", [None, ["bytes"], {"mem": 1}, {1: "bytes"}])
def test_units_are_texts_by_metric(units: Any) -> None:
    """The error names the argument."""
    with pytest.raises(InputError, match="units must"):
        attrs.evolve(QuerierSpec.of(RackMetricQuerier), units=units)
