"""Templates: their text with values filled in, and the texts that are refused."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest
from tests.support.promql_templates import VALID

from statcore.errors import InputError, MissingExtraError
from statcore.promql.parsing import MAX_LENGTH
from statcore.promql.templates import Template
from statcore.queriers import LabelMatcher

BUSY = 'sum by (job,${{ group_by }})(rate(x_total{job="a",${{labels}}}[${{  window }}]))'
LABELS = "${{ labels }} belongs among the matchers of a selector"
WINDOW = "${{ window }} belongs alone in the brackets of a range"
GROUP_BY = "${{ group_by }} belongs among the labels that an aggregation keeps"
PLACEHOLDERS = "is not a placeholder; the placeholders of a template are ${{ labels }}, ${{ window }}, ${{ group_by }}"


def test_values_replace_their_placeholders() -> None:
    """Matchers in order, labels to group by sorted and distinct, the window in Prometheus syntax."""
    labels: dict[str, str | LabelMatcher] = {
        "user_id": 'a"\n',
        "kernel_id": LabelMatcher.one_of(["y", "x.z"]),
        "zone": LabelMatcher.not_equal("b"),
    }

    text = Template(BUSY).render(labels, window=timedelta(minutes=90), group_by=["user_id", "inf", "agent", "user_id"])

    expected = r'job="a",user_id="a\"\n",kernel_id=~"x\\.z|y",zone!="b"'
    assert f'sum by (job,agent,"inf",user_id)(rate(x_total{{{expected}}}[1h30m]))' == text


def test_a_label_that_only_newer_servers_know_is_grouped_by_in_quotes() -> None:
    """A parenthesis in it does not end the list of labels."""
    assert 'sum by (job,"a)")(' in Template(BUSY).render(window="5m", group_by=["a)"])


def test_without_values_the_places_are_empty() -> None:
    """Only the window always has a value."""
    assert 'sum by (job,)(rate(x_total{job="a",}[5m]))' == Template(BUSY).render(window="5m")
    assert "vector(1)" == Template("vector(1)").render(window="5m")


def test_a_fixed_label_cannot_be_filtered_by() -> None:
    """Two values at once would match nothing, and look like an answer; labels with other matchers may be filtered by."""
    template = Template('x{${{ labels }},value_type="current",job=~"a|b"} / on (zone) y{zone="c"}')

    assert {"value_type"} == template.fixed_labels
    with pytest.raises(InputError, match="the label value_type cannot be matched: the template gives it one value"):
        template.render({"value_type": "capacity"}, window="5m")
    assert 'x{job="a",zone="d"' in template.render({"job": "a", "zone": "d"}, window="5m")


@pytest.mark.parametrize("arguments", [{"labels": {"a": "b"}}, {"group_by": ["a"]}])
def test_values_without_a_place_are_refused(arguments: dict[str, Any]) -> None:
    """A filter that vanished would look like one that matches everything."""
    with pytest.raises(InputError, match=r"the template has no \$\{\{ (labels|group_by) \}\}, where a"):
        Template("vector(1)").render(window="5m", **arguments)


def test_templates_are_values() -> None:
    """Templates of the same text are equal, and they can be copied and pickled."""
    one = Template(VALID[2])
    assert one == Template(VALID[2]) != Template("up")
    assert 1 == len({one, copy.deepcopy(one), pickle.loads(pickle.dumps(one))})  # noqa: S301 - our own
    assert one.render(window="5m") == pickle.loads(pickle.dumps(one)).render(window="5m")  # noqa: S301
    assert f"Template(text={VALID[2]!r})" == repr(one)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": {"__name__": "up"}}, "the label __name__ cannot be matched"),
        ({"labels": {'a"': "x"}}, "must not hold quotes"),
        ({"labels": {"a": "\ud800"}}, "holds a lone surrogate"),
        ({"labels": {"a": 5}}, "the label 'a' is matched by text or a LabelMatcher, not by 5"),
        ({"group_by": ["{"]}, "must not hold quotes, backslashes, braces"),
        ({"group_by": "abc"}, "not one text: 'abc'"),
        ({"window": "5m] or up[5m"}, "not a duration"),
        ({"window": "0s"}, "duration out of range"),
    ],
)
def test_a_value_that_is_not_valid_is_refused(arguments: dict[str, Any], message: str) -> None:
    """No value can leave its place in the text."""
    with pytest.raises(InputError, match=message):
        Template(BUSY).render(**{"window": "5m", **arguments})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("up{${{ label }}}", f"'${{{{ label }}}}' {PLACEHOLDERS}"),
        ("up{${{ Labels }}}", f"'${{{{ Labels }}}}' {PLACEHOLDERS}"),
        ("up{${{}}}", f"'${{{{}}}}' {PLACEHOLDERS}"),
        ("up ${{", f"'${{{{' {PLACEHOLDERS}"),
        ("up{${{ labels }", f"'${{{{ labels }}' {PLACEHOLDERS}"),
        ("up{${{\nlabels }}}", f"'${{{{' {PLACEHOLDERS}"),
        ("up{${{ ${{ labels }} }}}", f"'${{{{ ' {PLACEHOLDERS}"),
    ],
)
def test_an_unknown_placeholder_is_refused(text: str, message: str) -> None:
    """The error lists the three placeholders."""
    with pytest.raises(InputError) as raised:
        Template(text)
    assert message == str(raised.value)


@pytest.mark.parametrize(
    ("text", "belongs"),
    [
        ('sum(up{a="${{ labels }}"})', LABELS),
        ("up{a=' ${{ labels }} '}", LABELS),
        ("up{a=` ${{ labels }} `}", LABELS),
        ("up # ${{ labels }}", LABELS),
        ("up # ${{ labels }}\n+ up{${{ labels }}}", LABELS),
        ("up{b${{ labels }}}", LABELS),
        ("up{${{ labels }}b}", LABELS),
        ('{a="b" or ${{ labels }}}', LABELS),
        ('{a="b" or c="d",${{ labels }}}', LABELS),
        ('{a="b",${{ labels }} or c="d"}', LABELS),
        ("sum by (${{ labels }})(up)", LABELS),
        ('label_replace(up, "a", " ${{ labels }} ", "b", "")', LABELS),
        ("rate(up[1h${{ window }}])", WINDOW),
        ("rate(up[0${{ window }}])", WINDOW),
        ("rate(up[${{ window }}s])", WINDOW),
        ("rate(up[5m] offset -${{ window }})", WINDOW),
        ("rate(up[5m] @ ${{ window }})", WINDOW),
        ("max_over_time(up[1h:${{ window }}])", WINDOW),
        ("up{${{ window }}}", WINDOW),
        ("sum by (${{ window }})(up)", WINDOW),
        ("sum by (a${{ group_by }})(up)", GROUP_BY),
        ("sum by (${{ group_by }}a)(up)", GROUP_BY),
        ('sum by ("${{ group_by }}")(up)', GROUP_BY),
        ("sum by (' ${{ group_by }} ')(up)", GROUP_BY),
        ("up + on (${{ group_by }}) up", GROUP_BY),
        ("up + ignoring (${{ group_by }}) up", GROUP_BY),
        ("up + on (a) group_left (${{ group_by }}) up", GROUP_BY),
        ("up + on (a) group_right (b, ${{ group_by }}) up", GROUP_BY),
        ("up{ ${{ group_by }} }", GROUP_BY),
    ],
)
def test_a_placeholder_out_of_its_place_is_refused(text: str, belongs: str) -> None:
    """It stands in a string, in a comment, beside other characters, or with another meaning; the error names its place."""
    with pytest.raises(InputError) as raised:
        Template(text)
    assert belongs in str(raised.value)


@pytest.mark.parametrize("text", ["{${{ labels }}}", '{${{ labels }},a=~".*"}'])
def test_a_template_must_be_promql_without_labels(text: str) -> None:
    """The error says what to write instead."""
    with pytest.raises(InputError, match=r"is not PromQL without labels: .*; give the selector a name or a matcher: "):
        Template(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the template is not PromQL: no expression"),
        ("sum(", "the template is not PromQL: "),
        ("up up", "the template is not PromQL: "),
        ("no_such_function(up)", "the template is not PromQL: unknown function"),
        ("up{{{ labels }}}", "the template is not PromQL: "),
        ('up{a=~"("}', "the template is not PromQL: illegal regex"),
        ("${{ labels }}", "the template is not PromQL: "),
        ("up[5m]", "no value at a point in time"),
        ("(up[${{ window }}])", "no value at a point in time"),
        ("up[${{ window }}:1m]", "no value at a point in time"),
        ('"text"', "no value at a point in time"),
        ("up\x00", r"a template holds '\x00' as it is; write it as an escape"),
        ('up{a="\x1b[2J"}', r"a template holds '\x1b' as it is"),
        ('up{a="\ufffd"}', r"a template holds '\ufffd' as it is"),
        ("up # \u202e", r"a template holds '\u202e' as it is"),
        ("up\ud800", "a template holds a lone surrogate"),
        ("u" * (MAX_LENGTH + 1), "a template of 2001 characters; at most 2000"),
        (None, "a template must be text, not NoneType"),
        ("up offset inf", "the template is not PromQL: its parser fails: PanicException"),
        ("rate(up[1e30])", "the template is not PromQL: its parser fails: PanicException"),
        ("rate(up[${{ window }}:11806718586779598845])", "is not in the required range"),
        ("rate(up[300000000y])", "the template is not PromQL: number too large"),
        ("(" * 101 + "1" + ")" * 101, "brackets nested 101 deep; at most 100"),
        ("^".join(["u"] * 202), "a template with 201 operators; at most 200"),
        ("-" * 201 + "u", "a template with 201 operators; at most 200"),
        (" or ".join(["u"] * 202), "a template with 201 operators; at most 200"),
        ('up{a=~"\\\\pL{99}"' + ',a=~"\\\\pL{99}"' * 11 + "}", "regular expressions that repeat more than 1000 times"),
        ('up{a=~"((a{20}){10}){10}"}', "regular expressions that repeat more than 1000 times"),
        ('up{a=~"a{500}",b=~"a{501}"}', "regular expressions that repeat more than 1000 times"),
    ],
)
def test_text_that_no_server_can_answer_is_refused(text: Any, message: str) -> None:
    """The constructor raises."""
    with pytest.raises(InputError) as raised:
        Template(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        *("(" * 100 + "1" + ")" * 100, "abs(" * 100 + "u" + ")" * 100, "^".join(["u"] * 201), "-" * 200 + "u"),
        *('u{a=~"b{1000}"}', 'u{a=~"b{500}",c=~"d{500}"}', 'u{a=~"(b{100}){10}"}', 'u{a=~"(b){1000}"}'),
    ],
)
def test_costly_text_within_the_limits_is_read(text: str) -> None:
    """A thread with a small stack reads it; the parser has no limit of its own, and would end the process.

    The same is true of repetitions, up to the 1,000 that a server takes.
    """
    texts: list[str] = []
    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=lambda: texts.append(Template(text).render(window="5m")))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert [text] == texts


def test_without_the_parser_a_template_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install."""
    monkeypatch.setitem(sys.modules, "promql_parser", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'statcore\[presets\]'"):
        Template("up")
