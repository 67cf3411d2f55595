"""The command line: click parses it, rich draws on terminals, and each command is a file in `commands`."""
