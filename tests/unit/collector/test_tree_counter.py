"""The counter of a tree, by example; the property is in tests/property."""

from __future__ import annotations

from statcore_collector.tree_counter import Tally, TreeCounter


def _nobody(_: str) -> None:
    return None


def test_a_waited_for_child_is_counted_once() -> None:
    """What the parent absorbed is not kept as well."""
    counter = TreeCounter[str]()
    assert 150 == counter.update({"root": Tally(100, 0), "child": Tally(50, 0)}, _nobody)
    assert 165 == counter.update({"root": Tally(165, 60)}, lambda _: "root")


def test_a_child_that_nobody_waited_for_is_kept() -> None:
    """The counter does not fall when a process takes its share with it."""
    counter = TreeCounter[str]()
    counter.update({"root": Tally(100, 0), "child": Tally(50, 0)}, _nobody)
    assert 155 == counter.update({"root": Tally(105, 0)}, lambda _: "root")


def test_an_orphan_that_ends_elsewhere_is_kept() -> None:
    """Its parent is gone, and who waited for it is not of this tree."""
    counter = TreeCounter[str]()
    counter.update({"root": Tally(100, 0), "orphan": Tally(50, 0)}, _nobody)
    assert 150 == counter.update({"root": Tally(100, 0)}, _nobody)
    assert 157 == counter.update({"root": Tally(107, 0)}, _nobody)


def test_a_whole_branch_that_ends_at_once_is_counted_once() -> None:
    """Child and grandchild were waited for, one by the other."""
    counter = TreeCounter[str]()
    counter.update({"root": Tally(1, 0), "child": Tally(20, 0), "grandchild": Tally(300, 0)}, _nobody)
    assert 321 == counter.update({"root": Tally(321, 320)}, lambda _: "root")


def test_what_cannot_be_read_counts_as_it_last_did() -> None:
    """A tally that is denied for a round neither falls out nor is counted twice."""
    counter = TreeCounter[str]()
    counter.update({"root": Tally(100, 0), "child": Tally(50, 0)}, _nobody)
    assert 151 == counter.update({"root": Tally(101, 0), "child": None}, _nobody)
    assert 161 == counter.update({"root": Tally(161, 60)}, lambda _: "root")


def test_what_could_never_be_read_counts_nothing() -> None:
    """There is no last tally to stand in."""
    assert 100 == TreeCounter[str]().update({"root": Tally(100, 0), "child": None}, _nobody)
