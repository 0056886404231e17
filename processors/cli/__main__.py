"""`python -m processors.cli`: the same as `margin-ledger`."""

from processors.cli import main

main()
