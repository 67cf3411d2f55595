"""How the rounds of a collector go: for the log, for `/metrics` and for `/healthz`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

_logger = logging.getLogger(__name__)

FailureKind: TypeAlias = Literal["machine", "item", "store"]
"""The processes cannot be read at all; something in a round was left out; the store did not take what it was given."""
_KINDS: Final[tuple[FailureKind, ...]] = ("machine", "item", "store")

FRESH_INTERVALS: Final = 4
"""Agent statistics expire in the store after as many intervals; what is exported, and a round, grow stale then too."""


class Health:
    """Counts of rounds and failures, and what fails now; each failure is logged when it begins and when it ends.

    `end_round` is called on one thread; everything may be read from any other.
    """

    def __init__(self) -> None:
        """Start before the first round."""
        self._failing: dict[FailureKind, dict[str, datetime]] = {kind: {} for kind in _KINDS}
        self._ended_s: float | None = None
        self._error: str | None = None
        self.succeeded: int = 0
        self.failed: int = 0
        self.duration_s: float = 0.0
        self.failures: dict[FailureKind, int] = dict.fromkeys(_KINDS, 0)

    def end_round(self, *, duration_s: float, failures: Mapping[FailureKind, Mapping[str, str]]) -> None:
        """Count a round.

        Args:
            duration_s: how long it took.
            failures: what failed, by kind and name, with the reason; a kind that is missing was not tried.
        """
        self._error = next((reason for kind in ("machine", "store") for reason in failures.get(kind, {}).values()), None)
        if self._error is None:
            self.succeeded += 1
        else:
            self.failed += 1
        self.duration_s += duration_s
        self._ended_s = time.monotonic()
        for kind, reasons in failures.items():
            self.failures[kind] += len(reasons)
            self._tell(self._failing[kind], reasons)

    def problem(self, *, max_age_s: float) -> str | None:
        """Return why the rounds are not as they should be, or None: the last one succeeded, `max_age_s` ago at most."""
        if self._ended_s is None:
            return "no round has ended yet"
        age_s = time.monotonic() - self._ended_s
        if age_s > max_age_s:
            return f"no round has ended for {age_s:.0f} seconds"
        return None if self._error is None else f"the last round failed: {self._error}"

    @staticmethod
    def _tell(failing: dict[str, datetime], reasons: Mapping[str, str]) -> None:
        now = datetime.now(UTC)
        for name in failing.keys() - reasons.keys():
            _logger.info(
                "no longer failing since %s: %s; it had failed since %s", _text(now), name, _text(failing.pop(name))
            )
        for name in reasons.keys() - failing.keys():
            failing[name] = now
            _logger.warning("failing since %s: %s: %s", _text(now), name, reasons[name])


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
