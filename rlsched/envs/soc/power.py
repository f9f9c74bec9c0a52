"""Power of processing elements: leakage, and what their work takes at each operating point.

Source: DS3 (Arda et al., IEEE Transactions on Computers 2020): leakage of an Odroid-XU3 at a fixed
temperature, dynamic power C f V^2 with C from the power at the highest point.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.soc.workload import Pe

C1, C2, I_GATE = 0.002488, 2660.0, 0.000519
"""Of the leakage current."""
AMBIENT_K = 273.0 + 42.0
"""Temperature; heating is not modelled."""


def leakage_w(volt: float) -> float:
    """Return the leakage power of a core in W."""
    return volt * C1 * AMBIENT_K**2 * math.exp(-C2 / AMBIENT_K) + I_GATE * volt


def power_table(pe: Pe) -> NDArray[np.float64]:
    """Return (capacity + 1, F) W with 0 .. capacity tasks running at each operating point."""
    top_mhz, top_mv = pe.opps[-1]
    out = np.zeros((pe.capacity + 1, len(pe.opps)))
    for f, (mhz, mv) in enumerate(pe.opps):
        leak = leakage_w(mv / 1000) if pe.leaks else 0.0
        top_leak = leakage_w(top_mv / 1000) if pe.leaks else 0.0
        out[0, f] = leak
        for n, watts in enumerate(pe.power, start=1):
            dynamic = max(0.0, watts - top_leak)
            out[n, f] = leak + dynamic * (mhz / top_mhz) * (mv / top_mv) ** 2
    return out
