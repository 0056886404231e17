"""The pure core: a function of its inputs. No clock, no randomness, no I/O, no logging."""
