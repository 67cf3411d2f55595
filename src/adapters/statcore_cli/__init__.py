"""The command line: click for words, rich for terminals; every command is a file in `commands`."""
