"""How many failures at once are more than chance: the binomial test of dependence.

R. Padmanabhan, A. Schulman, A. Dainotti, D. Levin, N. Spring, "How to Find Correlated Internet
Failures", PAM 2019.
"""

from __future__ import annotations

from bisect import bisect_left
from math import exp, lgamma, log, log1p

LEVEL = 1e-4  # what happens by chance less often is no chance


def minimum_dependent(n: int, p: float) -> int:
    """Return how many of n members must fail in one bin of time to be no coincidence.

    Args:
        n: members that could fail.
        p: probability that one of them fails in a bin, by itself.

    Returns:
        The smallest D with P[X >= D] < 1e-4, where X is binomial(n, p). It is n + 1 where even
        the failure of all is no surprise.

    Raises:
        ValueError: n is negative, or p is no probability.
    """
    if n < 0 or not 0 <= p <= 1:
        raise ValueError(f"no binomial distribution: n = {n}, p = {p}")
    if p in (0, 1):
        return n + 1 if p else 1
    # At the mean, rounded down, the tail still holds half (the median is no smaller).
    start = int(n * p)
    return start + bisect_left(range(start, n + 1), True, key=lambda d: _tail(n, p, d) < LEVEL)


def _tail(n: int, p: float, d: int) -> float:
    """Return P[X >= d] for X binomial(n, p) and d at or above the mean.

    The first term by logarithms, which neither overflow nor cancel; each further one by its ratio
    to the one before. The ratios fall below 1, so the sum ends as soon as it stands.
    """
    term = exp(lgamma(n + 1) - lgamma(d + 1) - lgamma(n - d + 1) + d * log(p) + (n - d) * log1p(-p))
    odds = p / (1 - p)
    total = term
    for k in range(d, n):
        term *= (n - k) / (k + 1) * odds
        if total + term == total:
            break
        total += term
    return total
