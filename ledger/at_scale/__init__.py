"""Large books: between the objects of the book and the arrays of the compiled kernel (`ledger.kernels`).

Whatever asks for figures or intervals comes to `ledger.valuation` and `ledger.triggers`, which come here for
many pools of a large book. To import one of these files loads numba, which takes a while.
"""
