"""`python -m processors.cli`: the same as `margin-ledger`."""

from processors.cli import main

if __name__ == "__main__":  # a process that this one starts loads the module too, by another name
    main()
