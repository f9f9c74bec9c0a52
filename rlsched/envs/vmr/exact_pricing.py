"""The best exchange of VMs for every kind of PM, at given prices: pricing in column generation.

An exchange says which VMs leave a PM and which arrive. At prices, a VM that arrives earns its
class's price, one that leaves costs that price and the cost of a move, and the free cores that
remain earn the points of their slots. Sizes are small integers, so the best exchange is an exact
dynamic program over
cores: knapsacks of what leaves and of what arrives, joined on each NUMA node, then on the PM
    through its
double-NUMA VMs.

Axes: G kinds of PM, S single-NUMA classes, D double-NUMA classes, N = cap + 1 numbers of free
    cores. All
sizes and free cores are in one unit, a common divisor of them in cores.

Source: Gilmore & Gomory (1961), pricing of cutting patterns by knapsack.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

NEVER = -1e18


class PmKinds(NamedTuple):
    """The distinct PMs of a cluster, and what their free cores are worth.

    Attributes:
        free: (G, 2) int64, free cores by NUMA node.
        single_count: (G, 2, S) int64, movable VMs by node and class.
        double_count: (G, D) int64.
        single_size: (S,) int64, > 0.
        double_size: (D,) int64, per node, > 0.
        node_worth: (N,) float64, worth of a node's slots by its free cores.
        levels: (L,) int64, ascending from 0: free cores of the scarcer node where double slots
            appear.
        level_worth: (L,) float64, worth of the double slots from that level on.
    """

    free: NDArray[np.int64]
    single_count: NDArray[np.int64]
    double_count: NDArray[np.int64]
    single_size: NDArray[np.int64]
    double_size: NDArray[np.int64]
    node_worth: NDArray[np.float64]
    levels: NDArray[np.int64]
    level_worth: NDArray[np.float64]


def load_pricing() -> None:
    """Load the compiled pricing, or compile it the first time (seconds), before a clock runs."""
    none, size, flat = np.zeros((1, 2), np.int64), np.ones(1, np.int64), np.zeros(2)
    count = np.zeros((1, 2, 1), np.int64)
    kinds = PmKinds(none, count, none[:, :1].copy(), size, size, flat, none[0, :1], flat[:1])
    best_exchanges(kinds, flat[:1], flat[:1], 1.0)


@njit(cache=True, nogil=True)
def best_exchanges(
    kinds: PmKinds, single_price: NDArray, double_price: NDArray, move_cost: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Return each kind's best value and exchange, and the best exchange without double VMs.

    Args:
        kinds: the PMs.
        single_price: (S,) float64, price of a VM of a single-NUMA class, >= 0.
        double_price: (D,) float64.
        move_cost: cost of a VM that leaves.

    Returns:
        (G,) float64 values, with the points of all slots that remain; two (G, 2 S + D) int64, VMs
        that arrive minus those that leave: node 0 by class, node 1 by class, doubles by class.
    """
    cap, num_single = len(kinds.node_worth) - 1, len(kinds.single_size)
    num_kinds, num_double = len(kinds.free), len(kinds.double_size)
    value = np.full(num_kinds, NEVER)
    best = np.zeros((num_kinds, 2 * num_single + num_double), np.int64)
    plain = np.zeros_like(best)
    single_in, single_last = _arrivals(cap, kinds.single_size, single_price)
    double_in, double_last = _arrivals(cap, kinds.double_size, double_price)
    out = np.empty((3, cap + 1))
    taken = np.empty((3, max(num_single, num_double, 1), cap + 1), np.int64)
    net, split = np.empty((3, 2 * cap + 1)), np.zeros((3, 2 * cap + 1), np.int64)
    for g in range(num_kinds):
        for k in range(2):
            count = kinds.single_count[g, k]
            _leavings(kinds.single_size, count, single_price + move_cost, out[k], taken[k])
            _join(out[k], single_in, net[k], split[k])
        count = kinds.double_count[g]
        _leavings(kinds.double_size, count, double_price + move_cost, out[2], taken[2])
        _join(out[2], double_in, net[2], split[2])
        chosen, without = np.zeros(3, np.int64), np.zeros(3, np.int64)
        plain_value = NEVER
        for shift in range(-cap, cap + 1):
            if net[2, shift + cap] <= NEVER / 2:
                continue
            for level in range(len(kinds.levels)):
                low = kinds.levels[level]
                first, j0 = _best_node(net[0], kinds.node_worth, kinds.free[g, 0] + shift, low)
                second, j1 = _best_node(net[1], kinds.node_worth, kinds.free[g, 1] + shift, low)
                total = net[2, shift + cap] + first + second + kinds.level_worth[level]
                if total > value[g]:
                    value[g] = total
                    chosen[0], chosen[1], chosen[2] = j0, j1, shift + cap
                if shift == 0 and total > plain_value:
                    plain_value = total
                    without[0], without[1] = j0, j1
        for k in range(2):
            part = slice(k * num_single, (k + 1) * num_single)
            sizes, used = kinds.single_size, taken[k]
            _trace(chosen[k], split[k], used, sizes, single_last, best[g, part])
            _trace(without[k], split[k], used, sizes, single_last, plain[g, part])
        doubles = best[g, 2 * num_single :]
        _trace(chosen[2], split[2], taken[2], kinds.double_size, double_last, doubles)
    return value, best, plain


@njit(cache=True, nogil=True)
def _arrivals(cap: int, sizes: NDArray, price: NDArray) -> tuple[NDArray, NDArray]:
    """Return by cores the highest price of VMs that fill them exactly, and the last one's class."""
    best, last = np.full(cap + 1, NEVER), np.full(cap + 1, -1)
    best[0] = 0.0
    for cores in range(1, cap + 1):
        for c in range(len(sizes)):
            if sizes[c] <= cores and best[cores - sizes[c]] + price[c] > best[cores]:
                best[cores], last[cores] = best[cores - sizes[c]] + price[c], c
    return best, last


@njit(cache=True, nogil=True)
def _leavings(sizes: NDArray, count: NDArray, cost: NDArray, best: NDArray, taken: NDArray) -> None:
    """Fill by cores minus the least cost of VMs that free them exactly, and the VMs by class."""
    best[:] = NEVER
    best[0] = 0.0
    for c in range(len(sizes)):
        for cores in range(len(best) - 1, -1, -1):
            top, taken[c, cores] = best[cores], 0
            for number in range(1, min(count[c], cores // sizes[c]) + 1):
                value = best[cores - number * sizes[c]] - number * cost[c]
                if value > top:
                    top, taken[c, cores] = value, number
            best[cores] = top


@njit(cache=True, nogil=True)
def _join(out: NDArray, into: NDArray, net: NDArray, split: NDArray) -> None:
    """Fill by net cores freed, offset by cap, the best leavings with arrivals."""
    cap = len(out) - 1
    net[:] = NEVER
    for freed in range(cap + 1):
        if out[freed] > NEVER / 2:
            for filled in range(cap + 1):
                if out[freed] + into[filled] > net[freed - filled + cap]:
                    net[freed - filled + cap] = out[freed] + into[filled]
                    split[freed - filled + cap] = freed


@njit(cache=True, nogil=True)
def _best_node(net: NDArray, worth: NDArray, free: int, low: int) -> tuple[float, int]:
    """Return the best value of a node that ends with ``low`` free cores or more, and its index."""
    cap = len(worth) - 1
    best, index = NEVER, 0
    for after in range(max(low, free - cap), min(cap, free + cap) + 1):
        if net[after - free + cap] + worth[after] > best:
            best, index = net[after - free + cap] + worth[after], after - free + cap
    return best, index


@njit(cache=True, nogil=True)
def _trace(
    index: int, split: NDArray, taken: NDArray, sizes: NDArray, last: NDArray, change: NDArray
) -> None:
    """Add to ``change`` the VMs behind a net index: arrivals count +1, leavings -1."""
    freed = split[index]
    filled = freed - (index - (len(split) - 1) // 2)
    for c in range(len(sizes) - 1, -1, -1):
        number = taken[c, freed]
        change[c] -= number
        freed -= number * sizes[c]
    while filled > 0:
        change[last[filled]] += 1
        filled -= sizes[last[filled]]
