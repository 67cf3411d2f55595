"""Watching: what is shown while answers come, and while they do not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

import pytest
from rich.text import Text

from statcore.errors import InputError, StatcoreError, UnavailableError
from statcore_cli import watching
from statcore_cli.watching import watch


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again at once."""
    monkeypatch.setattr(watching, "INTERVAL_S", 0)


def reading(answers: Sequence[str | StatcoreError]) -> Callable[[], Awaitable[str]]:
    """Return a function that answers one after the other, and is then cancelled."""
    remaining = iter(answers)

    async def read() -> str:
        answer = next(remaining, None)
        if answer is None:
            raise asyncio.CancelledError
        if isinstance(answer, StatcoreError):
            raise answer
        return answer

    return read


async def test_an_outage_is_reported_and_reading_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error has the error in one line, and standard output only answers."""
    read = reading(["one", UnavailableError("refused\nby host"), "two"])

    with pytest.raises(asyncio.CancelledError):
        await watch(read, write=print, draw=None)

    assert ("one\ntwo\n", "statcore: UnavailableError: refused by host\n") == capsys.readouterr()


async def test_the_screen_keeps_the_last_answer_during_an_outage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error stands above it."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    read = reading(["the answer", UnavailableError("refused")])

    with pytest.raises(asyncio.CancelledError):
        await watch(read, write=print, draw=lambda answer, _: Text(answer))

    shown = capsys.readouterr().out
    outage = shown.index("UnavailableError: refused")
    assert shown.index("the answer") < outage < shown.rindex("the answer")


async def test_an_error_of_every_read_ends_watching() -> None:
    """Another attempt could not mend it."""
    with pytest.raises(InputError):
        await watch(reading([InputError("no such sort"), "never"]), write=print, draw=None)
