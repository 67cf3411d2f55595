"""Templates, which are PromQL texts with placeholders, and presets, which are templates with a name and limits.

A value that is filled in cannot leave the place of its placeholder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from os import urandom
from typing import Any, Final, Self, cast, get_args

import attrs

from statcore.errors import InputError, UnsupportedError
from statcore.model.text import check_text
from statcore.model.time import format_duration, parse_duration
from statcore.model.validation import check_line
from statcore.promql.parsing import Placeholder, check_cost, labels_fixed_beside, read_places, selector_without
from statcore.promql.quoting import grouped_text
from statcore.promql.syntax import label_names, matcher_texts
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.coalescing import MAX_VALUES
from statcore.queriers.matcher import LabelMatcher, Matchers, as_pairs

MAX_WINDOW: Final = timedelta(days=7)
"""The longest window; a server reads all samples of a window for every point of an answer."""
MAX_VALUE_LENGTH: Final = 1_024
"""Characters of a label value that a user fills in."""

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
        # The parser accepts a raw U+FFFD, but servers refuse it.
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
        unconfined: what reads the series of all owners: a selector without `${{ labels }}`, or a call of `info`; None if
            there is neither.

    Args:
        text: printable characters, tabs and line breaks, within the limits of `statcore.promql.parsing`.

    Raises:
        InputError: an unknown placeholder, a placeholder out of its place, or text that is not PromQL when it is filled in
            with labels or without.
        MissingExtraError: the parser, which the extra `presets` installs, is not installed.
    """

    text: str = attrs.field(validator=_check_text)
    fixed_labels: frozenset[str] = attrs.field(init=False, eq=False, repr=False)
    unconfined: str | None = attrs.field(init=False, eq=False, repr=False)
    _parts: tuple[str, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Find the placeholders and check that each is in its place."""
        parts = tuple(_PLACEHOLDER.split(self.text))
        for literal in parts[::2]:
            if stray := _STRAY.search(literal):
                raise InputError(f"{stray[0]!r} is not a placeholder; the placeholders of a template are {_KNOWN}")
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
    ) -> FilledTemplate:
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
        return FilledTemplate(self, {**texts, "window": format_duration(window)})

    @property
    def _names(self) -> tuple[Placeholder, ...]:
        return cast("tuple[Placeholder, ...]", self._parts[1::2])

    def fill(self, values: Mapping[Placeholder, str]) -> str:
        """Return the text with texts in place of the placeholders, which are not checked."""
        texts: list[str] = []
        for position, part in enumerate(self._parts):
            if position % 2:
                texts.append(values[cast("Placeholder", part)])
            else:  # a comma after an empty value is dropped
                texts.append(part if not texts or texts[-1] else _COMMA.sub("", part))
        return "".join(texts)

    def _check_places(self) -> None:
        number = 1 + int.from_bytes(urandom(4), "big")  # random, so that no template can contain the marks
        mark, window = f"mark_{number}", f"{number}ms"
        marks: dict[Placeholder, str] = {"labels": f'{mark}="{mark}"', "window": window, "group_by": mark}
        hints = "".join(f"; {_belongs(name)}" for name in marks if name in self.placeholders)
        try:
            found = Counter(read_places(self.fill(marks)))
        except InputError as error:
            raise InputError(f"the template is not PromQL: {error}{hints}") from None
        for name, count in Counter(self._names).items():
            if count != found[name, parse_duration(window) if name == "window" else marks[name]]:
                raise _misplaced(name)
        try:
            read_places(self.fill({"labels": "", "window": "5m", "group_by": ""}))
        except InputError as error:
            what = "the template is not PromQL without labels"
            raise InputError(f"{what}: {error}; give the selector a name or a matcher: up{{${{{{ labels }}}}}}") from None
        filled = self.fill(marks)
        fixed = labels_fixed_beside(filled, marks["labels"]) if "labels" in self._names else frozenset[str]()
        object.__setattr__(self, "fixed_labels", fixed)
        unconfined = selector_without(filled, marks["labels"])
        object.__setattr__(self, "unconfined", unconfined and unconfined.replace(marks["labels"], "${{ labels }}"))


class FilledTemplate(str):
    """The PromQL of a template that was filled in, which can be confined to fewer series later.

    Args:
        template: the template.
        values: the text in place of each placeholder.
    """

    __slots__ = ("_template", "_values")
    _template: Template
    _values: Mapping[Placeholder, str]

    def __new__(cls, template: Template, values: Mapping[Placeholder, str]) -> Self:
        """Fill the template in."""
        text = super().__new__(cls, template.fill(values))
        text._template, text._values = template, values
        return text

    def confined(self, matchers: Matchers) -> str:
        """Return the text with further matchers in each of its selectors.

        Raises:
            UnsupportedError: a selector of the template has no place for them.
        """
        if self._template.unconfined is not None:
            raise UnsupportedError(
                f"{self._template.unconfined:.200} in the preset reads the series of all owners: a selector has no "
                "${{ labels }}, or info() is called; only callers who may see everything may use it"
            )
        labels = ",".join(filter(None, [self._values["labels"], *matcher_texts(matchers)]))
        return self._template.fill({**self._values, "labels": labels})


def _belongs(name: Placeholder) -> str:
    return f"${{{{ {name} }}}} belongs {_PLACES[name][2]}"


def _misplaced(name: Placeholder) -> InputError:
    return InputError(f"a placeholder of the template is out of place: {_belongs(name)}")


def _as_template(value: Template | str) -> Template:
    return value if isinstance(value, Template) else Template(value)


def _as_labels(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, list | tuple):
        return tuple(cast("Sequence[str]", names))
    return cast("tuple[str, ...]", names)  # refused by the validator


def _listed(names: Any) -> set[Any]:  # noqa: ANN401 - callers may be untyped
    """Return the distinct items of a list, which are not checked yet.

    Raises:
        InputError: it is not a list, or an item cannot be hashed and so is not text.
    """
    try:
        if isinstance(names, list | tuple):
            return set(cast("Sequence[Any]", names))
    except TypeError:  # an item cannot be hashed
        pass
    raise InputError(f"group_labels must be a list of label names, not {names!r:.100}")


def _check_labels(_: object, field: attrs.Attribute[Any], names: object) -> None:
    if not isinstance(names, tuple):
        raise InputError(f"{field.name} must be a list of label names, not {names!r:.100}")
    try:
        label_names(cast("tuple[str, ...]", names))
    except InputError as error:
        raise InputError(f"{field.name}: {error}") from error


def _as_window(window: timedelta | str) -> str:
    try:
        text = format_duration(window)
    except InputError as error:
        raise InputError(f"window: {error}") from error
    if parse_duration(text) > MAX_WINDOW:
        raise InputError(f"window: {text} is longer than {format_duration(MAX_WINDOW)}")
    return text


def _as_own_window(window: timedelta | str | None) -> str:
    return "" if window is None else _as_window(window)


@attrs.frozen(kw_only=True)
class Preset:
    """A PromQL template with a name, and the labels and window that users may fill in.

    Args:
        name: one line of text, which users type: `statcore preset run NAME`.
        description: one line that names the numbers and their unit.
        template: a `Template`, or its text.
        filter_labels: the labels that `${{ labels }}` may match.
        group_labels: the labels that `${{ group_by }}` may hold.
        window: the value of `${{ window }}` if a user gives none; at most `MAX_WINDOW`, by default `RATE_INTERVAL`.

    Raises:
        InputError: an argument is not as described here, the template has no placeholder for the labels or the window, or
            it fixes one of the labels.
        MissingExtraError: the parser, which the extra `presets` installs, is not installed.
    """

    name: str = attrs.field(validator=check_line)
    description: str = attrs.field(validator=check_line)
    template: Template = attrs.field(converter=_as_template)
    filter_labels: tuple[str, ...] = attrs.field(default=(), converter=_as_labels, validator=_check_labels)
    group_labels: tuple[str, ...] = attrs.field(default=(), converter=_as_labels, validator=_check_labels)
    window: str = attrs.field(default=None, converter=_as_own_window)

    def __attrs_post_init__(self) -> None:
        """Check fields against each other."""
        if "__name__" in self.filter_labels:
            raise InputError("filter_labels must not hold __name__: the template says which metrics it is about")
        for field, allowed, place in (
            ("filter_labels", self.filter_labels, "labels"),
            ("group_labels", self.group_labels, "group_by"),
        ):
            if allowed and place not in self.template.placeholders:
                raise InputError(f"{field} are {', '.join(allowed)}, but the template has no ${{{{ {place} }}}}")
        if fixed := sorted(self.template.fixed_labels.intersection(self.filter_labels)):
            raise InputError(f"filter_labels must not hold {', '.join(fixed)}, to which the template gives one value")
        if self.window and "window" not in self.template.placeholders:
            raise InputError(f"window is {self.window}, but the template has no ${{{{ window }}}}")
        object.__setattr__(self, "window", self.window or RATE_INTERVAL)

    @property
    def default_window(self) -> str | None:
        """The default window, or None where the template has no placeholder for a window."""
        return self.window if "window" in self.template.placeholders else None

    def promql(
        self,
        *,
        labels: Mapping[str, str | Sequence[str]] | None = None,
        group_labels: Sequence[str] = (),
        window: timedelta | str | None = None,
    ) -> FilledTemplate:
        """Return the query with the values that a user fills in.

        Args:
            labels: label name to a value, or to several values of which any matches.
            group_labels: the labels to group by.
            window: the window instead of the default.

        Raises:
            InputError: a label that is not allowed, a value that is not text, no value or more than `MAX_VALUES`, or a
                window that is not a duration, is too long, or has no placeholder in the template.
        """
        if window is not None and self.default_window is None:
            raise InputError(f"the preset {self.name} has no window")
        return self.template.render(
            {label: self._matcher(label, values) for label, values in (labels or {}).items()},
            window=self.window if window is None else _as_window(window),
            group_by=[self._allowed(label, self.group_labels, "grouped") for label in _listed(group_labels)],
        )

    def _allowed(self, label: Any, allowed: Sequence[str], done: str) -> str:  # noqa: ANN401 - callers may be untyped
        if label in allowed:
            return str(label)
        known = f"only by {', '.join(allowed)}" if allowed else "by nothing"
        raise InputError(f"the preset {self.name} cannot be {done} by {label!r:.100}; {known}")

    def _matcher(self, label: str, filled_in: Any) -> LabelMatcher:  # noqa: ANN401 - callers may be untyped
        name = self._allowed(label, self.filter_labels, "filtered")
        if not isinstance(filled_in, str | list | tuple):
            raise InputError(f"the label {name} must be text or a list of texts, not {type(filled_in).__name__}")
        values = [filled_in] if isinstance(filled_in, str) else cast("Sequence[object]", filled_in)
        if not 0 < len(values) <= MAX_VALUES:
            raise InputError(f"the label {name} has {len(values)} values; from 1 to {MAX_VALUES} are allowed")
        if any(isinstance(value, str) and len(value) > MAX_VALUE_LENGTH for value in values):
            raise InputError(f"a value of the label {name} is longer than {MAX_VALUE_LENGTH} characters")
        return LabelMatcher.one_of(cast("Sequence[str]", values))
