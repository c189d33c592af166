"""`python -m engine.cli`: the same as the `engine` script."""

from engine.cli import main

main()
