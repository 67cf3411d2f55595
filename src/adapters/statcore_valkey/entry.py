"""Entries of a batch: checked when they arrive, decoded when they are read. This module does no I/O."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from typing import Any

from msgspec import Raw, Struct, StructMeta

from statcore.errors import MalformedEntryError
from statcore_valkey.codec import (
    Row,
    UnusualPayloadError,
    decode_eagerly,
    decode_metric,
    decode_metrics,
    decode_names,
    decode_outline,
    decode_values,
    encode_values,
    has_extension,
    has_sound_keys,
    has_sound_names,
    hide_fields,
    refuse,
    refusing,
    row_decoder,
)


class _StructAndMapping(StructMeta, ABCMeta):
    """Lets a struct be a Mapping."""


class _EncodeAsDictInstead:
    """Makes msgspec refuse to encode an entry, which it would encode as a struct; its error shows this name."""


class StoredEntry(Mapping[str, Any], Struct, metaclass=_StructAndMapping, eq=False, gc=False):
    """A read-only view of stored metrics that decodes a metric when it is read.

    What was decoded is kept until another entry is read, because keeping it takes longer than decoding it. An entry to
    which a reader comes back keeps it for good.

    Reading a metric that is not a map raises `MalformedEntryError`, which names the key and the metric. Comparing entries
    and listing all metrics raise it as well. `len`, `in`, iterating over names and `repr` never raise it.

    It is a struct that garbage collection skips: thousands are made at once, and none is part of a cycle.

    Args:
        content: a payload that has been checked, or the metrics by name, each Raw until it is read.
        key: the key of the entry in the store, for messages.
    """

    content: bytes | dict[str, Any]
    key: str
    was_read: bool = False
    encoding: _EncodeAsDictInstead = _EncodeAsDictInstead()

    def __getitem__(self, metric: str) -> Any:  # noqa: ANN401 - whatever is stored
        """Return the map of a metric."""
        content = self.content
        if isinstance(content, bytes):
            last, content = _last_read[0]
            if last is not self:
                content = self._metrics()
        value = content[metric]
        if isinstance(value, Raw):
            value = content[metric] = decode_metric(value, self.key, metric)
        return value

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the metrics."""
        return iter(self._metrics())

    def __len__(self) -> int:
        """Return how many metrics there are."""
        return len(self._metrics())

    def __contains__(self, metric: object) -> bool:
        """Return whether there is such a metric, malformed or not."""
        return metric in self._metrics()

    def __ne__(self, other: object) -> bool:
        """Return whether the metrics differ; without this, a struct compares identities."""
        return not self == other

    def items(self) -> ItemsView[str, Any]:
        """Return the metrics by name."""
        return self._decoded().items()

    def values(self) -> ValuesView[Any]:
        """Return the metrics."""
        return self._decoded().values()

    def __repr__(self) -> str:
        """Show all metrics, and which are malformed."""
        return f"{{{', '.join(f'{metric!r}: {self._shown(metric)}' for metric in self)}}}"

    def _shown(self, metric: str) -> str:
        try:
            return repr(self[metric])
        except MalformedEntryError:
            return "<malformed>"

    def _metrics(self) -> dict[str, Any]:
        content = self.content
        if not isinstance(content, bytes):
            return content
        last, metrics = _last_read[0]
        if last is self:
            return metrics
        outline = decode_outline(content)
        if outline is None:  # the check, with more of the stack free, accepted it
            refuse(content, key=self.key, reason="nested too deeply")
        return self._keep(outline)

    def _decoded(self) -> dict[str, Any]:
        content = self.content
        if isinstance(content, bytes) and _last_read[0][0] is not self:
            at_once = decode_metrics(content)
            if at_once is not None:
                return self._keep(at_once)
        metrics = self._metrics()
        for metric, value in metrics.items():  # not `self[metric]`: another thread may read another entry meanwhile
            if isinstance(value, Raw):
                metrics[metric] = decode_metric(value, self.key, metric)
        return metrics

    def _keep(self, metrics: dict[str, Any]) -> dict[str, Any]:
        if self.was_read:
            self.content = metrics
        else:
            self.was_read = True
            _last_read[0] = (self, metrics)
        return metrics

    def row(self, fields: tuple[str, ...], /) -> Row | None:
        """Return a text or None for each field, straight from the payload; None if a field is not text, or is malformed."""
        content = self.content
        return row_decoder(fields)(content) if isinstance(content, bytes) else None

    @classmethod
    def encode_json(cls, entries: Sequence[StoredEntry | None], /, *, shown: bool) -> bytes | None:
        """Return a JSON list of entries, straight from their payloads; None if one has other fields than agents write."""
        try:
            values = [None if entry is None else decode_values(entry.content) for entry in entries]
        except UnusualPayloadError:
            return None
        if shown:
            for metrics in values:
                hide_fields(metrics or {})
        return encode_values(values)


# In a list, because a tuple is replaced in one step, whatever other threads read.
_last_read: list[tuple[StoredEntry | None, dict[str, Any]]] = [(None, {})]


def read_metrics(payload: bytes, /, *, key: str) -> StoredEntry:
    """Check a map of metrics and return it as an entry.

    Truncated, trailing and overlong bytes, another shape, names of fields that are neither text nor numbers, and forbidden
    or broken extensions are found here, and refuse the whole entry. Another fault inside one metric is found when that
    metric is read.

    Raises:
        MalformedEntryError: the payload is not a map of metrics.
    """
    if not has_extension(payload) and has_sound_keys(payload):
        return StoredEntry(payload, key)
    with refusing(payload, key=key):
        metrics = decode_eagerly(payload)
    if not all(has_sound_names(metric) for metric in metrics.values() if isinstance(metric, Raw)):
        refuse(payload, key=key, reason="the name of a field is neither text nor a number")
    return StoredEntry(metrics, key)


def row_reader(fields: tuple[str, ...]) -> Callable[..., StoredEntry | Row]:
    """Return a function such as `read_metrics` that returns only some fields of an entry, as `StoredEntry.row` does.

    It returns the entry itself where `StoredEntry.row` returns None. A fault of another metric, or of its name, may stay
    unnoticed.

    The function raises:
        MalformedEntryError: the payload is not a map of metrics.
    """
    decode = row_decoder(fields)

    def read(payload: bytes, /, *, key: str) -> StoredEntry | Row:
        row = None if has_extension(payload) else decode(payload)
        return read_metrics(payload, key=key) if row is None else row

    return read


def read_agent(payload: bytes, /, *, key: str) -> StoredEntry:
    """Check the payload of an agent, which holds its node and devices, and return it as an entry; a missing half is empty.

    Raises:
        MalformedEntryError: the payload is not such a map.
    """
    decode = decode_eagerly if has_extension(payload) else decode_names
    with refusing(payload, key=key):
        halves = decode_names(payload)
        metrics = {half: decode(halves[half]) if half in halves else {} for half in ("node", "devices")}
    if not halves.keys() & metrics.keys():
        refuse(payload, key=key, reason="neither node nor devices")
    return StoredEntry({half: StoredEntry(of, key) for half, of in metrics.items()}, key)
