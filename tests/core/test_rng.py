"""Facts about the counter-based random numbers."""

from __future__ import annotations

import numpy as np

from rlsched.core.lanes import lanes
from rlsched.core.rng import bits, mix32, randint, uniform


@lanes
def draw(lane, seed, out, share):
    out[lane, 0] = bits(seed, lane, 7)
    out[lane, 1] = randint(seed, lane, 7, 10)
    share[lane] = uniform(seed, lane, 7)


def lowbias32(x: np.ndarray) -> np.ndarray:
    """The mixing function as published, on wrapping 32-bit integers."""
    x = x.astype(np.uint32)
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x21F0AAAD)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x735A2D97)
    return x ^ (x >> np.uint32(15))


def test_mix32_is_the_published_function():
    numbers = np.concatenate([np.arange(1000), 2**32 - 1 - np.arange(1000)]).astype(np.uint32)
    assert [mix32(int(x)) for x in numbers] == lowbias32(numbers).tolist()


def test_known_values_do_not_change_between_versions():
    assert [mix32(x) for x in (0, 1, 2**32 - 1)] == [0, 2261973619, 2578835075]
    assert [bits(0, 0, 0), bits(1, 2, 3), bits(2**40, 5, 2**33)] == [
        2215088900,
        2930417566,
        2314035249,
    ]


def test_compiled_numbers_equal_plain_python():
    for seed in (0, 123, 2**31 - 1, 2**40, -5):
        out, share = np.zeros((50, 2), np.int64), np.zeros(50)
        draw(50, seed, out, share)
        assert out[:, 0].tolist() == [bits(seed, lane, 7) for lane in range(50)]
        assert out[:, 1].tolist() == [randint(seed, lane, 7, 10) for lane in range(50)]
        assert share.tolist() == [uniform(seed, lane, 7) for lane in range(50)]


def test_each_counter_gives_uniform_numbers():
    """Chi-square over 16 bins of 8,000 draws; 37.7 is its 99.9 % point at 15 degrees of freedom."""
    for counters in (lambda k: (k, 0, 0), lambda k: (0, k, 0), lambda k: (0, 0, k)):
        counts = np.bincount([randint(*counters(k), 16) for k in range(8000)], minlength=16)
        assert ((counts - 500) ** 2 / 500).sum() < 37.7


def test_numbers_stay_in_range():
    draws = [uniform(3, 1, k) for k in range(2000)]
    assert 0 <= min(draws) < 0.01
    assert 0.99 < max(draws) < 1
    assert {randint(3, 2, k, 3) for k in range(100)} == {0, 1, 2}


def test_streams_are_not_shifted_copies():
    a, b = ([bits(0, stream, k) for k in range(200)] for stream in (0, 1))
    assert not set(a) & set(b)
