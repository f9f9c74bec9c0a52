"""Intervals and paired tests in NumPy alone, checked against SciPy and textbook values."""

from __future__ import annotations

from functools import cache
from math import erfc, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
EXACT_LIMIT = 300
"""Pairs up to which the signed-rank test counts all sign patterns; beyond: normal approximation."""


@cache
def t_quantile(share: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution, to about 1e-5 relative.

    Substituting t = sqrt(f) tan(a) turns the density into cos(a)^(f - 1), which has no tail to cut.

    Args:
        share: probability in [0.5, 1).
        freedom: degrees of freedom, >= 1.
    """
    angle = np.linspace(0.0, np.pi / 2, 40_001)
    density = np.cos(angle) ** (freedom - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    a = np.interp((share - 0.5) * 2, mass / mass[-1], angle)
    return float(sqrt(freedom) * np.tan(a))


def mean_ci(values: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Student t interval of the mean; a single value gives no width.

    Args:
        values: (N,) independent observations.
        confidence: in (0, 1).
    """
    x = np.asarray(values, np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, mean
    half = t_quantile(0.5 + confidence / 2, len(x) - 1) * float(x.std(ddof=1)) / sqrt(len(x))
    return mean - half, mean + half


def wilcoxon_p(differences: ArrayLike, decimals: int = 12) -> float:
    """Return the two-sided p of the Wilcoxon signed-rank test that differences centre on 0.

    Zeros are dropped, ties get their mean rank, and the distribution of the rank sum is exact also
    with ties.

    Args:
        differences: (N,) one per pair.
        decimals: differences are rounded to so many, so that equal scores tie in spite of float
            noise.

    Source: Wilcoxon (1945); exact with ties by counting sign patterns, Streitberg & Roehmel (1986).
    """
    d = np.round(np.asarray(differences, np.float64), decimals)
    d = d[d != 0]
    if len(d) == 0:
        return 1.0
    ranks = _mean_ranks(np.abs(d))
    positive, total = float(ranks[d > 0].sum()), float(ranks.sum())
    low = min(positive, total - positive)
    if len(d) > EXACT_LIMIT:
        z = (total / 2 - low - 0.25) / sqrt(float((ranks**2).sum()) / 4)
        return min(1.0, erfc(max(0.0, z) / sqrt(2)))
    return min(1.0, 2 * _share_at_most(ranks, low))


def _mean_ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2)[inverse]


def _share_at_most(ranks: NDArray[np.float64], low: float) -> float:
    """Return the share of the sign patterns whose positive ranks sum to at most ``low``."""
    steps = np.rint(2 * ranks).astype(int)  # mean ranks are halves
    share = np.zeros(int(steps.sum()) + 1)
    share[0] = 1.0
    for step in steps:
        moved = np.zeros_like(share)
        moved[step:] = share[: len(share) - step]
        share = (share + moved) / 2
    return float(share[: round(2 * low) + 1].sum())
