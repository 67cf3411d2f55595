"""Answers of the Prometheus HTTP API: bytes in, values out, no I/O.

A reader takes an answer in chunks of any size, decodes the complete parts while the rest arrives, and returns the result
at the end. A reader reads one answer.
"""

from __future__ import annotations

import codecs
import re
from array import array
from typing import Any, Final, Generic, Protocol, TypeVar

import attrs
import msgspec

from statcore.errors import ProtocolError, UnsupportedError
from statcore.model.results import AnswerNotes, MatrixResult, Sample, Series, VectorResult
from statcore_prometheus.answer_cutter import AnswerCutter
from statcore_prometheus.samples import decode, read_samples, read_value

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

# Warnings of Thanos about its stores, and of a Prometheus about the servers that it reads by remote_read. A warning about a
# query begins with "PromQL", and quotes names that the query holds.
_SAYS_PARTIAL: Final = re.compile(
    r"remote_read: |(?!PromQL ).*(?:partial[ _-]?(?:response|result|data|answer)|rpc error: code = |no storeapis matched)",
    re.IGNORECASE | re.DOTALL,
)
# The warning of a Prometheus that reads other servers by remote_read, instead of the values that a label has there.
_NOT_LISTED: Final = "not implemented"
_NOTHING: Final = msgspec.Raw(b"")


class Reader(Protocol[_T_co]):
    """Decodes the bytes of one answer to a value."""

    def feed(self, chunk: bytes, /) -> None:
        """Take the next chunk."""
        ...

    def finish(self) -> _T_co:
        """Return the value after the last chunk; raise `ProtocolError` if the bytes are not an answer."""
        ...


class NotListedError(UnsupportedError):
    """The server reads other servers, and cannot list their values of a label."""


@attrs.frozen(kw_only=True)
class Listing(AnswerNotes, Generic[_T]):
    """The answer to a request for label values, series, or the server's program."""

    items: list[_T]


class _Envelope(msgspec.Struct, Generic[_T], rename="camel", gc=False):
    """An answer; a server may write null for any member that is empty."""

    status: str
    data: _T | msgspec.UnsetType = msgspec.UNSET
    error_type: str | None = None
    error: str | None = None
    warnings: tuple[str, ...] | None = None
    infos: tuple[str, ...] | None = None
    is_partial: bool | None = None


class _Element(msgspec.Struct, gc=False):
    metric: dict[str, str]
    values: msgspec.Raw = _NOTHING
    value: tuple[float, str] | None = None
    histograms: msgspec.Raw = _NOTHING
    histogram: msgspec.Raw = _NOTHING


class _Matrix(msgspec.Struct, rename="camel", gc=False):
    result_type: str
    result: list[_Element] | None


class _Instant(msgspec.Struct, rename="camel", gc=False):
    result_type: str
    result: msgspec.Raw


_NULL: Final = b"null"
_JSON: Final = msgspec.json.Decoder(msgspec.Raw)
_ERROR: Final = msgspec.json.Decoder(_Envelope[object])
_MATRIX: Final = msgspec.json.Decoder(_Envelope[_Matrix | None])
_INSTANT: Final = msgspec.json.Decoder(_Envelope[_Instant | None])
_ELEMENTS: Final = msgspec.json.Decoder(list[_Element])
_SCALAR: Final = msgspec.json.Decoder(tuple[float, str])
_LABEL_VALUES: Final = msgspec.json.Decoder(_Envelope[list[str] | None])
_BUILD_INFO: Final = msgspec.json.Decoder(_Envelope[dict[str, object] | None])
_LABEL_SETS: Final = msgspec.json.Decoder(_Envelope[list[dict[str, str]] | None])


_Utf8Decoder: Final = codecs.getincrementaldecoder("utf-8")


class _Utf8Check:
    """Checks that the bytes of an answer are UTF-8; msgspec checks only the texts that it decodes, not skipped texts."""

    def __init__(self) -> None:
        self._decoder = _Utf8Decoder()

    def check(self, chunk: bytes, *, is_last: bool = False) -> None:
        try:
            self._decoder.decode(chunk, final=is_last)
        except UnicodeDecodeError as error:
            raise ProtocolError(f"not an answer: {error}") from error


def _open(decoder: msgspec.json.Decoder[_Envelope[_T | None]], document: bytes) -> tuple[_T | None, dict[str, Any]]:
    """Return the data of a successful answer, None for null, and its notes as arguments of a result."""
    envelope = decode(decoder, document)
    if envelope.status != "success":
        raise ProtocolError(f"HTTP 200, but the answer says {envelope.status!r:.80}: {envelope.error!r:.1000}")
    if envelope.data is msgspec.UNSET:
        raise ProtocolError("not an answer: it has no data")
    warnings = envelope.warnings or ()
    return envelope.data, {
        "warnings": warnings,
        "infos": envelope.infos or (),
        "partial": bool(envelope.is_partial) or any(map(_SAYS_PARTIAL.match, warnings)),
    }


def read_error(body: bytes) -> tuple[str, str] | None:
    """Return the type and the text of an error answer, or None if the body is not an error answer."""
    try:
        envelope = decode(_ERROR, body)
    except ProtocolError:
        return None
    return (envelope.error_type or "", envelope.error) if envelope.error else None


class MatrixReader:
    """Reads the answer to a range query."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._answer = AnswerCutter()
        self._utf8 = _Utf8Check()
        self._series: list[Series] = []
        self._begun = array("d"), array("d")  # times and values, cut out already, of the element that comes next

    def feed(self, chunk: bytes, /) -> None:
        """Take the next chunk."""
        self._utf8.check(chunk)
        self._answer.add(chunk)
        if (elements := self._answer.cut_elements()) is not None:
            self._take(decode(_ELEMENTS, elements))
        if (samples := self._answer.cut_samples()) is not None:
            decode(_JSON, samples)  # the samples of a complete element have been decoded as JSON; these have not
            self._begin(*read_samples([samples])[0])

    def finish(self) -> MatrixResult:
        """Return the series.

        Raises:
            ProtocolError: the answer is not a matrix.
            UnsupportedError: the answer holds native histograms.
        """
        self._utf8.check(b"", is_last=True)
        data, notes = _open(_MATRIX, self._answer.document())
        if data is not None:
            if data.result_type != "matrix":
                raise ProtocolError(f"not an answer to a range query: a {data.result_type!r:.80}")
            self._take(data.result or [])
        return MatrixResult(series=tuple(self._series), **notes)

    def _take(self, elements: list[_Element]) -> None:
        texts: list[bytes] = []
        for element in elements:
            _refuse_histograms(element)
            if element.values is _NOTHING:
                raise ProtocolError(f"not an answer: no values for {element.metric!r:.200}")
            texts.append(bytes(element.values))
        for element, (times, values) in zip(elements, read_samples(texts), strict=True):
            if self._begun[0]:
                self._begin(times, values)
                (times, values), self._begun = self._begun, (array("d"), array("d"))  # noqa: PLW2901 - all its samples
            self._series.append(Series(labels=element.metric, timestamps=times, values=values))

    def _begin(self, times: array[float], values: array[float]) -> None:
        self._begun[0].extend(times)
        self._begun[1].extend(values)


class VectorReader:
    """Reads the answer to an instant query."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._answer = AnswerCutter()
        self._utf8 = _Utf8Check()
        self._samples: list[Sample] = []

    def feed(self, chunk: bytes, /) -> None:
        """Take the next chunk."""
        self._utf8.check(chunk)
        self._answer.add(chunk)
        if (elements := self._answer.cut_elements()) is not None:
            self._take(decode(_ELEMENTS, elements))

    def finish(self) -> VectorResult:
        """Return the samples; a scalar becomes a sample without labels.

        Raises:
            ProtocolError: the answer is not a result of an instant query.
            UnsupportedError: the answer is text or a range vector, or holds native histograms.
        """
        self._utf8.check(b"", is_last=True)
        data, notes = _open(_INSTANT, self._answer.document())
        if data is not None:
            self._take_result(data)
        return VectorResult(samples=tuple(self._samples), **notes)

    def _take_result(self, data: _Instant) -> None:
        match data.result_type:
            case "vector" | "scalar" if bytes(data.result) == _NULL:
                pass
            case "vector":
                self._take(decode(_ELEMENTS, data.result))
            case "scalar":
                time, value = decode(_SCALAR, data.result)
                self._samples.append(Sample(labels={}, timestamp=time, value=read_value(value)))
            case "matrix":
                raise UnsupportedError("the query selects a range of samples; wrap it in a function such as rate(…)")
            case "string":
                raise UnsupportedError("the query is a text, which is not a sample")
            case other:
                raise ProtocolError(f"not an answer to an instant query: a {other!r:.80}")

    def _take(self, elements: list[_Element]) -> None:
        for element in elements:
            _refuse_histograms(element)
            if element.values is not _NOTHING:
                raise UnsupportedError("the query selects a range of samples; wrap it in a function such as rate(…)")
            if element.value is None:
                raise ProtocolError(f"not an answer: no value for {element.metric!r:.200}")
            time, value = element.value
            self._samples.append(Sample(labels=element.metric, timestamp=time, value=read_value(value)))


class ListingReader(Generic[_T]):
    """Reads the answer to a request for label values, series, or the server's program."""

    def __init__(
        self,
        decoder: msgspec.json.Decoder[_Envelope[list[_T] | None]]
        | msgspec.json.Decoder[_Envelope[dict[str, object] | None]],
    ) -> None:
        """Start with nothing; `decoder` decodes an answer with the items, or with a map whose pairs are the items."""
        self._decoder: Any = decoder
        self._answer = bytearray()

    def feed(self, chunk: bytes, /) -> None:
        """Take the next chunk."""
        self._answer += chunk

    def finish(self) -> Listing[_T]:
        """Return the items.

        Raises:
            ProtocolError: the answer does not hold such items.
            NotListedError: it lacks the items of other servers, which have to be found by another request.
        """
        answer = bytes(self._answer)
        _Utf8Check().check(answer, is_last=True)
        items, notes = _open(self._decoder, answer)
        if _NOT_LISTED in notes["warnings"]:
            raise NotListedError("the server cannot list this of the servers that it reads by remote_read")
        return Listing(items=_listed(items), **notes)


def _listed(items: Any) -> list[Any]:  # noqa: ANN401 - what a decoder of `ListingReader` returns
    return list(items.items() if isinstance(items, dict) else items or ())  # pyright: ignore[reportUnknownArgumentType]


def build_info_reader() -> ListingReader[tuple[str, object]]:
    """Return a reader of the facts that a server gives about its program: pairs of a name, such as version, and a value."""
    return ListingReader(_BUILD_INFO)


def label_values_reader() -> ListingReader[str]:
    """Return a reader of the values of a label."""
    return ListingReader(_LABEL_VALUES)


def series_reader() -> ListingReader[dict[str, str]]:
    """Return a reader of the label sets of series."""
    return ListingReader(_LABEL_SETS)


def _refuse_histograms(element: _Element) -> None:
    if element.histogram is not _NOTHING or element.histograms is not _NOTHING:
        raise UnsupportedError(
            f"{element.metric!r:.200} holds native histograms; wrap it in a function such as histogram_quantile(…)"
        )
