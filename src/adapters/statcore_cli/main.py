"""The entry point of the program `statcore`.

Only `main` imports other modules, where Ctrl-C is caught: an interrupted import would end with a traceback.
"""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    import logging  # noqa: PLC0415
    import os  # noqa: PLC0415
    from io import TextIOWrapper  # noqa: PLC0415

    from statcore_cli.standard_output import guarded  # noqa: PLC0415

    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # otherwise the next opened file would get this number, and stray output would go into it
            os.open(os.devnull, os.O_RDWR)
    # Python sets a stream to None when it was closed before the start; print() and isatty() fail on None.
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # characters outside the terminal's encoding are escaped
            stream.reconfigure(errors="backslashreplace")
    # Answers and errors already contain what adapters log. Only the log reports a plugin that does not load.
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("statcore.plugins").setLevel(logging.WARNING)
    try:
        from statcore_cli.app import cli  # noqa: PLC0415 - click may be missing, which is reported below
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        from statcore.errors import MissingExtraError  # noqa: PLC0415 - slower to import than everything else here

        sys.exit(f"statcore: {MissingExtraError('cli', module=error.name)}")
    with guarded():
        cli(prog_name="statcore")
