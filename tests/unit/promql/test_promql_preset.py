"""Presets: what users may fill in, and the arguments that are refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from statcore.errors import InputError
from statcore.promql.templates import MAX_WINDOW, Preset, Template
from statcore.queriers.coalescing import MAX_VALUES

TEMPLATE = "sum by (${{ group_by }})(rate(x_total{${{ labels }}}[${{ window }}]))"
BUSY = Preset(
    name="busy",
    description="Work done, in pieces a second",
    template=TEMPLATE,
    filter_labels=["kernel_id", "agent_id"],
    group_labels=["agent_id"],
)
FIELDS: dict[str, Any] = {"name": "a", "description": "d", "template": "up"}


def test_a_preset_is_filled_in() -> None:
    """A single value is an exact match, several are alternatives; the default window is the preset's."""
    assert "sum by ()(rate(x_total{}[5m]))" == BUSY.promql()
    text = BUSY.promql(labels={"kernel_id": ["b", "a"], "agent_id": "x"}, group_labels=["agent_id"], window="1h")
    assert 'sum by (agent_id)(rate(x_total{kernel_id=~"a|b",agent_id="x"}[1h]))' == text
    assert 'x_total{kernel_id="b"}' in BUSY.promql(labels={"kernel_id": ["b"]})
    assert 'x_total{kernel_id=""}' in BUSY.promql(labels={"kernel_id": ""})


def test_a_name_is_any_line_of_text() -> None:
    """It may be the title of a chart; the default window is 5m."""
    preset = Preset(**{**FIELDS, "name": "Busy kernels (µs)"})
    assert ("Busy kernels (µs)", "5m", None) == (preset.name, preset.window, preset.default_window)


def test_a_text_is_a_template_and_lists_are_tuples() -> None:
    """Presets are equal, however their arguments are written."""
    same = Preset(
        name="busy",
        description="Work done, in pieces a second",
        template=Template(TEMPLATE),
        filter_labels=("kernel_id", "agent_id"),
        group_labels=("agent_id",),
        window=timedelta(minutes=5),
    )
    assert 1 == len({BUSY, same})


@pytest.mark.parametrize(
    ("filled_in", "message"),
    [
        ({"labels": {"user_id": "x"}}, "the preset busy cannot be filtered by 'user_id'; only by kernel_id, agent_id"),
        ({"group_labels": ["kernel_id"]}, "the preset busy cannot be grouped by 'kernel_id'; only by agent_id"),
        ({"group_labels": "agent_id"}, "group_labels must be a list of label names, not 'agent_id'"),
        ({"labels": {"kernel_id": 5}}, "the label kernel_id must be text or a list of texts, not int"),
        ({"labels": {"kernel_id": {"a": "b"}}}, "the label kernel_id must be text or a list of texts"),
        ({"labels": {"kernel_id": [["a"]]}}, "a label value must be text, not list"),
        ({"labels": {"kernel_id": []}}, "the label kernel_id has 0 values; from 1 to 256 are allowed"),
        ({"labels": {"kernel_id": ["a"] * (MAX_VALUES + 1)}}, "the label kernel_id has 257 values"),
        ({"labels": {"kernel_id": "\ud800"}}, "lone surrogate"),
        ({"labels": {"kernel_id": "x" * 1025}}, "a value of the label kernel_id is longer than 1024 characters"),
        ({"labels": {"kernel_id": ["a", "x" * 1025]}}, "a value of the label kernel_id is longer than 1024 characters"),
        ({"group_labels": [["agent_id"]]}, "group_labels must be a list of label names, not [['agent_id']]"),
        ({"group_labels": None}, "group_labels must be a list of label names, not None"),
        ({"window": "often"}, "window: not a duration: 'often'"),
        ({"window": "8d"}, "window: 8d is longer than 1w"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(filled_in: dict[str, Any], message: str) -> None:
    """The error names what is allowed."""
    with pytest.raises(InputError) as raised:
        BUSY.promql(**filled_in)
    assert message in str(raised.value)


def test_the_longest_window_and_the_most_values_are_allowed() -> None:
    """The limits are inclusive."""
    assert "[1w]" in BUSY.promql(window=MAX_WINDOW)
    assert f"v{MAX_VALUES - 1}" in BUSY.promql(labels={"kernel_id": [f"v{number}" for number in range(MAX_VALUES)]})


def test_a_value_without_a_placeholder_is_refused() -> None:
    """It is never silently left out."""
    plain = Preset(**FIELDS)
    assert "up" == plain.promql()
    for filled_in, message in (
        ({"labels": {"a": "b"}}, "cannot be filtered by 'a'; by nothing"),
        ({"group_labels": ["a"]}, "cannot be grouped by 'a'; by nothing"),
        ({"window": "1h"}, "the preset a has no window"),
    ):
        with pytest.raises(InputError, match=message):
            plain.promql(**filled_in)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "busy\nkernels"}, "name must be text on one line"),
        ({"name": None}, "name must be text on one line"),
        ({"window": "5m"}, "window is 5m, but the template has no ${{ window }}"),
        ({"template": 'x{${{ labels }},a="b"}', "filter_labels": ["a"]}, "filter_labels must not hold a, to which the"),
        ({"description": ""}, "description must be text"),
        ({"description": "two\nlines"}, "description must be text on one line without control characters"),
        ({"template": "sum("}, "the template is not PromQL"),
        ({"template": 5}, "a template must be text, not int"),
        ({"filter_labels": "kernel_id"}, "filter_labels must be a list of label names, not 'kernel_id'"),
        ({"group_labels": None}, "group_labels must be a list of label names, not None"),
        ({"filter_labels": ['a"']}, "filter_labels: a label name must not hold quotes"),
        ({"group_labels": [5]}, "group_labels: a label name must be text, not int"),
        ({"filter_labels": ["a"]}, "filter_labels are a, but the template has no ${{ labels }}"),
        ({"group_labels": ["a", "b"]}, "group_labels are a, b, but the template has no ${{ group_by }}"),
        ({"template": TEMPLATE, "filter_labels": ["__name__"]}, "filter_labels must not hold __name__"),
        ({"window": "0s"}, "window: duration out of range"),
        ({"window": "1y"}, "window: 1y is longer than 1w"),
    ],
)
def test_a_bad_argument_is_refused_when_a_preset_is_built(fields: dict[str, Any], message: str) -> None:
    """The error names the field."""
    with pytest.raises(InputError) as raised:
        Preset(**{**FIELDS, **fields})
    assert message in str(raised.value)
