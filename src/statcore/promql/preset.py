"""Presets: named templates, with the labels and windows that users may fill in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast

import attrs

from statcore.errors import InputError
from statcore.model.time import format_duration, parse_duration
from statcore.model.validation import check_line
from statcore.promql.syntax import label_names
from statcore.promql.template import Template
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.coalescing import MAX_VALUES
from statcore.queriers.matcher import LabelMatcher

MAX_WINDOW: Final = timedelta(days=7)
"""The longest window; a server reads all samples of a window for every point of an answer."""

MAX_VALUE_LENGTH: Final = 1_024
"""Characters of a label value that a user fills in."""


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
        window: the default of `${{ window }}`, itself `RATE_INTERVAL` by default; at most `MAX_WINDOW`.

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
        """Check what no single field can."""
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
    ) -> str:
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
