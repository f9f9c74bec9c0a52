"""Counter-based random numbers that lanes can call: (seed, stream, event) -> number.

A number depends on its three counters alone, so a rule and a policy meet the same arrivals,
breakdowns and noise, whatever the batch size or the order of calls. Plain Python, CPU and CUDA give
equal bits: products wrap at 64 bits in compiled code, but only their low 32 bits are kept.

Source of the mixing function: C. Wellons, "Prospecting for hash functions" (2018), lowbias32.
"""

from __future__ import annotations

from rlsched.core.lanes import helper


@helper
def mix32(x: int) -> int:
    """Return a well-mixed 32-bit number of a 32-bit number."""
    x = int(x) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x735A2D97) & 0xFFFFFFFF
    return x ^ (x >> 15)


@helper
def bits(seed: int, stream: int, event: int) -> int:
    """Return 32 random bits of the three counters, as an integer in [0, 2**32)."""
    value = mix32(mix32(int(seed) + 0x3C6EF372) ^ (int(stream) & 0xFFFFFFFF))
    return mix32(value + int(event))


@helper
def uniform(seed: int, stream: int, event: int) -> float:
    """Return a number in [0, 1) with 32 random bits."""
    return bits(seed, stream, event) / 4294967296.0


@helper
def randint(seed: int, stream: int, event: int, n: int) -> int:
    """Return an integer in [0, n), n < 2**31."""
    return (bits(seed, stream, event) * n) >> 32
