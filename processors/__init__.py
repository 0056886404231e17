"""Everything that touches the world: logs, files, clocks, the command line."""
