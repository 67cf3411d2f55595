"""Validators of fields, and settings by name: what is accepted, and what is refused with the name of the field."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import attrs
import pytest

from statcore.errors import InputError
from statcore.model import (
    NOT_A_SETTING,
    check_count,
    check_label_value,
    check_line,
    check_mapping,
    check_one_of,
    check_seconds,
    check_truth,
    check_whole_number,
    from_settings,
    optional_uuid,
    read_only,
)


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


def test_the_longest_time_is_68_years() -> None:
    """It is 2**31 - 1 seconds, and half a second less is shorter."""
    longest = 2**31 - 1
    assert (longest, longest - 0.5) == (_Options(timeout_s=longest).timeout_s, _Options(timeout_s=longest - 0.5).timeout_s)


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        *[
            ("timeout_s", bad)
            for bad in (0, -1.0, math.nan, math.inf, 2**31, 1e300, 10**400, -(10**5000), "1", True, None, [1])
        ],
        *[("attempts", bad) for bad in (0, -1, 1.0, 2**53, 10**5000, "1", True, None)],
        *[("strict", bad) for bad in ("", "true", 1, None, 10**5000)],
        *[(setting, "hunter2") for setting in ("timeout_s", "attempts", "strict")],
        *[(setting, ["hunter2"]) for setting in ("timeout_s", "attempts", "strict")],
        *[("password", bad) for bad in ("", "hunter2\n", "hunter2\x7f", "hunter2\udc80", 1, None)],
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else type(value).__name__,
)
def test_a_bad_setting_is_refused_by_name(setting: str, bad: Any) -> None:
    """Text is not shown, because it may be a secret that was meant for another setting."""
    with pytest.raises(InputError, match=f"{setting} must be ") as caught:
        from_settings(_Options, {setting: bad}, adapter="the store")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout", "_made", "made", "clock"])
def test_an_unknown_setting_is_refused_and_the_known_are_listed(name: str) -> None:
    """A field that cannot be given at construction is not a setting, nor is one that only a program may give."""
    known = "timeout_s, attempts, strict, password"
    with pytest.raises(InputError, match=f"the store has no setting '{name}'; its settings are {known}$"):
        from_settings(_Options, {name: 1}, adapter="the store")


@attrs.frozen(kw_only=True)
class _Fields:
    replicas: int = attrs.field(default=0, validator=check_whole_number(0))
    database: int = attrs.field(default=0, validator=check_whole_number(-1, 3))
    metric: str = attrs.field(default="mem", validator=check_one_of(("mem", "cpu_util")))
    rack: str = attrs.field(default="r1", validator=check_label_value)
    headers: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=read_only, validator=check_mapping, hash=False
    )
    owner: UUID | None = attrs.field(default=None, converter=optional_uuid)


_OWNER = UUID("6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11")


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        *(("replicas", value, value) for value in (0, 1, 2**53)),
        *(("database", value, value) for value in (-1, 0, 3)),
        ("metric", "cpu_util", "cpu_util"),
        *(("rack", value, value) for value in (" ", "\n", "ü", 'a"b', "🗄")),
        ("headers", {"a": "b"}, {"a": "b"}),
        *(("owner", value, _OWNER) for value in (_OWNER, str(_OWNER), str(_OWNER).upper())),
        ("owner", None, None),
    ],
)
def test_a_right_value_is_kept(field: str, given: Any, kept: Any) -> None:
    """The bounds belong to the range, and an id becomes a UUID."""
    assert kept == getattr(_Fields(**{field: given}), field)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        *(("replicas", bad) for bad in (-1, True, 1.0, "1", None)),
        *(("database", bad) for bad in (-2, 4, True, 10**5000)),
        *(("metric", bad) for bad in ("disk", "", None, ["mem"])),
        *(("rack", bad) for bad in ("", "\ud800", 5, None)),
        *(("headers", bad) for bad in (None, "a=b", [("a", "b")])),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isidentifier() else type(value).__name__,
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str, bad: Any) -> None:
    """The message begins with the name."""
    with pytest.raises(InputError, match=f"^{field} "):
        _Fields(**{field: bad})


def test_an_id_that_spells_no_uuid_is_refused() -> None:
    """The message shows the text."""
    with pytest.raises(InputError, match="not an id: 'r1'"):
        _Fields(owner="r1")


def test_a_mapping_is_kept_as_a_read_only_copy() -> None:
    """Later changes of the caller's mapping do not reach it."""
    given = {"a": "b"}
    kept = _Fields(headers=given).headers
    given.clear()
    assert {"a": "b"} == kept
    with pytest.raises(TypeError):
        kept["c"] = "d"  # type: ignore[index]
