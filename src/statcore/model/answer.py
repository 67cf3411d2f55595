"""What every answer of a metric backend says about itself, beside its series."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class AnswerNotes:
    """The backend's remarks: `warnings` may mean missing data, `infos` never do, `partial` says so outright."""

    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    partial: bool = False
