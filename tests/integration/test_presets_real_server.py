"""A real Prometheus answers presets: hostile values select exactly their series, and every template is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.program import statcore
from tests.support.planted_server import planted_server
from tests.support.promql_templates import VALID

from statcore.errors import QueryRejectedError
from statcore.model import MatrixResult, QueryTimeRange
from statcore.plugins import Preset
from statcore.promql.templates import Template
from statcore.services import PresetService
from statcore.testing.metrics.dataset import HOSTILE_VALUES, PlantedSeries
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient

TIME = 1_795_000_000
RANGE = QueryTimeRange(start=TIME, end=TIME + 600, step="5m")
VALUES = sorted({*HOSTILE_VALUES, "a", "a|b", ".*", '"} or vector(1) #', "${{ labels }}", "5m]", "\n", "\\", "x,y"} - {""})
NUMBER = Preset(
    name="number",
    description="The number of each series",
    template="max by (${{ group_by }})(planted{job='a',${{ labels }}})",
    filter_labels=["text", "zone"],
    group_labels=["text", "zone"],
)
SPEED = Preset(
    name="speed",
    description="How fast numbers grow",
    template="sum by (${{ group_by }})(rate(growing{${{ labels }}}[${{ window }}]))",
    filter_labels=["text"],
    group_labels=["text"],
)


def planted() -> Iterator[PlantedSeries]:
    """Yield a series for each value, whose samples are the value's position, and a counter."""
    for number, text in enumerate(VALUES):
        samples = [(time, float(number)) for time in (TIME, TIME + 300, TIME + 600)]
        yield PlantedSeries("planted", {"text": text, "job": "a", "zone": str(number % 2)}, samples)
    yield PlantedSeries("growing", {"text": "a"}, [(TIME + 15 * step, 30.0 * step) for step in range(41)])


# The samples lie ahead of the clock where this runs before their date, or long behind it: nothing may be dropped.
server = planted_server(planted, "--storage.tsdb.retention.time=100y")


def numbers(answer: MatrixResult) -> dict[str, list[float]]:
    """Return the values of each series by its label `text`."""
    return {series.labels["text"]: list(series.values) for series in answer.series}


async def test_hostile_values_select_exactly_their_series(client: PrometheusClient) -> None:
    """Single values and sets of values select their own series, without an error."""
    service = PresetService(client, {"number": NUMBER})
    for number, value in enumerate(VALUES):
        answer = await service.query_preset("number", time_range=RANGE, labels={"text": value}, group_labels=["text"])
        assert {value: [float(number)] * 3} == numbers(answer)
    for some in (VALUES[::2], VALUES[1::3], VALUES):
        answer = await service.query_preset("number", time_range=RANGE, labels={"text": some}, group_labels=["text"])
        assert set(some) == numbers(answer).keys()
    nobody = {"text": VALUES, "zone": "2"}
    assert () == (await service.query_preset("number", time_range=RANGE, labels=nobody)).series
    (everything,) = (await service.query_preset("number", time_range=RANGE)).series
    assert ({}, [float(len(VALUES) - 1)] * 3) == (everything.labels, list(everything.values))


async def test_the_window_is_the_presets_or_the_callers(client: PrometheusClient) -> None:
    """Thirty in fifteen seconds are two a second, wherever a window has two samples of them."""
    at_end = QueryTimeRange(start=TIME + 600, end=TIME + 600, step="1s")
    service = PresetService(client, {"speed": SPEED})
    for window in (None, "1m", "10m"):
        answer = await service.query_preset("speed", time_range=at_end, group_labels=["text"], window=window)
        assert {"a": [pytest.approx(2.0)]} == numbers(answer)
    assert () == (await service.query_preset("speed", time_range=at_end, window="14s")).series


async def test_an_instant_is_the_point_of_a_range(client: PrometheusClient) -> None:
    """The same value, also of a template with an offset, labels that are dropped, and a fixed matcher behind."""
    selector = 'growing{${{ labels }},job!="b"}'
    growth = Preset(
        name="Growth (a minute)",
        description="By how much numbers grew",
        template=f"sum without (${{{{ group_by }}}})({selector} - {selector} offset ${{{{ window }}}})",
        filter_labels=["text"],
        group_labels=["instance"],
    )
    time = datetime.fromtimestamp(TIME + 600, UTC)
    filled_in: dict[str, Any] = {"labels": {"text": "a"}, "group_labels": ["instance"], "window": "1m"}
    service = PresetService(client, {growth.name: growth})
    now = await service.query_preset_now(growth.name, time=time, **filled_in)
    point = QueryTimeRange(start=time, end=time, step="1s")
    over_range = await service.query_preset(growth.name, time_range=point, **filled_in)

    assert [120.0] == [sample.value for sample in now.samples]
    assert {"a": [120.0]} == numbers(over_range)


@pytest.mark.parametrize("text", VALID)
async def test_the_server_and_the_parser_read_the_same(client: PrometheusClient, text: str) -> None:
    """Texts with values and without any are valid, with trailing commas, empty groupings and comments."""
    template = Template(text)
    labels = {"a": '"', "on": "b"} if "labels" in template.placeholders else {}
    group_by = ("by", "zone") if "group_by" in template.placeholders else ()
    for query in (template.render(window="5m"), template.render(labels, window="5m", group_by=group_by)):
        assert "success" == (await client.query_range(query, RANGE)).status


async def test_the_server_refuses_text_that_only_the_parser_accepts(client: PrometheusClient) -> None:
    """It is laxer in places: then the answer is the server's refusal, with its reason."""
    service_of = {"lax": Preset(name="lax", description="d", template="up @ 1e+20")}
    with pytest.raises(QueryRejectedError, match="timestamp out of bounds"):
        await PresetService(client, service_of).query_preset("lax", time_range=RANGE)


def test_the_command_answers(server: Server, tmp_path: Path) -> None:
    """The preset is in a file that the settings name, and a label value would end a string if it were not escaped."""
    (tmp_path / "numbers.toml").write_text(
        "[presets.number]\ndescription = 'The number of each series'\n"
        f"template = '''{NUMBER.template.text}'''\nfilter_labels = ['text']\ngroup_labels = ['text', 'zone']\n"
    )
    settings = tmp_path / "statcore.toml"
    settings.write_text(f'metrics_url = "{server.url}"\npresets = ["numbers.toml"]\n')
    value = '"} or vector(1) #'
    filters = ["--label", f"text={value}", "--label", "text=a", "--group-by", "text"]
    times = ["--start", str(TIME), "--end", str(TIME + 300), "--step", "5m", "--format", "json"]

    done = statcore("preset", "run", "number", *filters, *times, config=str(settings))

    assert (0, "") == (done.returncode, done.stderr)
    series = {one["labels"]["text"]: one["values"] for one in json.loads(done.stdout)["series"]}
    assert {text: [float(VALUES.index(text))] * 2 for text in ("a", value)} == series
