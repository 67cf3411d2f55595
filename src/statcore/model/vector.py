"""The answer to a query at one instant: one sample per series."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from statcore.model.answer import AnswerNotes


@attrs.frozen(kw_only=True)
class Sample:
    """One sample: labels, `timestamp` in unix seconds, and the value."""

    labels: Mapping[str, str]
    timestamp: float
    value: float


@attrs.frozen(kw_only=True)
class VectorResult(AnswerNotes):
    """The samples of an instant query, with the backend's warnings and infos."""

    samples: tuple[Sample, ...]
