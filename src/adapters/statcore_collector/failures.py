"""What fails in a round of collection: items that cannot be read, counts of failures, and their log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, ParamSpec, TypeAlias, TypeVar

import attrs
import psutil

from statcore.model.text import describe

_logger: Final = logging.getLogger(__name__)

FailureKind: TypeAlias = Literal["machine", "item", "store"]
"""No process of the machine can be read, an item of a round cannot be read, or the store cannot be written to."""
_KINDS: Final[tuple[FailureKind, ...]] = ("machine", "item", "store")

FRESH_INTERVALS: Final = 4
"""After this many intervals agent statistics expire in the store, and exported samples and the health become stale."""

ValueT = TypeVar("ValueT")
Arguments = ParamSpec("Arguments")


@attrs.frozen
class Unreadable:
    """The items that could not be read in one round, each with the reason; everything else of the round is kept."""

    reasons: dict[str, str] = attrs.field(factory=dict[str, str], init=False)

    def read(
        self, item: str, read: Callable[Arguments, ValueT], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> ValueT | None:
        """Return the result of `read`, or None when it fails; a failure is kept as the reason for `item`.

        Every exception counts as a failure, because psutil does not document what it raises for a line of /proc that it
        cannot parse.

        Args:
            item: the name of what is read, for the log.
            read: the function to call.
            args: its arguments.
            kwargs: its arguments by name.

        Raises:
            psutil.NoSuchProcess: the process has ended, which is not a failure.
        """
        try:
            return read(*args, **kwargs)
        except psutil.NoSuchProcess:
            raise
        except Exception as error:  # noqa: BLE001 - a ValueError, an IndexError, … of psutil's parsers
            self.reasons[item] = describe(error)
            return None

    def add(self, owner: str, other: Unreadable) -> None:
        """Add the items of one owner, such as a kernel, with the owner's name in front."""
        self.reasons.update({f"{owner}: {item}": reason for item, reason in other.reasons.items()})


class Health:
    """Counts rounds and failures, and knows what fails now; logs each failure when it begins and when it ends.

    Only one thread may call `end_round`; any thread may read.

    Attributes:
        succeeded: rounds without an error of the machine or the store.
        failed: the other rounds.
        duration_s: the seconds that all rounds took together.
        failures: the number of failures by kind.
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
        """Count a round, and log the failures that began or ended with it.

        Args:
            duration_s: the seconds that the round took.
            failures: the reasons of failures, by kind and name. The failures of a missing kind are unknown: they neither
                begin nor end.
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
            self._log_changes(self._failing[kind], reasons)

    def problem(self, *, max_age_s: float) -> str | None:
        """Return what is wrong, or None when the last round succeeded and ended at most `max_age_s` seconds ago."""
        if self._ended_s is None:
            return "no round has ended yet"
        age_s = time.monotonic() - self._ended_s
        if age_s > max_age_s:
            return f"no round has ended for {age_s:.0f} seconds"
        return None if self._error is None else f"the last round failed: {self._error}"

    @staticmethod
    def _log_changes(failing: dict[str, datetime], reasons: Mapping[str, str]) -> None:
        now = datetime.now(UTC)
        for name in failing.keys() - reasons.keys():
            _logger.info(
                "no longer failing since %s: %s; it had failed since %s",
                _rfc3339(now),
                name,
                _rfc3339(failing.pop(name)),
            )
        for name in reasons.keys() - failing.keys():
            failing[name] = now
            _logger.warning("failing since %s: %s: %s", _rfc3339(now), name, reasons[name])


def _rfc3339(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
