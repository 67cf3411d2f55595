"""One file for each command, named like it; the click command in it is called `command`."""
