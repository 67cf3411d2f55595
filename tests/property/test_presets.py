"""Values that fill a template stay in their places, and placeholders stand only in their places.

The oracle is promql-parser: the tree of what a template becomes is that of the template, with these values in the places
of its placeholders, and all else as it is. What a real server makes of it is tested in test_presets_real_server.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import promql_parser
import pytest
from hypothesis import assume, event, example, given
from hypothesis import strategies as st
from tests.support.promql_expressions import is_grouped_by_the_parser
from tests.support.promql_templates import GROUP, MATCHER, VALID, WINDOW, count, filled, places, read

from statcore.errors import InputError
from statcore.promql.templates import Preset, Template
from statcore.queriers import LabelMatcher
from statcore.testing.strategies import durations, label_matchers, label_names, label_values

PIECES: Final = (
    *('"', "'", "`", "\\", "{", "}", "(", ")", "[", "]", ",", ":", "#", "\n", "\t", " ", "=", "=~", '"}', "\\n", "0", "é"),
    *("up", "a", "x_total", "sum", "rate(", "max_over_time(", "sum by (", " by (", "without (", "on (", "ignoring ("),
    *("group_left (", " offset ", " or ", " + ", " @ ", "1h", "5m", ":1m", 'a="b"', ",a", '="', "label_join(up,"),
    *("${{ labels }}", "${{ window }}", "${{ group_by }}", "${{labels}}", "${{ other }}", "${{", "}}", "$"),
    *(" inf", "nan", "1e30", "300000000y", "{99}", "^", "-"),
    *("\x00", "\r", "\u2028", "\ufffd", "\ud800", "🦀"),
)
pieces: Final = st.sampled_from(PIECES)
hostile: Final = st.lists(pieces, min_size=1, max_size=6).map("".join) | st.text(min_size=1, max_size=10)
valid: Final = st.sampled_from(VALID)
PARTS: Final = {"labels": MATCHER, "window": WINDOW, "group_by": GROUP}


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Return a template in which one or two stretches are something else."""
    text = draw(valid)
    for _ in range(draw(st.integers(1, 2))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.just(start) | st.integers(start, min(len(text), start + 15)))
        text = text[:start] + draw(st.lists(pieces, max_size=2).map("".join)) + text[end:]
    return text


def rendered(
    template: Template, labels: Mapping[str, str | LabelMatcher], window: timedelta | str, group_by: Sequence[str]
) -> str | None:
    """Return what a template becomes with the values that it has places for, or None where one is refused."""
    try:
        labels = labels if "labels" in template.placeholders else {}
        group_by = group_by if "group_by" in template.placeholders else []
        return template.render(labels, window=window, group_by=group_by)
    except InputError:
        return None


def assert_in_place(
    template: Template, labels: Mapping[str, str | LabelMatcher], window: timedelta | str, group_by: Sequence[str]
) -> None:
    """Fail where a value is neither refused nor in the places of its placeholder, or anything else has changed."""
    text = rendered(template, labels, window, group_by)
    assert text is None or filled(places(template), labels, window, group_by) == read(text)


sound_labels: Final = st.dictionaries(label_names(), label_values() | label_matchers(), max_size=3)
sound_groups: Final = st.lists(label_names().filter(is_grouped_by_the_parser), max_size=3)


@pytest.mark.parametrize("text", VALID)
def test_a_template_with_its_placeholders_where_they_may_be_is_taken(text: str) -> None:
    """Each of them is found once for every time that it is written, so that the other tests are about something."""
    template = Template(text)
    written = {name: text.replace(" ", "").count("${{" + name + "}}") for name in PARTS}
    assert written == {name: count(places(template), part) for name, part in PARTS.items()}
    assert template.placeholders == {name for name, number in written.items() if number}


@given(valid, sound_labels, durations(), sound_groups)
def test_sound_values_are_put_where_they_belong(
    text: str, labels: dict[str, str | LabelMatcher], window: timedelta | str, group_by: list[str]
) -> None:
    """All kinds of matchers among them; none of these is refused."""
    template = Template(text)
    assert rendered(template, labels, window, group_by) is not None
    assert_in_place(template, labels, window, group_by)


@given(valid, st.dictionaries(hostile, hostile, min_size=1, max_size=2))
@example("up{${{ labels }}}", {"a": '"} or vector(1) #'})
@example("up{${{ labels }}}", {'a="b"} or vector(1) #': "x"})
@example("up{${{ labels }}}", {"__name__": "down"})
@example("up{${{ labels }}}", {"a": "\\"})
def test_labels_to_filter_by(text: str, labels: dict[str, str]) -> None:
    """Names and values of any text are matchers, or refused."""
    assert_in_place(Template(text), labels, "5m", [])


@given(valid, st.lists(hostile, min_size=1, max_size=4))
@example("up{${{ labels }}}", ["a|b", ".*", '"'])
def test_labels_that_have_any_of_several_values(text: str, values: list[str]) -> None:
    """The alternatives are one matcher; what it means is tested with `one_of`."""
    try:
        matcher = LabelMatcher.one_of(values)
    except InputError:
        return
    assert_in_place(Template(text), {"a": matcher}, "5m", [])


@given(valid, st.lists(hostile.filter(is_grouped_by_the_parser), min_size=1, max_size=3))
@example("sum by (${{ group_by }})(up)", ["a) (up) or sum by (a"])
@example("sum by (${{ group_by }})(up)", ["a,b"])
def test_labels_to_group_by(text: str, group_by: list[str]) -> None:
    """Names of any text are kept labels, or refused."""
    assert_in_place(Template(text), {}, "5m", group_by)


@given(valid, hostile)
@example("rate(up[${{ window }}])", "5m]) or rate(up[5m")
@example("rate(up[${{ window }}])", "5m:1m")
@example("rate(up[${{ window }}])", "5m] offset 1h")
def test_a_window(text: str, window: str) -> None:
    """Any text is the duration, or refused."""
    assert_in_place(Template(text), {}, window, [])


@given(
    damaged() | st.lists(pieces, max_size=12).map("".join),
    st.dictionaries(label_names(), hostile | label_values(), max_size=2),
    durations(),
    sound_groups,
)
@example('up{a="${{ labels }}"}', {"a": "b"}, "5m", [])
@example("up{a=' ${{ labels }} '}", {"a": "b"}, "5m", [])
@example("up # ${{ labels }}", {"a": "b"}, "5m", [])
@example("up{b${{ labels }}}", {"a": "b"}, "5m", [])
@example("rate(up[1h${{ window }}])", {}, "5m", [])
@example("rate(up[0${{ window }}])", {}, "5m", [])
@example("rate(up[0w${{ window }}])", {}, "1w", [])
@example("up offset ${{ window }}", {}, "5m", [])
@example('sum by (" ${{ group_by }} ")(up)', {}, "5m", ["a", "b"])
@example('sum by ("${{ group_by }}")(up)', {}, "5m", ["a", "b"])
@example("sum by (a${{ group_by }})(up)", {}, "5m", ["b"])
@example("sum without (${{ group_by }})(up)", {}, "5m", ["b"])
@example("up + on (${{ group_by }}) up", {}, "5m", ["b"])
@example('up{a="b" or ${{ labels }}}', {"a": "b"}, "5m", [])
@example("up # ${{ labels }}\n+ up{${{ labels }}}", {"a": "b"}, "5m", [])
@example('up{${{ labels }},a="b"}', {"a": "b"}, "5m", [])
@example("sum by (${{ group_by }},a)(up)", {}, "5m", ["b"])
@example("{${{ labels }}}", {"a": "b"}, "5m", [])
def test_an_accepted_template_has_its_placeholders_in_their_places(
    text: str, labels: dict[str, str], window: timedelta | str, group_by: list[str]
) -> None:
    """An accepted template can be filled with any values, and with none."""
    try:
        template = Template(text)
    except InputError:
        event("refused")
        return
    event(f"accepted with {len(template.placeholders)} placeholders")
    tree = places(template)
    for name, part in PARTS.items():
        assert text.replace(" ", "").count("${{" + name + "}}") == count(tree, part), name
    assert_in_place(template, labels, window, group_by)
    assert_in_place(template, {}, "5m", [])
    assert "${{" not in template.render(window="5m")


def plain(text: str) -> str:
    """Return a text with values in place of placeholders, and without what no template may hold."""
    for name, value in (("labels", 'b="c"'), ("window", "5m"), ("group_by", "b")):
        text = re.sub(rf"\$\{{\{{ *{name} *\}}\}}", value, text)
    return re.sub("[\x00\r\u2028\ufffd\ud800$]", "", text)


@given((damaged() | valid).map(plain))
def test_without_placeholders_it_is_taken_where_it_parses(text: str) -> None:
    """Only a text that means nothing, or no value, is refused then."""
    try:
        tree: Any = promql_parser.parse(text)
    except ValueError:
        with pytest.raises(InputError, match="the template is not PromQL"):
            Template(text)
        return
    while isinstance(tree, promql_parser.ParenExpr):
        tree = tree.expr
    if isinstance(tree, promql_parser.MatrixSelector | promql_parser.SubqueryExpr | promql_parser.StringLiteral):
        with pytest.raises(InputError, match="no value at a point in time"):
            Template(text)
    else:
        assert read(text) == read(Template(text).render(window="5m"))


@given(
    st.lists(label_names(), max_size=3),
    st.lists(label_names(), max_size=3),
    st.dictionaries(label_names() | hostile, hostile | st.lists(hostile, max_size=3), max_size=3),
    st.lists(label_names() | hostile, max_size=3),
    st.none() | durations() | hostile,
)
def test_a_preset_asks_for_what_it_allows_and_nothing_else(
    filter_labels: list[str],
    group_labels: list[str],
    labels: dict[str, Any],
    group_by: list[str],
    window: timedelta | str | None,
) -> None:
    """A filled-in preset has only labels that are allowed, or is refused as a whole."""
    template = Template(VALID[2])
    preset = Preset(
        name="p", description="d", template=template, filter_labels=filter_labels, group_labels=group_labels, window="7m"
    )
    assume(all(map(is_grouped_by_the_parser, group_by)))
    try:
        text = preset.promql(labels=labels, group_labels=group_by, window=window)
    except InputError:
        event("refused")
        return
    event("asked")
    assert set(filter_labels) >= set(labels)
    assert set(group_labels) >= set(group_by)
    matchers = {label: value if isinstance(value, str) else LabelMatcher.one_of(value) for label, value in labels.items()}
    assert filled(places(template), matchers, "7m" if window is None else window, group_by) == read(text)
