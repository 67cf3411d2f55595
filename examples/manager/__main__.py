"""`python -m manager`: runs the manager until SIGINT or SIGTERM, then closes what it opened."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Final

from manager.app import running_manager
from manager.settings import ManagerSettings
from statcore.errors import StatcoreError

_logger: Final = logging.getLogger("manager")


async def run(settings: ManagerSettings) -> None:
    """Run the manager until SIGINT or SIGTERM.

    Raises:
        StatcoreError: the manager cannot start.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with running_manager(settings) as url:
        gc.collect()
        gc.freeze()  # later collections leave out modules, the schema and the inventory
        _logger.info("serving %s", url)
        await stopped.wait()


def main() -> int:
    """Run the manager and return the exit code: 0, or 1 after an error, which is printed in one line."""
    logging.basicConfig(level=logging.INFO, format="manager: %(message)s")
    try:
        asyncio.run(run(ManagerSettings.from_environment(os.environ)))
    except StatcoreError as error:
        print(f"manager: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
