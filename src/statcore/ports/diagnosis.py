"""Port for diagnosis: faults of the set-up of a service that answers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class DiagnosisPort(Protocol):
    """An adapter that can find faults of its set-up, for `statcore doctor`. An adapter need not implement it."""

    async def diagnose(self) -> str | None:
        """Return in one line what is wrong although the server answers, and what to do; None if nothing is wrong."""
        ...
