"""Which methods of a port an adapter has."""

from __future__ import annotations

from tests.support.delegating import Delegating

from statcore.ports.capabilities import as_port, missing_methods
from statcore.ports.statistics import DatedStatisticsPort


class Dated:
    """A store that has the one method of a port."""

    def with_ages(self) -> Dated:
        """Return itself."""
        return self


class Undated(Dated):
    """A store that does not have a method of its base, and says so as Python's own classes do."""

    with_ages = None  # type: ignore[assignment]


def test_a_method_that_a_wrapper_passes_on_is_there() -> None:
    """`isinstance` does not see it from Python 3.12 on."""
    store = Delegating(Dated())
    assert [store, None] == [as_port(wrapper, DatedStatisticsPort) for wrapper in (store, Delegating(object()))]


def test_a_method_that_is_none_is_missing() -> None:
    """A call of it would raise TypeError."""
    assert ["with_ages"] == missing_methods(Undated(), DatedStatisticsPort)
    assert as_port(Undated(), DatedStatisticsPort) is None
