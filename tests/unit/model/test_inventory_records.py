"""Records of an inventory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

from statcore.errors import InputError
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, SessionRecord

NAIVE = datetime(2026, 11, 1, 12)  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize(
    "record",
    [partial(KernelRecord, kernel_id="k"), partial(EndpointRecord, endpoint_id="e"), partial(AgentRecord, agent_id="a")],
)
def test_a_time_without_a_zone_is_refused(record: Callable[..., Any]) -> None:
    """It would be read as a time of this machine's zone."""
    with pytest.raises(InputError, match="started_at must be a time with a zone, not 2026-11-01T12:00:00"):
        record(started_at=NAIVE)
    assert record().started_at is None


def test_a_session_started_with_the_first_of_its_kernels() -> None:
    """Zones may differ; a kernel whose start is not known does not count."""
    later = NAIVE.replace(tzinfo=UTC)
    first = (later - timedelta(seconds=1)).astimezone(timezone(timedelta(hours=9)))
    kernels = [KernelRecord(kernel_id=str(number), started_at=time) for number, time in enumerate([later, None, first])]
    assert first == SessionRecord(session_id="s", kernels=tuple(kernels)).started_at
    assert SessionRecord(session_id="s", kernels=(kernels[1],)).started_at is None
