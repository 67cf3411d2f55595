"""Label values of arbitrary Unicode, on a real Prometheus."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from statcore.model import parse_time
from statcore.promql import Selector, render
from statcore.queriers import LabelMatcher
from statcore.testing.servers import Program, plant_openmetrics, running_prometheus
from statcore_prometheus import PrometheusClient

TIME_S = 1_795_341_600
HOSTILE = {
    *('"', "\\", "\n", '\\"', '"} or up{a="', "'", "`", "\0", "\r", "\ufffd", "\ufeff", "😀", "\U0010ffff", "{{.}}"),
    *("\\n", "%41"),
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def _plant(folder: Path, values: list[str]) -> None:
    """Plant one series for each value for a server that starts later."""
    escaped = [value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for value in values]
    lines = [f'planted{{text="{text}"}} {number} {TIME_S}' for number, text in enumerate(escaped)]
    plant_openmetrics(folder, "\n".join(["# TYPE planted unknown", *lines, "# EOF", ""]))


# Without shrinking: each example is a server of its own, and the failing value is named anyway.
@given(st.sets(TEXT, min_size=150, max_size=300))
@example(HOSTILE)
@settings(
    max_examples=2,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
async def test_each_value_selects_its_own_series(
    tmp_path_factory: pytest.TempPathFactory, prometheus_program: Program, planted: set[str]
) -> None:
    """An exact match of any text finds the one series with that label value."""
    values = sorted(planted)
    folder = tmp_path_factory.mktemp("prometheus")
    _plant(folder, values)
    with running_prometheus(folder, targets={}, program=prometheus_program.path) as server:
        async with aclosing(PrometheusClient(server.url)) as client:

            async def found(matcher: LabelMatcher) -> list[tuple[str, float]]:
                query = render(Selector("planted", {"text": matcher}))
                result = await client.query(query, time=parse_time(TIME_S))
                return sorted((sample.labels["text"], sample.value) for sample in result.samples)

            assert values == list(await client.label_values("text", match=Selector("planted")))
            each = await asyncio.gather(*[found(LabelMatcher.equal(value)) for value in values])
            assert [[(value, float(number))] for number, value in enumerate(values)] == each
            half = values[::2]
            expected = [(value, float(2 * number)) for number, value in enumerate(half)]
            assert expected == await found(LabelMatcher.one_of(half))
