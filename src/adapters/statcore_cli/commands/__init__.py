"""One file per command, with the name of the command; each defines a click command called `command`."""
