"""The entry point of the program `statcore`."""

from __future__ import annotations

import logging
import os
import sys
from io import TextIOWrapper

from statcore_cli.standard_output import guarded


def main() -> None:
    """Run the command line and exit with its code."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # else the next file that is opened, such as the answer, would be taken for that stream
            os.open(os.devnull, os.O_RDWR)
    # A stream that was closed before the start is None, which no print or `isatty` survives.
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot show a character gets its escape, not a traceback
            stream.reconfigure(errors="backslashreplace")
    # What adapters log is in their answers and errors as well; only a plugin that does not load is told of here alone.
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("statcore.plugins").setLevel(logging.WARNING)
    try:
        from statcore_cli.app import cli  # noqa: PLC0415 - may be missing, and that has to be said
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        from statcore.errors import MissingExtraError  # noqa: PLC0415 - costs more than all the rest of this file

        sys.exit(f"statcore: {MissingExtraError('cli', module=error.name)}")
    except KeyboardInterrupt:
        sys.exit(130)
    with guarded():
        cli(prog_name="statcore")
