"""Intervals and tests against published tables and closed forms."""

import numpy as np
import pytest

from rlsched.evaluation.statistics import mean_ci, t_quantile, wilcoxon_p


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.30265), (5, 2.57058), (19, 2.09302), (199, 1.97196)],
)
def test_t_quantiles_are_those_of_the_table(freedom, quantile):
    assert t_quantile(0.975, freedom) == pytest.approx(quantile, rel=1e-5)


def test_interval_of_a_worked_sample():
    """Mean 3, sample deviation sqrt(2.5), t(4) = 2.77645: half width 1.96324."""
    low, high = mean_ci([1, 2, 3, 4, 5])
    assert (low, high) == pytest.approx((3 - 1.96324, 3 + 1.96324), abs=1e-4)


def test_interval_of_one_value_has_no_width():
    assert mean_ci([0.5]) == (0.5, 0.5)


def test_interval_covers_the_mean_in_95_of_100_samples():
    rng = np.random.default_rng(0)
    hits = [low <= 0 <= high for low, high in (mean_ci(rng.normal(size=8)) for _ in range(2000))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


def test_signed_rank_of_wilcoxons_own_example_is_0_041():
    """Darwin's cross- and self-fertilised maize (Wilcoxon 1945): 15 pairs, rank sum 24."""
    differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert wilcoxon_p(differences) == pytest.approx(0.0413, abs=1e-4)


def test_all_positive_pairs_give_two_to_the_minus_n_minus_one():
    assert wilcoxon_p(np.arange(1, 7)) == pytest.approx(2**-5)


def test_symmetric_differences_and_equal_pairs_say_nothing():
    assert wilcoxon_p([1, -1, 2, -2]) == 1.0
    assert wilcoxon_p([0, 0, 0]) == 1.0


def test_ties_are_counted_exactly():
    """Ranks 2, 2, 2, 4 with a 2 negative: 3 + 1 of 16 patterns sum to at most 2, two-sided."""
    assert wilcoxon_p([1, 1, -1, 3]) == pytest.approx(2 * 4 / 16)


def test_float_noise_still_ties():
    assert wilcoxon_p([0.1 + 0.2 - 0.3, 1e-16]) == 1.0


def test_normal_approximation_continues_the_exact_distribution():
    rng = np.random.default_rng(1)
    sample = rng.normal(0.1, 1, 400)
    exact = pytest.importorskip("scipy.stats").wilcoxon(sample).pvalue
    assert wilcoxon_p(sample) == pytest.approx(exact, rel=0.02)
