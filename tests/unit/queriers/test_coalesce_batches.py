"""How many requests it comes to: along which label is merged, and how much goes into one batch."""

from __future__ import annotations

from tests.unit.queriers.alike import host, mem, text, texts

from statcore.queriers import LabelMatcher, coalesce
from statcore.testing.queriers import FixedQuerier


def test_batches_of_values() -> None:
    """As many values at a time as may be; the last alone is asked for as it asks itself."""
    coalesced = coalesce([mem(number) for number in range(513)])
    assert [256, 256, 1] == [len(one.positions) for one in coalesced]
    assert text(mem(512)) == text(coalesced[-1])
    assert [(0, 1), (2, 3), (4,)] == [one.positions for one in coalesce([mem(number) for number in range(5)], max_values=2)]
    assert [text(mem(number)) for number in range(3)] == texts(*map(mem, range(3)), max_values=1)


def test_a_set_stays_in_one_batch() -> None:
    """One that is larger than a batch stays alone, as it is."""
    large = host(LabelMatcher.one_of([*"abcd"]))
    coalesced = coalesce(
        [host("a"), host(LabelMatcher.one_of([*"ef"])), large, host(LabelMatcher.one_of([*"gh"]))], max_values=3
    )
    assert [(0, 1), (2,), (3,)] == [one.positions for one in coalesced]
    assert text(large) == text(coalesced[1])


def test_two_metrics_of_many_kernels() -> None:
    """They are merged along the label that saves more: two batches for each metric."""
    queriers = [mem(kernel, metric) for kernel in range(500) for metric in ("mem", "io_read")]
    coalesced = coalesce(queriers)
    assert [256, 256, 244, 244] == [len(one.positions) for one in coalesced]
    assert 500 == len({position // 2 for one in coalesced[::2] for position in one.positions})


def test_one_metric_of_many_kernels_beside_many_metrics_of_one() -> None:
    """What no batch of kernels has, goes into one of metrics."""
    queriers = [mem(kernel) for kernel in range(100)] + [mem(7, f"metric{number}") for number in range(50)]
    assert [tuple(range(100)), tuple(range(100, 150))] == [one.positions for one in coalesce(queriers)]


def test_many_metrics_of_a_few_kernels_beside_one_metric_of_many() -> None:
    """Each kernel's metrics are one batch, though every metric has more than one kernel."""
    queriers = [mem(kernel) for kernel in range(100)]
    queriers += [mem(kernel, f"metric{number}") for number in range(50) for kernel in (7, 8)]
    assert 3 == len(coalesce(queriers))


def test_a_metric_that_every_kernel_has_beside_others() -> None:
    """Taking the most kernels together first would leave each kernel's other metrics to a request of their own."""
    queriers = [mem(kernel, metric) for kernel in range(4) for metric in ("mem", f"one{kernel}", f"two{kernel}")]
    assert [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)] == [one.positions for one in coalesce(queriers)]


def test_a_tie_goes_to_the_label_that_is_first_by_name() -> None:
    """So that the same input gives the same requests in every process."""
    square = [FixedQuerier("up", {"b": b, "a": a}) for b in "xy" for a in "xy"]
    assert ['sum by (a)(up{b="x",a=~"x|y"})', 'sum by (a)(up{b="y",a=~"x|y"})'] == texts(*square)
