"""`python -m services.cli`: the same as `tender`."""

from services.cli import main

main()
