"""Whether an expression reads more than a querier asks for: every selector has to carry the querier's matchers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from statcore.promql.syntax import ConstantLabel, Expression, parts_in, selectors_in
from statcore.queriers.container import OWNER_LABELS
from statcore.queriers.matcher import LabelMatcher


def widening(expression: Expression, matchers: Mapping[str, LabelMatcher], *, replaces: Collection[str] = ()) -> str | None:
    """Return how an expression reads more than the matchers let it, or None where it does not.

    Every selector, of whatever metric, carries each matcher as it is, or a narrower one in its place: literal values out of
    the same `one_of`. It may carry matchers of more labels. No constant label has the name of a matched label, or of one
    that says whose a series is: where queriers share a request, one would be answered with the series of the others.

    Args:
        expression: what is to be evaluated.
        matchers: label name to matcher, as a querier or a scope has them.
        replaces: labels that some selectors may lack, or match otherwise; at least one has the matcher. Constant labels may
            have these names.
    """
    selectors = [(selector, selector.labels) for selector in selectors_in(expression)]
    for label, matcher in matchers.items():
        wider = [selector for selector, labels in selectors if not _carries(labels, label, matcher)]
        if wider and label not in replaces:
            return f"{wider[0].text:.500} does not match {label}{matcher.operator}{matcher.value!r:.100}"
        if len(wider) == len(selectors):
            return f"no selector matches {label}{matcher.operator}{matcher.value!r:.100}"
    kept = {*matchers, *OWNER_LABELS}.difference(replaces)
    for part in parts_in(expression):
        if isinstance(part, ConstantLabel) and part.name in kept:
            return f"{part.text:.500} sets {part.name}, by which series are told apart"
    return None


def _carries(labels: Mapping[str, LabelMatcher], label: str, matcher: LabelMatcher) -> bool:
    return label in labels and labels[label].is_within(matcher)
