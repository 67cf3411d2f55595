"""The error tree: what is retried, what an error carries, and that it survives a trip between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable

import pytest

from statcore import errors
from statcore.errors import (
    AccessDeniedError,
    ClosedError,
    InputError,
    LimitError,
    MalformedEntryError,
    MissingExtraError,
    PartialAnswerError,
    PluginError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
    UntrustedServerError,
)

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
EXAMPLES: list[tuple[StatcoreError, dict[str, object]]] = [
    (StatcoreError("m"), {}),
    (InputError("m"), {}),
    (ClosedError("m"), {}),
    (LimitError("m", limit="ids"), {"limit": "ids"}),
    (UnavailableError("m", service="db:1", retry_after_s=2.5), {"service": "db:1", "retry_after_s": 2.5}),
    (UnavailableError("m"), {"service": "", "retry_after_s": None}),
    (AccessDeniedError("m", service="db:1"), {"service": "db:1"}),
    (UntrustedServerError("m", service="db:1"), {"service": "db:1"}),
    (TimedOutError("m", timeout_s=1.5), {"timeout_s": 1.5}),
    (ProtocolError("m"), {}),
    (MalformedEntryError("m", key="k", metric="mem"), {"key": "k", "metric": "mem"}),
    (MalformedEntryError("m", key="k"), {"key": "k", "metric": None}),
    (QueryRejectedError("m", query="up", status=422), {"query": "up", "status": 422}),
    (PartialAnswerError("m", warnings=("half",)), {"warnings": ("half",)}),
    (MissingExtraError("valkey", module="redis"), {"extra": "valkey", "module": "redis"}),
    (MissingExtraError("valkey", module="glide", requirement="statcore-glide"), {"requirement": "statcore-glide"}),
    (PluginError("m", plugin="p", method="name"), {"plugin": "p", "method": "name"}),
    (UnsupportedError("m"), {}),
]


def test_every_error_has_an_example() -> None:
    """No class of the module is left out below."""
    assert {kind.__name__ for kind in CLASSES} == {type(error).__name__ for error, _ in EXAMPLES}


@pytest.mark.parametrize("kind", CLASSES)
def test_one_root_catches_all(kind: type[Exception]) -> None:
    """Every error is a `StatcoreError`, and none is caught by accident as an operating system's error or a cancellation."""
    assert issubclass(kind, StatcoreError)
    assert not issubclass(kind, OSError)


def test_bad_input_is_a_value_error_and_nothing_else_is() -> None:
    """A caller may catch bad input as Python has it."""
    assert {"InputError", "ClosedError", "LimitError"} == {
        kind.__name__ for kind in CLASSES if issubclass(kind, ValueError)
    }


def test_only_transient_errors_are_retryable() -> None:
    """A refused credential stays refused although it is a kind of being unavailable."""
    retryable = {type(error).__name__ for error, _ in EXAMPLES if error.retryable}
    assert {"UnavailableError", "TimedOutError", "PartialAnswerError"} == retryable


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 - our own
@pytest.mark.parametrize(("error", "attributes"), EXAMPLES, ids=[type(error).__name__ for error, _ in EXAMPLES])
def test_an_error_keeps_what_it_carries(
    error: StatcoreError, attributes: dict[str, object], duplicate: Callable[[StatcoreError], StatcoreError]
) -> None:
    """Text, attributes and notes are the same on a copy, and on the other side of a pickle."""
    noted = copy.copy(error)
    noted.add_note("seen in a test")
    for found in (error, duplicate(noted)):
        assert type(error) is type(found)
        assert str(error) == str(found)
        assert error.args == found.args
        assert attributes == {name: getattr(found, name) for name in attributes}
    assert ["seen in a test"] == duplicate(noted).__notes__


def test_a_missing_extra_says_what_to_install() -> None:
    """The message names the extra, the module when known, and the command."""
    assert "this needs the extra 'cli': pip install 'statcore[cli]'" == str(MissingExtraError("cli"))
    expected = "this needs the extra 'valkey' (no module named 'redis'): pip install 'statcore[valkey]'"
    assert expected == str(MissingExtraError("valkey", module="redis"))
    of_a_plugin = MissingExtraError("valkey", module="glide", requirement="statcore-glide")
    assert "this needs statcore-glide (no module named 'glide'): pip install 'statcore-glide'" == str(of_a_plugin)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_tree_in_the_documentation_has_the_http_status_of_every_error(kind: type[StatcoreError]) -> None:
    """What can be tried again later is 503 or 504, what the caller must change 4xx."""
    (row,) = [line.split() for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line.split()]
    assert str(kind.http_status) == row[row.index(kind.__name__) + 1]
    assert kind.retryable is (kind.http_status in {503, 504})
    assert (issubclass(kind, InputError | QueryRejectedError) and kind.__name__ != "ClosedError") is (
        kind.http_status < 500
    )
