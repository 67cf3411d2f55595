"""What counts as text (Unicode that can be encoded), and the text of an error that is not ours."""

from __future__ import annotations

from statcore.errors import InputError


def check_text(text: object, *, what: str) -> str:
    """Return `text` as a plain str if it is Unicode that can be encoded at all.

    A member of a `(str, Enum)` class is text, too: it becomes its value, which formatting it would not show.

    Raises:
        InputError: it is not text, or holds a lone surrogate, which no server can be sent.
    """
    if not isinstance(text, str):
        raise InputError(f"{what} must be text, not {type(text).__name__}: {text!r:.100}")
    if type(text) is not str:
        text = str.__str__(text)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{what} holds a lone surrogate at position {error.start}: {text!r:.100}") from None
    return text


def describe(error: BaseException) -> str:
    """Return one printable line: the kind of error and its message, even where the message itself raises."""
    try:
        message = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 - third-party code, which may even try to exit
        message = "(it has no readable message)"
    line = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in line)
