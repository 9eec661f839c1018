"""Which cover for which tensor, under a budget of bytes.

* :mod:`sm3.advisor.candidates`: the covers considered, and the least bytes (no torch).
* :mod:`sm3.advisor.knapsack`: one choice a tensor, least cost within the budget (no torch).
* :mod:`sm3.advisor.advise`: measures candidates on gradients and chooses.
"""
