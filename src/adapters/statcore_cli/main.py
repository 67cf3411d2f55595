"""The entry point of the program `statcore`, and what Ctrl-C does while no command handles it.

Only `main` imports other modules, after it has set what Ctrl-C does: an interrupted import would end with a traceback.
"""

import os
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        _exit_on_interrupt()
        try:
            _run()
        finally:
            _exit_on_interrupt()
    except KeyboardInterrupt:  # before the first line above has ended, or of a command that handles Ctrl-C itself
        sys.exit(130)


def _exit_on_interrupt() -> None:
    """Let Ctrl-C end the process at once: an exception in an import, or while Python ends, is printed with a traceback."""
    import signal  # noqa: PLC0415

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # ignored, as in the background of a shell script
        signal.signal(signal.SIGINT, exit_at_once)


def exit_at_once(number: int, frame: object) -> None:
    """End the process on a signal with the exit code of an interrupted program, without running anything else."""
    del number, frame
    os._exit(130)


def _run() -> None:
    import logging  # noqa: PLC0415
    from io import TextIOWrapper  # noqa: PLC0415
    from typing import cast  # noqa: PLC0415

    from statcore_cli.standard_output import LogLines, guarded, write_errors_at_once  # noqa: PLC0415

    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # otherwise the next opened file would get this number, and stray output would go into it
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - workers need all three, too
    # Python sets a stream to None when it was closed before the start; print() and isatty() fail on None. A stream that
    # owned its descriptor would close it when the stream is replaced; the answer might then get its number.
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    # Characters outside the terminal's encoding are escaped.
    cast(TextIOWrapper, sys.stdout).reconfigure(errors="backslashreplace")
    write_errors_at_once()
    # Answers and errors already contain what most modules log. Only the log has a plugin that does not load, warnings of a
    # backend about a list, and ids of series that are left out.
    logging.getLogger().setLevel(logging.ERROR)
    for name in ("statcore.plugins", "statcore_prometheus.client", "statcore.statistics.series_inventory"):
        logging.getLogger(name).setLevel(logging.WARNING)
    cast(logging.Handler, logging.lastResort).setFormatter(LogLines("statcore: %(message)s"))
    try:
        from statcore_cli.app import cli  # noqa: PLC0415 - click may be missing, which is reported below
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        from statcore.errors import MissingExtraError  # noqa: PLC0415 - slower to import than everything else here

        sys.exit(f"statcore: {MissingExtraError('cli', module=error.name)}")
    with guarded():
        cli(prog_name="statcore")
