"""Runs the program `statcore` as `python -m statcore_cli`."""

from statcore_cli.main import main

main()
