"""PromQL strings; the only place where text is escaped."""

from __future__ import annotations

from statcore.model.text import check_text


def escape(text: str) -> str:
    """Return text as it is written between the double quotes of a PromQL string.

    U+FFFD is escaped because servers take it for broken UTF-8 when it comes raw; every other character that needs no
    escape, astral ones included, stays as it is, since servers refuse escaped surrogate pairs.

    Raises:
        InputError: the text cannot be encoded.
    """
    if type(text) is not str:
        text = str.__str__(text)  # the value of a (str, Enum) member, which formats as its name
    if '"' in text or "\\" in text or "\n" in text:
        text = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    if not text.isascii():
        text = check_text(text, what="a label value").replace("\ufffd", r"\ufffd")
    return text


def quote(text: str) -> str:
    """Write text as a PromQL string."""
    return f'"{escape(text)}"'
