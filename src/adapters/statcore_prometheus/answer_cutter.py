"""Cutting complete parts out of an answer while the rest arrives, so that it is decoded piece by piece.

A matrix or vector is one long list of elements, and each element of a matrix has one long list of samples. Decoding a whole
list in one step would block the event loop, and need the memory, for all of it. So complete parts are cut out and decoded
immediately. The remaining document is decoded at the end; it is valid JSON exactly if the whole answer is.

Cuts are found by marks, which every server writes in the same way. In valid JSON no mark can stand inside a string, since
each mark has a quote, which would be escaped there. In broken JSON the part that was cut out, or the rest, cannot be
decoded. An answer with other spaces, or with another order of members, is never cut.

A mark may also stand beside the list, for example among statistics of the query. Therefore the text in front of the first
element, or of samples, is decoded to see where they stand. Elements behind the list make the answer invalid.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from statcore.errors import ProtocolError

PIECE_BYTES: Final = 64 * 1024
"""How many bytes of an answer are decoded between two turns of the event loop: about a millisecond of work."""

_ELEMENT: Final = b'{"metric":{'
_RESULT: Final = b'"result":['
_FIRST_ELEMENT: Final = _RESULT + _ELEMENT
_FIRST_SAMPLE: Final = b'},"values":[['
_NEXT_SAMPLE: Final = b'"],['
_LAST_SAMPLE: Final = b'"]]'
_SPACE: Final = b" \t\r\n"


class _Data(msgspec.Struct, gc=False):
    result: tuple[()]


class _Answer(msgspec.Struct, gc=False):
    data: _Data


class _Labels(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    metric: msgspec.Raw


_EMPTY_ANSWER: Final = msgspec.json.Decoder(_Answer)
_LABELS: Final = msgspec.json.Decoder(_Labels)


class AnswerCutter:
    """Takes an answer in chunks and returns its complete parts; `document` returns the rest."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._before = b""
        self._rest = bytearray()
        self._searched = 1
        self._cuttable: bool | None = None

    def add(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._rest += chunk

    def cut_elements(self) -> bytes | None:
        """Return the complete elements as a JSON list, once they are `PIECE_BYTES` long; None before.

        Raises:
            ProtocolError: there is no comma between two elements.
        """
        if len(self._rest) < PIECE_BYTES or not self._starts_with_element():
            return None
        last = self._rest.rfind(_ELEMENT, self._searched)
        self._searched = max(1, len(self._rest) - len(_ELEMENT) + 1)
        if last < 0:
            return None
        elements = self._rest[:last].rstrip(_SPACE)
        if not elements.endswith(b","):
            raise ProtocolError("not an answer: its elements are not separated by commas")
        del self._rest[:last]
        self._searched = max(1, self._searched - last)
        return b"[" + elements[:-1] + b"]"

    def cut_samples(self) -> bytes | None:
        """Return the first samples of the incomplete element as a JSON list, once they are `PIECE_BYTES` long; None before.

        Its further samples stay in the rest. Call `cut_elements` first.
        """
        if len(self._rest) < PIECE_BYTES or not self._cuttable:
            return None
        first = self._rest.find(_FIRST_SAMPLE, 0, PIECE_BYTES)
        if first < 0 or not _is(_LABELS, self._rest[:first] + b"}}"):
            return None
        end = self._rest.find(_LAST_SAMPLE, first)
        last = self._rest.rfind(_NEXT_SAMPLE, first, len(self._rest) if end < 0 else end)
        if last < 0:
            return None
        start = first + len(_FIRST_SAMPLE) - 1
        samples = b"[" + self._rest[start : last + 2] + b"]"
        del self._rest[start : last + 3]
        self._searched = max(1, len(self._rest) - len(_ELEMENT) + 1)
        return samples

    def document(self) -> bytes:
        """Return the answer without the parts that were cut out."""
        return self._before + self._rest

    def _starts_with_element(self) -> bool:
        """Look for the first element, once; an answer without one in its first piece is never cut."""
        if self._cuttable is None:
            first = self._rest.find(_FIRST_ELEMENT)
            start = first + len(_RESULT)
            self._cuttable = first >= 0 and _is(_EMPTY_ANSWER, self._rest[:start] + b"]}}")
            if self._cuttable:
                self._before = bytes(self._rest[:start])
                del self._rest[:start]
        return self._cuttable


def _is(decoder: msgspec.json.Decoder[Any], text: bytes | bytearray) -> bool:
    """Return whether a text is what a decoder expects."""
    try:
        decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True
