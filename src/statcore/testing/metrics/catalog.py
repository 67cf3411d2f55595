"""Listing what exists: values of labels, and series."""

from __future__ import annotations

from datetime import timedelta

from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.syntax import Selector
from statcore.queriers.matcher import LabelMatcher
from statcore.testing.expectations import expect
from statcore.testing.metrics.comparison import between, querier_of, selecting
from statcore.testing.metrics.dataset import HOSTILE_VALUES, METRIC, OWNERS, SHAPES, MetricDataset
from statcore.testing.metrics.selection import MATCHERS


async def check_label_values_of_all_series(backend: MetricQuerierPort, _dataset: MetricDataset) -> None:
    """Without `match` the values of a label are those of all series: distinct, sorted by code point, none empty."""
    values = list(await backend.label_values("shape"))
    expect(sorted(set(values)), values, "the order of all shapes")
    expect(sorted(filter(None, SHAPES)), [value for value in values if value in SHAPES], "the planted shapes among all")
    expect([], list(await backend.label_values("statcore_no_such_label")), "the values of a label that nothing has")
    names = [name for name in await backend.label_values("__name__") if name == METRIC]
    expect([METRIC], names, "the planted metric among the values of __name__")


async def check_label_values_can_be_narrowed(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """With `match` the values are those of the series that it selects, over all time or within a time range."""
    around = (dataset.at(60), dataset.at(1_200))
    for time_range in (None, around):
        for match, label, expected in (
            (selecting(case="shapes"), "shape", sorted(filter(None, SHAPES))),
            (selecting(case="shapes"), "__name__", [METRIC]),
            (selecting(case="shapes"), "case", ["shapes"]),
            (selecting(case="shapes"), "user", []),
            (selecting(user="u1"), "object", ["a", "b"]),
            (selecting(shape=LabelMatcher.regex(".*le")), "shape", ["Circle", "circle"]),
            (Selector("statcore_no_such_metric"), "shape", []),
        ):
            values = await backend.label_values(label, match=match, time_range=time_range)
            expect(expected, list(values), f"values of {label} among {match} within {time_range}")


async def check_label_values_keep_hostile_text(backend: MetricQuerierPort, _dataset: MetricDataset) -> None:
    """Values come back as the text that was stored, and select the same series when a matcher takes them."""
    expected = sorted(HOSTILE_VALUES)
    values = await backend.label_values("text", match=selecting(case="hostile"))
    expect(expected, list(values), "hostile values")
    for text in expected:
        match = selecting(case="hostile", text=text)
        expect([text], list(await backend.label_values("text", match=match)), f"the values where text is {text!r}")


async def check_series_are_whole_label_sets(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Each series is returned once, with all its labels and its name as `__name__`."""
    owners = [({"user": user} if user else {}) | {"object": object_} for user, object_ in OWNERS]
    expected = sorted(sorted({"__name__": METRIC, "case": "owners", **owner}.items()) for owner in owners)
    for time_range in (None, (dataset.at(60), dataset.at(1_200))):
        found = await backend.series(selecting(case="owners"), time_range=time_range)
        expect(expected, sorted(sorted(labels.items()) for labels in found), f"the series of owners within {time_range}")
    texts = [labels.get("text", "") for labels in await backend.series(selecting(case="hostile"))]
    expect(sorted(HOSTILE_VALUES), sorted(texts), f"all {len(HOSTILE_VALUES)} series of hostile texts")
    expect([], list(await backend.series(Selector("statcore_no_such_metric"))), "the series of a metric nobody has")


async def check_series_obey_matchers(backend: MetricQuerierPort, _dataset: MetricDataset) -> None:
    """Series are selected by the same rules as samples."""
    for matcher, shapes in MATCHERS.items():
        match = selecting(case="shapes", shape=matcher)
        found = [labels.get("shape", "") for labels in await backend.series(match)]
        expect(sorted(shapes), sorted(found), f"shapes of the series that {matcher} accepts")
    for text in HOSTILE_VALUES:
        match = selecting(case="hostile", text=text)
        expected = [{"__name__": METRIC, "case": "hostile", "text": text}]
        expect(expected, [dict(labels) for labels in await backend.series(match)], f"the series where text is {text!r}")


async def check_nothing_exists_a_day_earlier(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A time range a day before the first sample holds no points, no label values and no series."""
    earlier = (dataset.start - timedelta(hours=25), dataset.start - timedelta(hours=24))
    match = selecting(case="shapes")
    expect([], list(await backend.label_values("shape", match=match, time_range=earlier)), "label values a day earlier")
    expect([], list(await backend.series(match, time_range=earlier)), "series a day earlier")
    result = await backend.query_utilization(querier_of("shapes"), between(dataset, -90_000, -86_400, step_s=60))
    expect((), result.series, "points a day earlier")
