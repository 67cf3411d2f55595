"""Groups whose commands are loaded when they are used, and not in order to be listed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import click


class LazyGroup(click.Group, ABC):
    """A group that knows a line about each of its commands without loading any."""

    @abstractmethod
    def summaries(self, ctx: click.Context) -> Mapping[str, str]:
        """Return one line of help by name of command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(self.summaries(ctx))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the listing of `--help`."""
        if summaries := self.summaries(ctx):
            with formatter.section("Commands"):
                formatter.write_dl(list(summaries.items()))
