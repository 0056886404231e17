"""For the auditor: redo what the ledger did, and compare."""
