"""What the Prometheus adapter promises for any bytes of a server: answers, in pieces of any size, and answers of errors."""

from __future__ import annotations

import json
import math
import struct
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from tests.fuzz.promises import SECRET, assert_one_line, outcome

from statcore.errors import ProtocolError, StatcoreError, UnsupportedError
from statcore_prometheus import answer_cutter
from statcore_prometheus.answer_cutter import AnswerCutter
from statcore_prometheus.error_mapping import from_status
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.requests import Request
from statcore_prometheus.server import Server
from statcore_prometheus.wire import (
    MatrixReader,
    Reader,
    VectorReader,
    build_info_reader,
    label_values_reader,
    read_error,
    series_reader,
)

Read: TypeAlias = Any
"""What was read from an answer, in a form that equals itself also with NaN."""
_WHOLE: Final = 2**30
_UNSUPPORTED: Final = (b"histogram", b'"matrix"', b'"string"', b'"values"', b"not implemented")
"""What an answer holds that is refused although it is one."""
_MARK: Final = b'{"metric":{'
_READERS: Final[Sequence[Callable[[], Reader[Any]]]] = (
    MatrixReader,
    VectorReader,
    label_values_reader,
    series_reader,
    build_info_reader,
)
_SERVER: Final = Server.from_url(f"http://me:{SECRET}@127.0.0.1:9090", options=PrometheusOptions())
_REQUEST: Final = Request(path="/api/v1/query", parameters=[], by_form=True, subject="up")


def check_wire(data: bytes) -> None:
    """An answer is read as `json` reads it, or is not supported; and has the same result in pieces of any size."""
    kind, piece, chunk, body = _shape(data)
    read_error(body)
    pieces = outcome(lambda: _read(body, kind=kind, piece=piece, chunk=chunk), StatcoreError)
    try:
        whole = outcome(lambda: _read(body, kind=kind, piece=_WHOLE, chunk=_WHOLE), ProtocolError)
    except UnsupportedError:
        assert pieces is None
        assert any(word in body for word in _UNSUPPORTED)
        return
    try:
        answer = _loads(body)
    except AmbiguousError:
        return
    expected = outcome(lambda: _BY_JSON[kind](answer), ValueError, LookupError, TypeError, AttributeError, OverflowError)
    assert expected == whole
    if pieces is None and whole is not None:
        assert body.count(_MARK) > len(whole[0])  # an element beside the list
    else:
        assert pieces == whole


def check_cutter(data: bytes) -> None:
    """The parts that were cut out of valid JSON, and the rest of it, are valid JSON and hold the same elements."""
    _, piece, chunk, body = _shape(data)
    cutter = AnswerCutter()
    parts: list[tuple[str, bytes]] = []
    with patch.object(answer_cutter, "PIECE_BYTES", piece):
        for part in _chunks(body, chunk):
            cutter.add(part)
            try:
                cut = [("elements", cutter.cut_elements()), ("samples", cutter.cut_samples())]
            except StatcoreError:
                return  # not JSON, or an element beside the list, which `check_wire` checks
            parts += [(kind, text) for kind, text in cut if text is not None]
    held = sum(len(text) for _, text in parts)
    assert held + len(cutter.document()) <= len(body) + 2 * len(parts)
    expected = outcome(lambda: _loads(body)["data"]["result"], ValueError, LookupError, TypeError)
    if parts and expected is not None and body.count(_MARK) == len(expected) and all("values" in item for item in expected):
        rest = json.loads(cutter.document())["data"]["result"]
        assert repr(expected) == repr(list(_joined(parts, rest)))


def check_error_answer(data: bytes) -> None:
    """Any answer with an error status becomes an error of ours, whose message is one line without the secrets."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode("latin-1").split("\n")
    headers = dict(line.partition(": ")[::2] for line in lines)
    number = int(status[:3]) if status[:3].isascii() and status[:3].isdecimal() else 500
    error = from_status(number, headers, body, server=_SERVER, request=_REQUEST, timeout_s=1.0)
    assert isinstance(error, StatcoreError)
    assert_one_line(str(error))
    assert b64encode(f"me:{SECRET}".encode()).decode() not in str(error)
    pause_s = getattr(error, "retry_after_s", None)
    assert pause_s is None or (math.isfinite(pause_s) and pause_s >= 0)


def check_retry_after(data: bytes) -> None:
    """The pause that a server asks for is a finite number of seconds from zero up, or is ignored."""
    text = data.decode("latin-1")
    error: Any = from_status(429, {"Retry-After": text}, b"", server=_SERVER, request=_REQUEST, timeout_s=1.0)
    pause_s = error.retry_after_s
    assert pause_s is None or (math.isfinite(pause_s) and pause_s >= 0)
    if text.isascii() and text.isdecimal() and len(text) < 10:
        assert int(text) == pause_s


class AmbiguousError(ValueError):
    """Readers of JSON may differ: two members have one name, a text has half a character, or a number is too large."""


def _loads(body: bytes) -> Any:
    """Return what `json` reads; None for what is not JSON.

    Raises:
        AmbiguousError: two members have one name, a text has half a character, or a number is too large for a float.
    """

    def distinct(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(members)) < len(members):
            raise AmbiguousError
        return dict(members)

    try:
        answer = json.loads(body.decode(), object_pairs_hook=distinct, parse_float=_finite, parse_constant=_refuse_constant)
    except AmbiguousError:
        raise
    except (ValueError, RecursionError):
        return None
    try:
        json.dumps(answer, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise AmbiguousError from error
    return answer


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise AmbiguousError(text)
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _shape(data: bytes) -> tuple[int, int, int, bytes]:
    """Return the kind of answer, the sizes of pieces and chunks, and the body, from bytes."""
    kind, piece, chunk, *_ = *data[:3], 0, 1, 1
    return kind % len(_READERS), max(1, piece), max(1, chunk), data[3:]


def _chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def _read(body: bytes, *, kind: int, piece: int, chunk: int) -> Read:
    """Read an answer that arrives in chunks, cut into pieces of about `piece` bytes."""
    reader = _READERS[kind]()
    with patch.object(answer_cutter, "PIECE_BYTES", piece):
        for part in _chunks(body, chunk):
            reader.feed(part)
        result = reader.finish()
    if isinstance(reader, MatrixReader):
        found: Any = [(dict(s.labels), _bits(s.timestamps), _bits(s.values)) for s in result.series]
    elif isinstance(reader, VectorReader):
        found = [(dict(s.labels), _bits([s.timestamp]), _bits([s.value])) for s in result.samples]
    else:
        found = repr(result.items)
    return found, result.warnings, result.infos


def _bits(numbers: Iterable[float]) -> bytes:
    return b"".join(struct.pack("d", math.nan if math.isnan(number) else number) for number in numbers)


def _joined(parts: Iterable[tuple[str, bytes]], rest: list[Any]) -> Iterator[Any]:
    """Yield the elements of an answer from its parts; samples belong to the element that comes next."""
    begun: list[Any] = []
    for kind, text in chain(parts, [("elements", rest)]):
        items = json.loads(text) if isinstance(text, bytes) else text
        if kind == "samples":
            begun += items
            continue
        for element in items:
            yield {**element, "values": begun + element["values"]} if begun else element
            begun = []


def _successful(answer: Any) -> Any:
    """Return the data of an answer; raise ValueError for one that is not successful, or has a member of another type."""
    if answer["status"] != "success" or type(answer.get("isPartial")) not in {bool, type(None)}:
        raise ValueError(answer)
    for name in ("errorType", "error"):
        _text(answer.get(name) or "")
    return answer["data"]


def _notes(answer: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    warnings, infos = (tuple(map(_text, _of(list, answer.get(name)))) for name in ("warnings", "infos"))
    return warnings, infos


def _sample(sample: Any) -> tuple[float, str]:
    time, value = _of(list, sample)
    if type(time) not in {int, float}:
        raise ValueError(sample)
    return float(time), _text(value)


def _numbers(samples: Any) -> tuple[bytes, bytes]:
    read = list(map(_sample, _of(list, samples)))
    return _bits([time for time, _ in read]), _bits([_number(value) for _, value in read])


def _number(text: str) -> float:
    """Return the number in a text; raise ValueError for what only Python reads as one, such as a text with spaces."""
    if text not in {"NaN", "Inf", "+Inf", "-Inf"} and set(text) - set("0123456789.+-eE"):
        raise ValueError(text)
    return float(text)


def _matrix(answer: Any) -> Read:
    data = _successful(answer)
    if data is None:
        return [], *_notes(answer)
    if data["resultType"] != "matrix":
        raise ValueError(answer)
    elements = _of(list, data["result"])
    for element in elements:
        if element.get("value") is not None:
            _sample(element["value"])
    return [(_labels(element["metric"]), *_numbers(element["values"])) for element in elements], *_notes(answer)


def _vector(answer: Any) -> Read:
    data = _successful(answer)
    if data is None or (data["result"] is None and data["resultType"] in {"vector", "scalar"}):
        return [], *_notes(answer)
    if data["resultType"] == "scalar":
        return [({}, *_numbers([data["result"]]))], *_notes(answer)
    if data["resultType"] != "vector":
        raise ValueError(answer)
    elements = _of(list, data["result"])
    return [(_labels(element["metric"]), *_numbers([element["value"]])) for element in elements], *_notes(answer)


def _label_values(answer: Any) -> Read:
    return repr([_text(value) for value in _of(list, _successful(answer))]), *_notes(answer)


def _series(answer: Any) -> Read:
    return repr([_labels(labels) for labels in _of(list, _successful(answer))]), *_notes(answer)


def _pairs(answer: Any) -> Read:
    return repr(list(_of(dict, _successful(answer)).items())), *_notes(answer)


def _of(kind: type[Any], value: Any) -> Any:
    """Return a list or a map, an empty one for null."""
    if value is not None and type(value) is not kind:
        raise ValueError(value)
    return value or kind()


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(value)
    return value


def _labels(value: Any) -> dict[str, str]:
    return {_text(name): _text(text) for name, text in value.items()}


_BY_JSON: Final[Sequence[Callable[[Any], Read]]] = (_matrix, _vector, _label_values, _series, _pairs)


def _answer(data: Any, **notes: Any) -> bytes:
    return json.dumps({"status": "success", "data": data, **notes}, separators=(",", ":"), ensure_ascii=False).encode()


def _element(number: int, *values: str, **labels: str) -> dict[str, Any]:
    return {
        "metric": {"n": str(number), **labels},
        "values": [[1_795_341_600 + at, value] for at, value in enumerate(values)],
    }


_LABEL: Final = 'é\\"{"metric":{"},"values":[["'
_MATRIX: Final = {"resultType": "matrix", "result": [_element(n, "1", "2.5", "-0", "1e+30") for n in range(4)]}
_ODD: Final = {
    "resultType": "matrix",
    "result": [_element(1, "NaN", "+Inf", "-Inf", a=_LABEL), _element(2), _element(3, "0")],
}
_UNUSED: Final[Sequence[Any]] = ({}, [1, "x"])
"""Values of series that also have `values`: none is read, and only a sample is taken."""
_VECTOR: Final = {"resultType": "vector", "result": [{"metric": {"a": _LABEL}, "value": [1.5, "2"]} for _ in range(3)]}
_BODIES: Final = (
    (0, _answer(_MATRIX)),
    (0, _answer(_ODD, warnings=["PromQL: x", "partial response"], infos=["i"], isPartial=True)),
    (0, _answer({**_MATRIX, "stats": {"result": [{"metric": {}, "values": [[1, "1"]]}]}})),
    (0, json.dumps({"status": "success", "data": _MATRIX}).encode()),
    (0, _answer({"resultType": "matrix", "result": None})),
    *((0, _answer({"resultType": "matrix", "result": [{**_element(1, "0"), "value": value}]})) for value in _UNUSED),
    (0, _answer(None)),
    (0, _answer({"resultType": "matrix", "result": [{"metric": {}, "histograms": [[1, {"count": "1"}]]}]})),
    (0, b'{"status":"error","errorType":"bad_data","error":"parse error"}'),
    (1, _answer(_VECTOR)),
    (1, _answer({"resultType": "scalar", "result": [1.5, "NaN"]})),
    (1, _answer({"resultType": "string", "result": [1.5, "text"]})),
    (2, _answer(["a", "\ufffd", ""], warnings=["not implemented"])),
    (2, _answer(["a", "b"])),
    (3, _answer([{"__name__": "up", "job": "é"}, {}])),
    (4, _answer({"version": "3.1.0", "goVersion": None, "n": [1, 2.5]})),
)

ANSWERS: Final = (
    b"",
    *(bytes([kind, piece, chunk]) + body for kind, body in _BODIES for piece, chunk in ((255, 255), (20, 7))),
    b"\x00\xff\xff" + b"[" * 100_000,
    b'\x00\x10\x10{"status":"success","data":' + b'{"a":' * 50_000,
)
ERROR_ANSWERS: Final = (
    b'400\n\n{"status":"error","errorType":"bad_data","error":"1:5: parse error near hunter2-s3cret"}',
    b'422\n\n{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory"}',
    b"503\nContent-Type: text/html\nRetry-After: 5\n\n<html>502</html>",
    b"429\nRetry-After: Fri, 31 Dec 99999999999999999999 23:59:59 GMT\n\ntoo many outstanding requests",
    b'401\nWWW-Authenticate: Basic realm="x"\n\nno org id',
    b"302\nLocation: http://me:hunter2-s3cret@[::1]:99999/x?y\n\n",
    b"308\nLocation: //h:80/%0a\x85\n\n",
    b'500\n\n{"status":"error","error":"hunter2\\u002ds3cret \\ud83d\\ude00","errorType":"timeout"}',
    b"404\n\n" + b"\xff" * 3000,
    b"499\n\n\x1b[31m\xe2\x80\xa8",
)
RETRY_AFTER: Final = (
    b"5",
    b"0",
    b" 120 ",
    b"-1",
    b"1e9",
    b"99999999999999999999",
    "٣".encode(),
    b"Fri, 31 Dec 1999 23:59:59 GMT",
    b"Fri, 31 Dec 9999 23:59:59 -9999",
    b"Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
    b"Fri, 31 Dec 2027 23:59:59 +99999999999999999999",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"\xb2",
)
