"""Answers are read to the bit, however they are cut into chunks; a broken answer is never read as a whole one."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from statcore.errors import StatcoreError
from statcore.model.numbers import format_sample_value
from statcore_prometheus import answer_cutter
from statcore_prometheus.wire import MatrixReader, VectorReader

MARKS = [
    *('{"metric":{', '"result":[{"metric":{', '},"values":[[', '"],[', '"]]'),
    *(",", "]", "}", '"', "\\", '\\"', "[[1,", "]}]}}"),
]
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.lists(st.sampled_from(MARKS)).map("".join)
)
LABELS = st.dictionaries(TEXT, TEXT, max_size=3)
TIMES = st.integers(0, 2**41).map(lambda ms: ms / 1000)
VALUES = st.floats(allow_nan=True).map(format_sample_value) | st.sampled_from(["-0", "1e+30", "+Inf", "-Inf", "NaN", "0"])
SAMPLES = st.tuples(TIMES, VALUES)
SPACING = st.sampled_from([(",", ":"), (", ", ":"), (",", ": "), (", ", ": ")])

KINDS = st.sampled_from(["matrix", "vector"])
SERIES = st.tuples(LABELS, st.lists(SAMPLES, min_size=1, max_size=12))

Planted = list[tuple[dict[str, str], list[tuple[float, str]]]]
Read = tuple[list[tuple[dict[str, str], bytes, bytes]], tuple[str, ...], bool]


def bits(numbers: Sequence[float]) -> bytes:
    """Return numbers in a form that compares bits, so that NaN equals NaN."""
    return b"".join(struct.pack("d", float("nan") if number != number else number) for number in numbers)  # noqa: PLR0124


def document(
    kind: str, planted: Planted, notes: dict[str, Any], spacing: tuple[str, str] = (",", ":"), *, ascii_: bool = False
) -> bytes:
    """Return an answer as bytes; a vector has the first sample of each series."""
    elements = [
        {"metric": labels, "values": samples} if kind == "matrix" else {"metric": labels, "value": samples[0]}
        for labels, samples in planted
    ]
    answer = {"status": "success", "data": {"resultType": kind, "result": elements}, **notes}
    return json.dumps(answer, separators=spacing, ensure_ascii=ascii_).encode()


def read(body: bytes, *, kind: str, piece: int, chunk: int) -> Read:
    """Read an answer that arrives in chunks, cut into pieces of about `piece` bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answer_cutter, "PIECE_BYTES", piece)
        reader: Any = MatrixReader() if kind == "matrix" else VectorReader()
        for start in range(0, len(body), chunk):
            reader.feed(body[start : start + chunk])
        result = reader.finish()
    if kind == "matrix":
        found = [(dict(s.labels), bits(s.timestamps), bits(s.values)) for s in result.series]
    else:
        found = [(dict(s.labels), bits([s.timestamp]), bits([s.value])) for s in result.samples]
    return found, result.warnings, result.partial


notes = st.fixed_dictionaries({}, optional={"warnings": st.lists(TEXT, max_size=2), "isPartial": st.booleans()})
pieces = st.integers(1, 400)
chunks = st.integers(1, 200)


@given(KINDS, st.lists(SERIES, max_size=12), notes, SPACING, st.booleans(), pieces, chunks)
@example("matrix", [({}, [(1.0, "-0")]), ({"a": "b"}, [])], {}, (",", ":"), False, 400, 200)  # noqa: FBT003
def test_an_answer_is_read_to_the_bit(
    kind: str,
    planted: Planted,
    remarks: dict[str, Any],
    spacing: tuple[str, str],
    ascii_: bool,  # noqa: FBT001
    piece: int,
    chunk: int,
) -> None:
    """Labels, numbers, spaces and the places of cuts are arbitrary."""
    body = document(kind, planted, remarks, spacing, ascii_=ascii_)
    read_samples = [(labels, samples if kind == "matrix" else samples[:1]) for labels, samples in planted]
    expected = [
        (labels, bits([time for time, _ in samples]), bits([float(value) for _, value in samples]))
        for labels, samples in read_samples
    ]
    found, warnings, partial = read(body, kind=kind, piece=piece, chunk=chunk)
    assert expected == found
    assert tuple(remarks.get("warnings", ())) == warnings
    assert partial or not remarks.get("isPartial", False)


@given(
    KINDS,
    st.lists(SERIES, min_size=1, max_size=5),
    st.tuples(st.integers(0), st.integers(0, 12), st.binary(max_size=3) | st.sampled_from(MARKS).map(str.encode)),
    pieces,
    chunks,
)
def test_a_broken_answer_is_as_broken_in_pieces(
    kind: str, planted: Planted, damage: tuple[int, int, bytes], piece: int, chunk: int
) -> None:
    """An answer with bytes lost, added or changed gives the same result or refusal, whole or in pieces."""
    body = document(kind, planted, {})
    at = damage[0] % len(body)
    body = body[:at] + damage[2] + body[at + damage[1] :]
    try:
        whole = read(body, kind=kind, piece=2**30, chunk=2**30)
    except StatcoreError:
        with pytest.raises(StatcoreError):
            read(body, kind=kind, piece=piece, chunk=chunk)
    else:
        assert whole == read(body, kind=kind, piece=piece, chunk=chunk)


def read_by_json(body: bytes) -> Read:
    """Read an answer to a range query with `json` alone; raise `ValueError` for anything else."""
    answer = json.loads(body.decode())
    try:
        if answer["status"] != "success" or answer["data"]["resultType"] != "matrix":
            raise ValueError(answer)
        found = [
            (element["metric"], *(bits([float(sample[n]) for sample in element["values"]]) for n in (0, 1)))
            for element in answer["data"]["result"]
        ]
        shapes = [sample for element in answer["data"]["result"] for sample in element["values"]]
        if any(len(sample) != 2 or type(sample[0]) is str or type(sample[1]) is not str for sample in shapes):
            raise ValueError(answer)
        return found, tuple(answer.get("warnings", ())), answer.get("isPartial", False)
    except (LookupError, TypeError) as error:
        raise ValueError(answer) from error


@settings(max_examples=500)
@given(
    st.lists(st.tuples(LABELS, st.lists(SAMPLES, max_size=8)), min_size=1, max_size=3),
    st.fixed_dictionaries({}, optional={"warnings": st.lists(TEXT, max_size=2), "stats": TEXT}),
    st.data(),
    st.integers(1, 100),
    st.integers(1, 100),
)
def test_one_wrong_byte_is_never_read_as_something_else(
    planted: Planted, remarks: dict[str, Any], data: st.DataObject, piece: int, chunk: int
) -> None:
    """An answer with a byte replaced, added or lost is read as `json` reads it, or refused."""
    body = document("matrix", planted, remarks)
    beside_values = [at + 1 for at, byte in enumerate(body) if byte == ord('"') and body[at + 1 : at + 2] in b",]"]
    at = data.draw(st.integers(0, len(body) - 1) | st.sampled_from(beside_values))
    byte = data.draw(st.sampled_from([bytes([byte]) for byte in b'0123456789+-.eE"[]{},: \n\\\x00\xffnI']) | st.just(b""))
    body = body[:at] + byte + body[at + data.draw(st.integers(0, 1)) :]
    try:
        expected = read_by_json(body)
    except ValueError:
        with pytest.raises(StatcoreError):
            read(body, kind="matrix", piece=piece, chunk=chunk)
        return
    try:
        found, warnings, partial = read(body, kind="matrix", piece=piece, chunk=chunk)
    except StatcoreError:
        return
    assert expected[:2] == (found, warnings)
    assert partial or not expected[2]


@pytest.mark.parametrize(
    "members",
    [
        '"stats":{"result":[{"metric":{},"values":[[1,"1"],[2,"1"]]},{"metric":{},"values":[[1,"1"]]}]},"data":DATA',
        '"data":DATA,"stats":{"series":{},"values":[[1,"1"],[2,"1"],[3,"1"]]}',
    ],
)
def test_elements_and_samples_beside_the_list_are_not_read(members: str) -> None:
    """They look as those of the list do, and stand in front of it or behind it."""
    data = '{"resultType":"matrix","result":[{"metric":{"n":"1"},"values":[]}]}'
    body = f'{{"status":"success",{members.replace("DATA", data)}}}'.encode()
    for piece in range(1, 200):
        for chunk in (1, 7, 1_000):
            assert ([({"n": "1"}, b"", b"")], (), False) == read(body, kind="matrix", piece=piece, chunk=chunk)


def test_a_long_answer_is_cut() -> None:
    """The part that is held back stays short, for many series and for one long series."""
    samples = [(1_795_341_600.0 + n, str(n / 8)) for n in range(20_000)]
    many: Planted = [({"n": str(n)}, samples[:20]) for n in range(1_000)]
    long: Planted = [({}, samples)]
    for planted in (many, long):
        body = document("matrix", planted, {})
        reader = MatrixReader()
        held = 0
        for start in range(0, len(body), 10_000):
            reader.feed(body[start : start + 10_000])
            held = max(held, len(reader._answer.document()))
        assert held < 2 * answer_cutter.PIECE_BYTES < len(body) / 2
        assert len(planted) == len(reader.finish().series)
