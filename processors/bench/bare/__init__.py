"""Programs over the bare libraries: the yardsticks, and whoever looks at the ledger from outside.

They know aiokafka, Faust and SQLite themselves, because what they say is how fast those are alone.
"""
