"""Lines through measured points, and what is computed from them."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import KERNELS, Line, PrometheusCosts, PrometheusSite, ValkeyCosts, ValkeySite, plan_prometheus, plan_valkey
from report import Table

_SIZES = (1_000, 10_000, 100_000)


def _line(each: float, *, fixed: float = 0.0) -> Line:
    return Line(fixed=fixed, each=each, error=0.0)


_COSTS = ValkeyCosts(
    memory_bytes=_line(1_700.0, fixed=1e6),
    write_s=_line(4e-6),
    read_s=_line(2e-6),
    client_s=_line(6e-6, fixed=1e-3),
    replica_share=0.25,
)
_ENGINE = PrometheusCosts(series=13, memory_bytes=_line(40_000.0, fixed=1e8), ingest_s=_line(4e-5), query_s=_line(6e-5))


@given(fixed=st.floats(0, 1e6), each=st.floats(1e-3, 1e6))
def test_line_through_points_of_a_line_is_that_line(fixed: float, each: float) -> None:
    """It gives the points back, beyond them as well, and says that it deviates from none of them."""
    line = Line.fit({size: fixed + each * size for size in _SIZES})
    assert pytest.approx(fixed + each * 10_000_000) == line.at(10_000_000)
    assert pytest.approx(10_000_000) == line.size_at(line.at(10_000_000))
    assert pytest.approx(0, abs=1e-6) == line.error


@given(st.lists(st.floats(0.5, 2), min_size=3, max_size=3))
def test_error_of_a_line_is_its_largest_relative_deviation(factors: list[float]) -> None:
    """No measured point is farther from the line, and one is as far."""
    points = {size: size * factor for size, factor in zip(_SIZES, factors, strict=True)}
    line = Line.fit(points)
    deviations = [abs(line.at(size) - value) / value for size, value in points.items()]
    assert pytest.approx(max(deviations), abs=1e-9) == line.error


def test_small_sizes_count_as_much_as_large_ones() -> None:
    """A line that is off by a tenth at the largest size does not miss the smallest by many times its value."""
    assert Line.fit({1_000: 1.0, 10_000: 10.0, 1_000_000: 1_100.0}).error < 0.1


@given(shard_gb=st.floats(1, 256), write_interval_s=st.floats(0.5, 60))
def test_one_valkey_is_enough_up_to_the_size_that_is_reported(shard_gb: float, write_interval_s: float) -> None:
    """Just below it one primary is enough, and just above it two are needed."""
    site = ValkeySite(shard_gb=shard_gb, write_interval_s=write_interval_s)
    largest = min(_COSTS.largest(site))
    assert [1, 2] == [max(_COSTS.shards(largest * factor, site)) for factor in (0.999, 1.001)]


def test_cluster_has_at_least_three_primaries() -> None:
    """Where one server is not enough, there are as many primaries as memory and CPU need, but never two."""
    site = ValkeySite(replicas=2)
    _, sites = plan_valkey(_COSTS, _COSTS, site)
    primaries = _column(sites, "primaries")
    assert 1 == primaries[0]
    assert all(count == 1 or count >= 3 for count in primaries)
    assert [3 * count for count in primaries] == _column(sites, "servers")
    needed = zip(_column(sites, "primaries by memory"), _column(sites, "primaries by CPU"), strict=True)
    assert all(count >= max(both) for count, both in zip(primaries, needed, strict=True))


def test_larger_sites_need_as_much_or_more() -> None:
    """Of everything, for Valkey and for Prometheus."""
    for tables in (plan_valkey(_COSTS, _COSTS, ValkeySite()), plan_prometheus({"engine": _ENGINE}, PrometheusSite())):
        sites = tables[-1]
        assert [f"{kernels:,}" for kernels in KERNELS] == [row.contender for row in sites.rows]
        for column in sites.columns:
            assert sorted(_column(sites, column)) == _column(sites, column)


def test_sites_are_computed_with_the_newest_engine() -> None:
    """The costs of the last version count; the costs of all versions are listed."""
    costly = attrs.evolve(_ENGINE, memory_bytes=_line(80_000.0))
    fitted, sites = plan_prometheus({"old": costly, "new": _ENGINE}, PrometheusSite())
    assert sites.title.startswith("new")
    assert sites == plan_prometheus({"new": _ENGINE}, PrometheusSite())[1]
    assert {"old", "new"} == {row.contender.split(",")[0] for row in fitted.rows}


def test_assumptions_are_listed() -> None:
    """Each with its value, below the computed sites."""
    _, sites = plan_valkey(_COSTS, _COSTS, ValkeySite(write_interval_s=7.5))
    assert "seconds between two writes of a kernel by its agent: 7.5" in sites.notes[0]
    assert len(attrs.fields(ValkeySite)) == sites.notes[0].count(": ") - 1


def _column(table: Table, name: str) -> list[float]:
    return [row.figures[name] for row in table.rows]
