"""Store of live statistics in memory: it behaves like a dictionary whose entries expire."""

from __future__ import annotations

import asyncio
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from statcore.model import MetricValue
from statcore.model.statistics import STATS
from statcore_memory import MemoryStatistics

IDS = st.sampled_from(string.ascii_lowercase[:6])
TEXT = st.decimals(allow_nan=True).map(str)
METRICS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.builds(
        MetricValue,
        current=TEXT,
        capacity=st.none() | TEXT,
        pct=TEXT,
        unit_hint=st.sampled_from(["", "bytes", "bps"]),
        stats=st.dictionaries(st.sampled_from(STATS), TEXT),
    ),
    max_size=3,
)
WRITE = st.tuples(st.just("write"), st.dictionaries(IDS, METRICS, max_size=4))
REMOVE = st.tuples(st.just("remove"), st.lists(IDS, max_size=3))
WAIT = st.tuples(st.just("wait"), st.integers(0, 60_000))
READ = st.tuples(st.just("read"), st.lists(IDS | st.just("never written"), max_size=8))


@given(st.lists(WRITE | REMOVE | WAIT | READ, max_size=20), st.integers(1, 8))
def test_entries_are_those_of_a_dictionary(steps: list[tuple[str, Any]], max_entries: int) -> None:
    """After any writes, removals and waits, every id has its newest entry, in order, until it expires or makes room."""
    now = 0.0
    store = MemoryStatistics(max_entries=max_entries, clock=lambda: now)
    model: dict[str, tuple[float, dict[str, Any]]] = {}
    with asyncio.Runner() as runner:
        for step, argument in [*steps, ("read", list(model))]:
            if step == "wait":
                now += argument
            elif step == "remove":
                runner.run(store.remove(argument))
                for id_ in argument:
                    model.pop(id_, None)
            elif step == "write":
                runner.run(store.store_kernel_statistics(argument))
                for id_, metrics in argument.items():
                    model.pop(id_, None)
                    model[id_] = (now + 86_400, {name: value.to_map() for name, value in metrics.items()})
                    model = {key: held for key, held in model.items() if held[0] > now}
                    while len(model) > max_entries:
                        del model[next(iter(model))]
            else:
                expected = [model[id_][1] if id_ in model and model[id_][0] > now else None for id_ in argument]
                batch = runner.run(store.fetch_kernel_statistics(argument))
                assert (expected, {}) == (list(batch), dict(batch.problems))
