"""What says which processes are a kernel."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from statcore import InputError
from statcore_collector import KernelTarget

KERNEL = UUID("6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11")


def test_ids_become_canonical_text() -> None:
    """What is stored is found again, however the id was spelled."""
    target = KernelTarget(pid=1, kernel_id=str(KERNEL).upper(), user_id=KERNEL, agent_id="i-1")
    assert (str(KERNEL), str(KERNEL), None) == (target.kernel_id, target.user_id, target.session_id)


@pytest.mark.parametrize(
    "wrong", [{"kernel_id": "x"}, {"user_id": ""}, {"pid": 0}, {"pid": -1}, {"pid": "1"}, {"agent_id": "\ud800"}]
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """An id that is none and a pid that cannot be are told at once."""
    with pytest.raises(InputError):
        KernelTarget(**{"pid": 1, "kernel_id": uuid4(), **wrong})
