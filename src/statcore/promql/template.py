"""PromQL texts with placeholders; a value that is filled in cannot leave the place of its placeholder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from os import urandom
from typing import Any, Final, cast, get_args

import attrs

from statcore.errors import InputError
from statcore.model.text import check_text
from statcore.model.time import format_duration, parse_duration
from statcore.promql.names import grouped_text
from statcore.promql.parsing import Placeholder, check_cost, labels_fixed_beside, read_places
from statcore.promql.syntax import label_names, matcher_texts
from statcore.queriers.matcher import LabelMatcher, as_pairs

_PLACEHOLDER: Final = re.compile(rf"\$\{{\{{ *({'|'.join(get_args(Placeholder))}) *\}}\}}")
_STRAY: Final = re.compile(r"\$\{\{[^}\n]{0,40}\}{0,2}")
_COMMA: Final = re.compile(r"^\s*,")
_KNOWN: Final = ", ".join(f"${{{{ {name} }}}}" for name in get_args(Placeholder))
_PLACES: Final[Mapping[Placeholder, tuple[str, str, str]]] = {
    "labels": ("{, \t\n", "}, \t\n", 'among the matchers of a selector: up{job="a",${{ labels }}}'),
    "window": ("[ \t\n", "]:), \t\n", "alone in the brackets of a range, or after offset: x offset ${{ window }}"),
    "group_by": ("(, \t\n", "), \t\n", "among the labels that an aggregation keeps or drops: sum by (${{ group_by }})(up)"),
}
"""The characters that may stand before each placeholder, the characters that may stand after it, and its place."""


def _check_text(_: object, field: attrs.Attribute[Any], text: str) -> None:
    del field
    check_cost(check_text(text, what="a template"))
    for character in text:
        # The parser reads U+FFFD as it is, and servers refuse it.
        if not (character.isprintable() or character in "\t\n") or character == "\ufffd":
            raise InputError(f"a template holds {character!a} as it is; write it as an escape in a string")


@attrs.frozen
class Template:
    """A PromQL text with any of the placeholders `${{ labels }}`, `${{ window }}` and `${{ group_by }}`, each in its place.

    `${{ labels }}` stands among the matchers of a selector. `${{ window }}` is the duration of a range, a subquery or an
    offset. `${{ group_by }}` stands among the labels of a `by (…)` or a `without (…)`, but not of `on`, `ignoring` or
    `group_left`, where a label may make the query fail. The places are checked by filling the template in and parsing it.

    Attributes:
        fixed_labels: the labels that a selector with `${{ labels }}` matches by `=` itself; they cannot be filtered by.

    Args:
        text: printable characters, tabs and line breaks, within the limits of `statcore.promql.parsing`.

    Raises:
        InputError: an unknown placeholder, a placeholder out of its place, or text that is not PromQL when it is filled in
            with labels or without.
        MissingExtraError: the parser, which the extra `presets` installs, is not installed.
    """

    text: str = attrs.field(validator=_check_text)
    fixed_labels: frozenset[str] = attrs.field(init=False, eq=False, repr=False)
    _parts: tuple[str, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Find the placeholders and check that each is in its place."""
        parts = tuple(_PLACEHOLDER.split(self.text))
        for literal in parts[::2]:
            if stray := _STRAY.search(literal):
                raise InputError(f"{stray[0]!r} is no placeholder; the placeholders of a template are {_KNOWN}")
        object.__setattr__(self, "_parts", parts)
        for before, name, after in zip(parts[::2], self._names, parts[2::2], strict=False):
            if before[-1:] not in _PLACES[name][0] or after[:1] not in _PLACES[name][1]:
                raise _misplaced(name)
        self._check_places()

    @property
    def placeholders(self) -> frozenset[Placeholder]:
        """The names of the placeholders in the text."""
        return frozenset(self._names)

    def render(
        self,
        labels: Mapping[str, str | LabelMatcher] | None = None,
        *,
        window: timedelta | str,
        group_by: Iterable[str] = (),
    ) -> str:
        """Return the text with values in place of the placeholders.

        Args:
            labels: label name to matcher, in the order in which they are written; text means an exact match.
            window: a positive duration.
            group_by: label names, which are written sorted and distinct.

        Raises:
            InputError: a name or a duration that is not valid, a value that is not text, `__name__` or a fixed label among
                the labels, or labels for which the template has no placeholder.
        """
        if "__name__" in (labels or {}):
            raise InputError("the label __name__ cannot be matched: a template says which metrics it is about")
        if fixed := sorted(self.fixed_labels.intersection(labels or {})):
            raise InputError(f"the label {fixed[0]} cannot be matched: the template gives it one value")
        texts: dict[Placeholder, str] = {
            "labels": ",".join(matcher_texts(as_pairs(labels or {}))),
            "group_by": grouped_text(label_names(group_by)),
        }
        for name, text in texts.items():
            if text and name not in self.placeholders:
                raise InputError(f"the template has no ${{{{ {name} }}}}, where {text:.100} would stand")
        return self._fill(**texts, window=format_duration(window))

    @property
    def _names(self) -> tuple[Placeholder, ...]:
        return cast("tuple[Placeholder, ...]", self._parts[1::2])

    def _fill(self, **values: str) -> str:
        texts: list[str] = []
        for position, part in enumerate(self._parts):
            if position % 2:
                texts.append(values[part])
            else:  # a comma after an empty value is dropped
                texts.append(part if not texts or texts[-1] else _COMMA.sub("", part))
        return "".join(texts)

    def _check_places(self) -> None:
        number = 1 + int.from_bytes(urandom(4), "big")  # so that no text can hold the marks
        mark, window = f"mark_{number}", f"{number}ms"
        marks: dict[Placeholder, str] = {"labels": f'{mark}="{mark}"', "window": window, "group_by": mark}
        hints = "".join(f"; {_belongs(name)}" for name in marks if name in self.placeholders)
        try:
            found = Counter(read_places(self._fill(**marks)))
        except InputError as error:
            raise InputError(f"the template is no PromQL: {error}{hints}") from None
        for name, count in Counter(self._names).items():
            if count != found[name, parse_duration(window) if name == "window" else marks[name]]:
                raise _misplaced(name)
        try:
            read_places(self._fill(labels="", window="5m", group_by=""))
        except InputError as error:
            what = "the template is no PromQL without labels"
            raise InputError(f"{what}: {error}; give the selector a name or a matcher: up{{${{{{ labels }}}}}}") from None
        fixed = labels_fixed_beside(self._fill(**marks), marks["labels"]) if "labels" in self._names else frozenset[str]()
        object.__setattr__(self, "fixed_labels", fixed)


def _belongs(name: Placeholder) -> str:
    return f"${{{{ {name} }}}} belongs {_PLACES[name][2]}"


def _misplaced(name: Placeholder) -> InputError:
    return InputError(f"a placeholder of the template is out of place: {_belongs(name)}")
