"""Which series a querier selects, and how they are summed."""

from __future__ import annotations

from statcore.ports.metrics import MetricQuerierPort
from statcore.queriers.container import ContainerMetricQuerier
from statcore.queriers.interface import QueryStrategy
from statcore.queriers.matcher import LabelMatcher
from statcore.testing.expectations import expect
from statcore.testing.metrics.comparison import between, querier_of, values_by
from statcore.testing.metrics.dataset import (
    AGENT_ID,
    HOSTILE_VALUES,
    KERNEL_ID,
    MEM,
    METRIC,
    OWNERS,
    SHAPES,
    MetricDataset,
)
from statcore.testing.queriers import FixedQuerier

MATCHERS: dict[LabelMatcher, set[str]] = {
    LabelMatcher.equal("square"): {"square"},
    LabelMatcher.equal("s.uare"): {"s.uare"},
    LabelMatcher.equal("squ"): set(),
    LabelMatcher.equal(""): {""},
    LabelMatcher.not_equal("square"): {"s.uare", "circle", "Circle", "a|b", ""},
    LabelMatcher.not_equal(""): {"square", "s.uare", "circle", "Circle", "a|b"},
    LabelMatcher.regex("s.uare"): {"square", "s.uare"},
    LabelMatcher.regex(r"s\.uare"): {"s.uare"},
    LabelMatcher.regex("squ"): set(),
    LabelMatcher.regex("quare"): set(),
    LabelMatcher.regex("[a-z]+"): {"square", "circle"},
    LabelMatcher.regex("square|circle"): {"square", "circle"},
    LabelMatcher.regex("(?i)circle"): {"circle", "Circle"},
    LabelMatcher.regex("circle|"): {"circle", ""},
    LabelMatcher.regex(".*"): set(SHAPES),
    LabelMatcher.regex(".+"): set(SHAPES) - {""},
    LabelMatcher.not_regex("s.uare"): {"circle", "Circle", "a|b", ""},
    LabelMatcher.not_regex(".+"): {""},
    LabelMatcher.not_regex(".*"): set(),
}
"""Matcher to the planted shapes that it accepts; a series without the label has the empty value."""


async def check_group_by_keeps_those_labels_alone(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Series are summed by the group-by labels, and keep only these; without any, all series are summed."""
    by_user = {"u1": 3.0, "u2": 4.0, None: 8.0}
    by_object = {object_: value for (_, object_), value in OWNERS.items()}
    both = {(user or None, object_): value for (user, object_), value in OWNERS.items()}
    cases: tuple[tuple[list[str], list[tuple[dict[str, str | None], float]]], ...] = (
        ([], [({}, 15.0)]),
        (["nobody_has_it"], [({}, 15.0)]),
        (["case"], [({"case": "owners"}, 15.0)]),
        (["user"], [({"user": user}, value) for user, value in by_user.items()]),
        (["object", "object"], [({"object": object_}, value) for object_, value in by_object.items()]),
        (["user", "object"], [({"object": object_, "user": user}, value) for (user, object_), value in both.items()]),
    )
    for group_by, expected in cases:
        querier = querier_of("owners", group_by=group_by)
        expected_series = _sorted(
            [({label: text for label, text in labels.items() if text}, value) for labels, value in expected]
        )
        ranged = await backend.query_utilization(querier, between(dataset, 60, 60, step_s=15))
        found = _sorted([(dict(series.labels), series.values[0]) for series in ranged.series])
        expect(expected_series, found, f"a range grouped by {group_by}")
        instant = await backend.query_utilization_now(querier, time=dataset.at(60))
        found = _sorted([(dict(sample.labels), sample.value) for sample in instant.samples])
        expect(expected_series, found, f"an instant grouped by {group_by}")


async def check_matchers_select_as_documented(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Each operator selects as in Prometheus: regexes match the whole value, and a label that is absent is empty text."""
    for matcher, shapes in MATCHERS.items():
        querier = querier_of("shapes", group_by=["shape"], shape=matcher)
        result = await backend.query_utilization(querier, between(dataset, 60, 60, step_s=15))
        expect({shape: SHAPES[shape] for shape in shapes}, values_by("shape", result), f"shapes that {matcher} accepts")
    querier = querier_of("shapes", group_by=["shape"], shape="square", nobody_has_it=LabelMatcher.not_equal("x"))
    expect(
        {"square": 1.0},
        values_by("shape", await backend.query_utilization_now(querier, time=dataset.at(60))),
        "the answer to two matchers",
    )


async def check_one_of_takes_values_literally(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """`one_of` accepts the values given and nothing else, whatever characters are in them."""
    for shapes in (["s.uare"], ["s.uare", "circle"], ["a|b", "Circle", "a"], ["", "square"], list(SHAPES)):
        querier = querier_of("shapes", group_by=["shape"], shape=LabelMatcher.one_of(shapes))
        result = await backend.query_utilization_now(querier, time=dataset.at(60))
        expected = {shape: value for shape, value in SHAPES.items() if shape in shapes}
        expect(expected, values_by("shape", result), f"one of {shapes}")


async def check_hostile_values_round_trip(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Any text can be a label's value: matched exactly, one among many, or excluded, it selects its series and no other."""
    numbers = {text: float(number) for number, text in enumerate(HOSTILE_VALUES)}
    time = dataset.at(60)
    for text, number in numbers.items():
        querier = querier_of("hostile", group_by=["text"], text=text)
        expect(
            {text: number}, values_by("text", await backend.query_utilization_now(querier, time=time)), f"{text!r} alone"
        )
        others = {other: value for other, value in numbers.items() if other != text}
        querier = querier_of("hostile", group_by=["text"], text=LabelMatcher.not_equal(text))
        expect(others, values_by("text", await backend.query_utilization_now(querier, time=time)), f"all but {text!r}")
    querier = querier_of("hostile", group_by=["text"], text=LabelMatcher.one_of(HOSTILE_VALUES))
    result = await backend.query_utilization(querier, between(dataset, 60, 60, step_s=15))
    expect(numbers, values_by("text", result), "all hostile values at once")


async def check_no_series_is_an_empty_answer(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A metric, a label or a value that does not exist gives an answer without series, not an error."""
    for strategy in QueryStrategy:
        for querier in (
            FixedQuerier("statcore_no_such_metric", strategy=strategy),
            querier_of("no such case", strategy=strategy),
            FixedQuerier(METRIC, {"no_such_label": "x"}, group_by=["no_such_label"], strategy=strategy),
        ):
            ranged = await backend.query_utilization(querier, between(dataset, 600, 660, step_s=15))
            expect(((), False), (ranged.series, ranged.partial), f"series of {querier}, and whether partial")
            expect(
                (), (await backend.query_utilization_now(querier, time=dataset.at(600))).samples, f"samples of {querier}"
            )


async def check_queriers_of_containers_are_answered(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """The querier that comes with statcore finds a container by its owners, and the answer keeps their labels."""
    querier = ContainerMetricQuerier(metric_name="mem", value_type="current", agent_id=AGENT_ID, kernel_id=KERNEL_ID)
    result = await backend.query_utilization_now(querier, time=dataset.at(60))
    labels = {"agent_id": AGENT_ID, "kernel_id": KERNEL_ID, "value_type": "current"}
    expect([(labels, MEM)], [(dict(sample.labels), sample.value) for sample in result.samples], "the container's memory")


def _sorted(found: list[tuple[dict[str, str], float]]) -> list[tuple[dict[str, str], float]]:
    return sorted(found, key=lambda pair: sorted(pair[0].items()))
