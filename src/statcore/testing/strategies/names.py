"""Metric names, label names, and label values."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from statcore.testing.metrics.dataset import HOSTILE_VALUES

_KEYWORDS: Final = ("sum", "by", "offset", "bool", "and", "start", "end", "rate")
_NUMBERS: Final = ("inf", "nan")  # as a label to group by, older servers take them for numbers
_SPECIAL: Final = '"\\\n{}()[],=~|# \ufffd\ud800'
"""Characters that mean something in PromQL or are written in another form, and one that cannot be sent."""
_INJECTIONS: Final = ("a", "9100", '"} or up{a="', " or vector(1)", "é", "🦀")


def metric_names() -> st.SearchStrategy[str]:
    """Return names that every server accepts, words of PromQL among them."""
    return st.one_of(st.sampled_from(_KEYWORDS + _NUMBERS), st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", fullmatch=True))


def label_names() -> st.SearchStrategy[str]:
    """Return names that every server accepts, words of PromQL among them, but none that servers keep for themselves."""
    usual = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True)
    return st.one_of(st.sampled_from(_KEYWORDS), usual.filter(_is_free))


def _is_free(label: str) -> bool:
    return not label.startswith("__") and label.lower() not in _NUMBERS


def label_values() -> st.SearchStrategy[str]:
    """Return any Unicode text without surrogates: often plain, often hostile, sometimes empty, which means no label."""
    anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    hostile = st.lists(st.sampled_from(HOSTILE_VALUES), max_size=3).map("".join)
    return st.one_of(st.from_regex(r"[a-z0-9-]{0,12}", fullmatch=True), hostile, anything)


def hostile_texts() -> st.SearchStrategy[str]:
    """Return text, never empty, that tries to end the string around it; some has a lone surrogate, which is refused."""
    pieces = st.lists(st.sampled_from((*_SPECIAL, *_INJECTIONS)), min_size=1, max_size=6)
    return pieces.map("".join) | label_values().filter(bool)
