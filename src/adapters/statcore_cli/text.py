"""Text that is safe to show: what comes from servers and plugins must not steer a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text on one line, with every character that does not print, line breaks included, as its escape."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
