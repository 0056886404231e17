"""The demonstration: 2,000 accounts go through 10 October 2025 on the embedded journal."""
