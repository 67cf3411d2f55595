"""The memory adapter against a real Prometheus: random series, scrapes and queriers, every strategy."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, TypeAlias

import attrs
import pytest
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st
from tests.integration.differential import (
    BASE_MS,
    Answer,
    Planted,
    Samples,
    ask_prometheus,
    assert_equal,
    by_labels,
    exposed,
    load_into_memory,
    load_into_prometheus,
    loaded_ms,
    of_memory,
    semantics_of,
    time_range,
)

from statcore.errors import QueryRejectedError, UnsupportedError
from statcore.model import QueryTimeRange, format_duration
from statcore.promql import render, utilization_query
from statcore.queriers import LabelMatcher, QueryStrategy, Strategy
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server
from statcore_memory import MemoryMetrics

LabelSet: TypeAlias = tuple[tuple[str, str], ...]
Case: TypeAlias = dict[LabelSet, Samples]

METRIC: Final = "differential"
CASES: Final = 200
QUESTIONS: Final = 600

A_VALUES: Final = ("", "x", "y", "x.y", "xay", "X", "é", "x\ny", "\n", '"\\')
B_VALUES: Final = ("", "1", "10", "2")
PATTERN_PARTS: Final = (
    "x",
    "y",
    ".",
    r"\.",
    r"\w",
    r"\D",
    "1",
    "[xy]",
    "[^x]",
    "[a-x-]",
    "x|y",
    "(",
    ")",
    "(?:x|y)",
    "^",
    "$",
    "|",
)
REPEATS: Final = ("", "", "", "*", "+", "?", "+?", "{2}", "{0,3}", "{2,1}")

# In ms: regular and jittery scrapes, and gaps about as long as the look-back of five minutes.
GAPS: Final = (
    st.just(1_000),
    st.just(15_000),
    st.just(60_000),
    st.integers(13_500, 16_500),
    st.integers(2, 90_000),
    st.integers(2, 30_000) | st.sampled_from([150_000, 299_999, 300_000, 300_001, 700_000]),
)
# A negative step is a counter reset, to the step's amount.
STEPS: Final = st.just(0.0) | st.integers(0, 1_000).map(float) | st.floats(0, 1e9) | st.floats(-5, -0.5)
NUMBERS: Final = st.floats(-1e6, 1e6) | st.integers(-9, 9).map(float) | st.just(math.nan) | st.floats()


@attrs.frozen(kw_only=True)
class BothQuery:
    """A query for both backends."""

    querier: FixedQuerier
    time_range: QueryTimeRange
    rate_interval: str


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    """Draw the samples of one series: a counter that may reset, or a gauge of any numbers."""
    is_counter = draw(st.booleans())
    point = st.tuples(draw(st.sampled_from(GAPS)), STEPS if is_counter else NUMBERS)
    points = draw(st.lists(point, min_size=draw(st.sampled_from([1, 2, 8, 20])), max_size=30))
    time, total, drawn = BASE_MS + draw(st.integers(0, 60_000)), 0.0, Samples()
    for gap, number in points:
        time += gap
        total = total + number if number >= 0 else -number
        drawn.append((loaded_ms(time), total if is_counter else number))
    return drawn


LABELS: Final = st.fixed_dictionaries(
    {"Z": st.sampled_from(("", "z")), "a": st.sampled_from(A_VALUES), "b": st.sampled_from(B_VALUES)}
)
CASE: Final = st.dictionaries(LABELS.map(lambda labels: tuple(sorted(labels.items()))), samples(), min_size=1, max_size=5)
PATTERN: Final = st.sampled_from(["(?i)x", "x|y|", r"x\.y", ".*", ".+"]) | st.lists(
    st.tuples(st.sampled_from(PATTERN_PARTS), st.sampled_from(REPEATS)).map("".join), max_size=4
).map("".join)
MATCHER: Final = st.one_of(
    st.sampled_from(A_VALUES + B_VALUES).flatmap(
        lambda value: st.sampled_from([LabelMatcher.equal(value), LabelMatcher.not_equal(value)])
    ),
    PATTERN.flatmap(lambda pattern: st.sampled_from([LabelMatcher.regex(pattern), LabelMatcher.not_regex(pattern)])),
    st.sets(st.sampled_from(A_VALUES + B_VALUES), min_size=1, max_size=4).map(LabelMatcher.one_of),
)


@st.composite
def queries(draw: st.DrawFn, cases: list[Case]) -> BothQuery:
    """Draw a query and a range near its samples."""
    numbers = sorted(draw(st.sets(st.integers(0, len(cases) - 1), min_size=1, max_size=20)))
    matchers = {"case": LabelMatcher.one_of(map(str, numbers))}
    matchers |= draw(st.just({}) | st.dictionaries(st.sampled_from(["a", "b", "Z", "none"]), MATCHER, max_size=2))
    group_by = draw(st.sets(st.sampled_from(["a", "b", "Z", "case", "none", "__name__"])))
    near = draw(st.sampled_from([time for drawn in cases[numbers[0]].values() for time, _ in drawn]))
    window_ms = draw(st.sampled_from([1_500, 15_000, 30_000, 60_000, 300_000, 433_000, 3_600_000]))
    # Just within, and just beyond, the look-back or the window.
    about_ends = st.sampled_from([0, 300_000, 300_001, window_ms, window_ms + 1])
    start_ms = near + draw(about_ends | st.integers(-2_000, 2_000) | st.integers(-400_000, 400_000))
    step_ms = draw(st.sampled_from([1, 250, 1_000, 1_500, 15_000, 60_000, 333_333]))
    end_ms = start_ms + step_ms * draw(st.sampled_from([0, 1, 30, 80])) + draw(st.integers(0, step_ms - 1))
    return BothQuery(
        querier=FixedQuerier(METRIC, matchers, group_by=sorted(group_by), strategy=draw(st.sampled_from(QueryStrategy))),
        time_range=time_range(start_ms, end_ms, step_ms),
        rate_interval=format_duration(timedelta(milliseconds=window_ms)),
    )


def draw_cases() -> list[Case]:
    """Return the same random cases in each run."""
    cases: list[Case] = []

    @settings(max_examples=CASES, derandomize=True, database=None, phases=[Phase.generate])
    @given(CASE)
    def collect(case: Case) -> None:
        cases.append(case)

    collect()
    return cases


def planted(cases: list[Case]) -> Iterator[Planted]:
    """Yield the series of all cases, each with its label `case`."""
    for number, case in enumerate(cases):
        for labels, drawn in case.items():
            yield METRIC, {"case": str(number), **dict(labels)}, drawn


def compare(memory: MemoryMetrics, server: Server, drawn: st.SearchStrategy[BothQuery]) -> Counter[Strategy]:
    """Compare the answers of both to drawn queries, as a range and at its end; return the number of points by strategy."""
    points: Counter[Strategy] = Counter()
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection, asyncio.Runner() as runner:

        @settings(max_examples=QUESTIONS)
        @given(drawn)
        def check(query: BothQuery) -> None:
            querier, between, window = query.querier, query.time_range, query.rate_interval
            promql = render(utilization_query(querier, rate_interval=window))
            start, end, step = between.start.isoformat(), between.end.isoformat(), format_duration(between.step)
            try:
                result = runner.run(memory.query_utilization(querier, between, rate_interval=window))
            except UnsupportedError:
                reject()
            except QueryRejectedError:
                with pytest.raises(QueryRejectedError):
                    ask_prometheus(connection, "query", query=promql, time=end)
                return
            expected = ask_prometheus(connection, "query_range", query=promql, start=start, end=end, step=step)
            assert_equal(expected, of_memory(result), promql)
            points[querier.strategy] += sum(len(pairs) for _, pairs in expected)

            expected = ask_prometheus(connection, "query", query=promql, time=end)
            now = runner.run(memory.query_utilization_now(querier, time=between.end, rate_interval=window))
            assert_equal(by_labels(expected), by_labels(of_memory(now)), promql)

        check()
    return points


def test_random_queries_of_random_series(tmp_path: Path, start_prometheus: Callable[..., Server]) -> None:
    """Ranges and instants of any querier give the same series with the same points, ranges in the same order."""
    cases = draw_cases()
    load_into_prometheus(planted(cases), tmp_path)
    server = start_prometheus(tmp_path)
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        memory = load_into_memory(planted(cases), semantics_of(connection))
    points = compare(memory, server, queries(cases))
    assert all(points[strategy] > QUESTIONS // 4 for strategy in QueryStrategy), points


SCRAPES: Final = 30


@contextmanager
def flickering_target(seed: int) -> Iterator[tuple[str, threading.Event]]:
    """Serve some of six series at each scrape, or an error; yield the address, and an event for enough scrapes."""
    chance, scrapes, enough = random.Random(seed), Counter[str](), threading.Event()  # noqa: S311 - to be repeatable

    class Target(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scrapes["served"] += 1
            if scrapes["served"] >= SCRAPES:
                enough.set()
            lines = [f"{exposed(METRIC, {'a': a})} {chance.randint(0, 99)}\n" for a in "uvwxyz" if chance.random() < 0.6]
            self.send_response(500 if chance.random() < 0.1 else 200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write("".join(lines).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Target) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", enough
        finally:
            server.shutdown()
            thread.join()


def replay(history: Answer, semantics: int) -> tuple[MemoryMetrics, int, int]:
    """Append the scrapes of a server to the memory adapter; return it and the span, in ms, that it holds."""
    scrapes: dict[tuple[float, str], list[tuple[str, dict[str, str], float]]] = {}
    for labels, points in history:
        named = dict(labels)
        name = named.pop("__name__")
        for time, value in points:  # every scrape has a sample of `up`, and a failed one has no other
            scrape = scrapes.setdefault((time, named["job"]), [])
            scrape += [(name, named, value)] if name == METRIC else []
    memory = MemoryMetrics(semantics=semantics)
    for (time, job), scraped in sorted(scrapes.items()):
        memory.append_scrape(scraped, target=job, time=time)
    newest = {job: time for time, job in sorted(scrapes)}  # what one job has after the other's newest may be missing
    return memory, round(min(scrapes)[0] * 1000), round(min(newest.values()) * 1000)


@st.composite
def queries_of_targets(draw: st.DrawFn, first_ms: int, last_ms: int) -> BothQuery:
    """Draw a querier and a range within the scrapes."""
    start_ms, end_ms = sorted(draw(st.tuples(st.integers(first_ms - 500, last_ms), st.integers(first_ms, last_ms))))
    return BothQuery(
        querier=FixedQuerier(
            METRIC,
            draw(
                st.dictionaries(
                    st.sampled_from(["a", "job"]),
                    st.sampled_from([LabelMatcher.regex("[u-w]"), LabelMatcher.not_equal("one")]),
                )
            ),
            group_by=draw(st.sampled_from([[], ["a"], ["job"], ["a", "job"]])),
            strategy=draw(st.sampled_from(QueryStrategy)),
        ),
        time_range=time_range(start_ms, end_ms, draw(st.integers(50, 500))),
        rate_interval=draw(st.sampled_from(["350ms", "1s", "3s", "1m"])),
    )


def test_series_that_come_and_go(start_prometheus: Callable[..., Server]) -> None:
    """Scrapes of targets whose series come and go, made by a real server and replayed, give the same answers."""
    with flickering_target(1) as (one, one_served), flickering_target(2) as (two, two_served):
        server = start_prometheus(targets={"one": one, "two": two}, scrape_interval="200ms")
        assert one_served.wait(60)
        assert two_served.wait(60)
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
            history = ask_prometheus(connection, "query", query=f'{{__name__=~"up|{METRIC}"}}[1h]')
            semantics = semantics_of(connection)
        memory, first_ms, last_ms = replay(history, semantics)
        points = compare(memory, server, queries_of_targets(first_ms, last_ms))
    assert all(points[strategy] > QUESTIONS // 4 for strategy in QueryStrategy), points
