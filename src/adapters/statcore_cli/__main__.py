"""`python -m statcore_cli`: the same as `statcore`."""

from statcore_cli.main import main

main()
