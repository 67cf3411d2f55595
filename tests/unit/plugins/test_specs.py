"""What a backend says it does otherwise than promised."""

from __future__ import annotations

from typing import Any

import pytest

from statcore.errors import InputError
from statcore.plugins import MetricBackendSpec
from statcore.ports import MetricQuerierPort


async def never(url: str, options: object) -> MetricQuerierPort:
    """Open nothing."""
    raise AssertionError(url, options)


def spec(**arguments: Any) -> MetricBackendSpec:
    """Return a spec."""
    return MetricBackendSpec(name="acme", summary="s", schemes=("acme",), open=never, **arguments)


def test_a_backend_differs_in_nothing_unless_it_says_so() -> None:
    """And what it says does not change any more."""
    assert {} == dict(spec().differences)
    given = {"values_are_exact": "They are rounded."}
    said = spec(differences=given)
    given.clear()
    assert {"values_are_exact": "They are rounded."} == dict(said.differences)
    with pytest.raises(TypeError):
        said.differences["ping_returns"] = "It does not."  # type: ignore[index]
    assert hash(spec()) == hash(said)


@pytest.mark.parametrize(
    "differences", [None, "all", ["values_are_exact"], {"": "x"}, {"values_are_exact": ""}, {"a": None}, {1: "x"}]
)
def test_what_says_nothing_is_refused(differences: Any) -> None:
    """When the spec is built."""
    with pytest.raises(InputError, match=r"^differences must "):
        spec(differences=differences)
