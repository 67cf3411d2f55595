"""Cutting: what is cut out of an answer; tests/property shows that it changes no result."""

from __future__ import annotations

import pytest

from statcore.errors import ProtocolError
from statcore_prometheus import answer_cutter
from statcore_prometheus.answer_cutter import AnswerCutter

BEFORE = b'{"status":"success","data":{"resultType":"matrix","result":['
FIRST = b'{"metric":{"a":"1"},"values":[[1,"2"],[3,"4"]]}'
SECOND = b'{"metric":{"a":"2"},"values":[[1,"2"],[3,"4"],[5,"6"'


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut as soon as there is anything."""
    monkeypatch.setattr(answer_cutter, "PIECE_BYTES", 40)


def test_elements_and_samples_are_cut_out() -> None:
    """Complete elements and samples are cut out; the rest stays, with its labels."""
    cutter = AnswerCutter()
    cutter.add(BEFORE + FIRST + b", \n" + SECOND)
    assert b"[" + FIRST + b"]" == cutter.cut_elements()
    assert cutter.cut_elements() is None
    assert b'[[1,"2"],[3,"4"]]' == cutter.cut_samples()
    assert cutter.cut_samples() is None
    assert BEFORE + b'{"metric":{"a":"2"},"values":[[5,"6"' == cutter.document()


def test_samples_end_with_their_list() -> None:
    """Text after the list that looks like a sample is not cut out."""
    cutter = AnswerCutter()
    cutter.add(BEFORE + FIRST + b']},"stats":[["a"],["b"]]}')
    assert cutter.cut_elements() is None
    assert b'[[1,"2"]]' == cutter.cut_samples()
    assert BEFORE + FIRST.replace(b'[1,"2"],', b"") + b']},"stats":[["a"],["b"]]}' == cutter.document()


def test_a_missing_comma_is_not_made_up() -> None:
    """Elements without a comma between them are refused, although they are cut apart."""
    cutter = AnswerCutter()
    cutter.add(BEFORE + FIRST + b" " + SECOND)
    with pytest.raises(ProtocolError, match="commas"):
        cutter.cut_elements()


@pytest.mark.parametrize(
    "answer",
    [
        BEFORE.replace(b":", b": ") + FIRST + b"," + SECOND,
        b'{"status":"success","data":[' + FIRST + b"," + SECOND,
        BEFORE + b'{"values":[[1,"2"],[3,"4"]],"metric":{"a":"1"}},' + SECOND,
    ],
)
def test_an_answer_in_another_form_is_not_cut(answer: bytes) -> None:
    """An answer with other spaces or another order of members is not cut, and is read at the end."""
    cutter = AnswerCutter()
    for start in range(0, len(answer), 50):
        cutter.add(answer[start : start + 50])
        assert (None, None) == (cutter.cut_elements(), cutter.cut_samples())
    assert answer == cutter.document()
