"""The margin models, behind the one interface of `ledger.margin`: one file for each."""
