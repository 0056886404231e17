"""The compiled kernel: many pools at once, straight from the columns of the book, to the same last bit.

It computes what `ledger.valuation` does, operation by operation in the same order: sums in the order of the
pool's rows, no reassociation, no fused multiplication. One file for each step, which works on a batch of
pools and is compiled by itself, when it is first called:

    positions     what is held, valued at the marks: the exposures of a batch
    collateral    what the balances are worth
    netting, spread, scenario    what a margin model requires of exposures; gross is summed with them
    orders        the exposures that open orders could lead to, and which of them is the worst
    figures       equity, gross, net and requirement, rounded
    triggers      which pools have nothing to say, and between which prices
    intervals     which of these a price leaves

Integers are 64 bits wide here, or two limbs of that (`wide`). What might not fit is noticed before it is
multiplied, and such a pool is left to the plain code.

numba takes a while to load, and longer to compile on a machine that has no cache yet. So nothing imports
these files but `ledger.at_scale` and what belongs to it, and only for a book that is large enough to pay for
it. Its cache notices that the file of a function has changed, not that another has which the function calls:
so commands keep a cache for each version of the sources (`processors.kernel_cache`), and whoever works on
these files, or on `ledger.caution`, says `make clean` before a test counts.
"""
