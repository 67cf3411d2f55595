"""Finding faults of a set-up that answers all the same."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class DiagnosisPort(Protocol):
    """An adapter that can tell what is wrong with its set-up; no adapter has to. `statcore doctor` asks those that can."""

    async def diagnose(self) -> str | None:
        """Return in one line what is wrong although the server answers, and what to do; None where nothing is."""
        ...
