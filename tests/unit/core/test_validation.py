"""Settings of adapters: what is accepted, and what is refused by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from statcore.errors import InputError
from statcore.model.validation import NOT_A_SETTING, check_count, check_line, check_seconds, check_truth, from_settings


@attrs.frozen(kw_only=True)
class _Options:
    timeout_s: float = attrs.field(default=1.0, validator=check_seconds)
    attempts: int = attrs.field(default=1, validator=check_count)
    strict: bool = attrs.field(default=False, validator=check_truth)
    password: str = attrs.field(default="x", validator=check_line)
    _made: int = attrs.field(default=0, init=False)
    clock: Callable[[], float] = attrs.field(default=time.monotonic, metadata=NOT_A_SETTING)


def test_options_come_from_settings_by_name() -> None:
    """A field for each setting; what is not set keeps its default."""
    settings = {"timeout_s": 2, "strict": True, "password": "a b: ü"}
    assert _Options(timeout_s=2, attempts=1, strict=True, password="a b: ü") == from_settings(  # noqa: S106 - no secret
        _Options, settings, adapter="the store"
    )


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        *[("timeout_s", bad) for bad in (0, -1.0, math.nan, math.inf, 1e300, 10**400, -(10**5000), "1", True, None, [])],
        *[("attempts", bad) for bad in (0, -1, 1.0, 2**53, 10**5000, "1", True, None)],
        *[("strict", bad) for bad in ("", "true", 1, None, 10**5000)],
        *[(setting, "hunter2") for setting in ("timeout_s", "attempts", "strict")],
        *[(setting, ["hunter2"]) for setting in ("timeout_s", "attempts", "strict")],
        *[("password", bad) for bad in ("", "hunter2\n", "hunter2\x7f", "hunter2\udc80", 1, None)],
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else type(value).__name__,
)
def test_a_bad_setting_is_refused_by_name(setting: str, bad: Any) -> None:
    """And text, which may be a secret that was typed into the wrong setting, is not shown."""
    with pytest.raises(InputError, match=f"{setting} must be ") as caught:
        from_settings(_Options, {setting: bad}, adapter="the store")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout", "_made", "made", "clock"])
def test_an_unknown_setting_is_refused_with_those_that_there_are(name: str) -> None:
    """What cannot be given at construction, or only by a program, is no setting either."""
    known = "timeout_s, attempts, strict, password"
    with pytest.raises(InputError, match=f"the store has no setting '{name}'; its settings are {known}$"):
        from_settings(_Options, {name: 1}, adapter="the store")
