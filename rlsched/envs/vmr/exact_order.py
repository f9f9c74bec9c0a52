"""From a final placement to moves that can be carried out one after another.

An exact model chooses where VMs end; the data centre needs every move on the way to fit. Moves
are taken as soon as their destination has room, those first that make room others wait for. Where
all that remain wait for each other, one VM hops to a node with room and goes on later, if the
limit allows one more move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.vmr.cluster import BOTH, Cluster, Migration
from rlsched.envs.vmr.exact_model import Replay, VmClasses

Place = tuple[int, int]
"""Row of the PM, and numa 0, 1 or BOTH."""


@dataclass
class Exchange:
    """Interchangeable VMs: how many still leave each place, how many still arrive at each."""

    cores: int
    leaving: dict[Place, int]
    arriving: dict[Place, int]
    vms: dict[Place, list[int]]


def order_moves(
    cluster: Cluster,
    vm_pm: NDArray[np.int32],
    vm_numa: NDArray[np.int32],
    migration_limit: int | None = None,
) -> tuple[list[Migration], bool]:
    """Return executable moves to a final placement, and whether they reach all of it.

    Args:
        cluster: the placement to start from.
        vm_pm: (V,) host of every VM at the end.
        vm_numa: (V,) NUMA node (0, 1 or BOTH) of every VM at the end.
        migration_limit: most moves, hops included; None = no limit.
    """
    changed = np.flatnonzero((vm_pm != cluster.vm_pm) | (vm_numa != cluster.vm_numa))
    exchanges = []
    for vm in changed.tolist():
        here = (int(cluster.vm_pm[vm]), int(cluster.vm_numa[vm]))
        there = (int(vm_pm[vm]), int(vm_numa[vm]))
        exchanges.append(Exchange(int(cluster.vm_cores[vm]), {here: 1}, {there: 1}, {here: [vm]}))
    limit = 2 * len(changed) if migration_limit is None else migration_limit
    moves, stuck = _carry_out(cluster, exchanges, limit)
    return moves, not stuck


def order_exchange(
    cluster: Cluster, classes: VmClasses, change: NDArray[np.int64], migration_limit: int
) -> tuple[list[Migration], list[int]]:
    """Return executable moves that change the class counts, and the VMs where some still stay.

    Which VM of a class leaves, and which goes where, is chosen so that anti-affinity holds.

    Args:
        cluster: the placement to start from.
        classes: its movable VMs by class.
        change: (C, P, 3) VMs of the class that arrive minus those that leave, by class summing to
            0.
        migration_limit: most moves, hops included.
    """
    exchanges = []
    for c in np.flatnonzero(change.any(axis=(1, 2))).tolist():
        leaving = {(int(p), int(k)): -int(change[c, p, k]) for p, k in np.argwhere(change[c] < 0)}
        arriving = {(int(p), int(k)): int(change[c, p, k]) for p, k in np.argwhere(change[c] > 0)}
        members = np.flatnonzero(classes.vm_class == c)
        vms: dict[Place, list[int]] = {place: [] for place in leaving}
        for vm in members[np.isin(cluster.vm_pm[members], [p for p, _ in leaving])].tolist():
            place = (int(cluster.vm_pm[vm]), int(cluster.vm_numa[vm]))
            if place in vms:
                vms[place].append(vm)
        exchanges.append(Exchange(int(classes.cores[c]), leaving, arriving, vms))
    return _carry_out(cluster, exchanges, migration_limit)


def _carry_out(
    cluster: Cluster, exchanges: Sequence[Exchange], limit: int
) -> tuple[list[Migration], list[int]]:
    replay, moves = Replay(cluster), list[Migration]()
    left = sum(sum(e.leaving.values()) for e in exchanges)
    while left and len(moves) < limit:
        step = _next_move(replay, exchanges)
        if step is not None:
            exchange, move = step
            _arrive(exchange, (move.pm, move.numa))
            left -= 1
        else:
            step = _hop(replay, exchanges) if limit - len(moves) > left else None
            if step is None:
                break
            exchange, move = step
            place = (move.pm, move.numa)
            exchange.leaving[place] = exchange.leaving.get(place, 0) + 1
            exchange.vms.setdefault(place, []).append(move.vm)
        _leave(exchange, replay, move.vm)
        replay.move(move.vm, move.pm, move.numa)
        moves.append(move)
    return moves, [vm for exchange in exchanges for _, vm in _leavers(exchange)]


def _next_move(replay: Replay, exchanges: Sequence[Exchange]) -> tuple[Exchange, Migration] | None:
    """Return a move that is legal now: the one whose source is awaited most, else any."""
    wanted = _wanted(replay, exchanges)
    best, best_want = None, -1
    for exchange in exchanges:
        for pm, numa in exchange.arriving:
            if not _has_room(replay, exchange.cores, pm, numa):
                continue
            for place, vm in _leavers(exchange):
                want = wanted.get(place[0], 0)
                if want > best_want and replay.illegality(vm, pm, numa) is None:
                    best, best_want = (exchange, Migration(vm, pm, numa)), want
    return best


def _hop(replay: Replay, exchanges: Sequence[Exchange]) -> tuple[Exchange, Migration] | None:
    """Return a move out of the way: a VM whose place is awaited, to the emptiest it may enter."""
    wanted = _wanted(replay, exchanges)
    for exchange in exchanges:
        for place, vm in _leavers(exchange):
            if not wanted.get(place[0]):
                continue
            free = replay.cores.min(axis=1) if place[1] == BOTH else replay.cores
            for spot in np.argsort(-free, axis=None, kind="stable").tolist():
                pm, numa = (spot, BOTH) if place[1] == BOTH else divmod(spot, 2)
                if not _has_room(replay, exchange.cores, pm, numa):
                    break
                if pm != place[0] and replay.illegality(vm, pm, numa) is None:
                    return exchange, Migration(vm, pm, numa)
    return None


def _wanted(replay: Replay, exchanges: Sequence[Exchange]) -> dict[int, int]:
    """Return the cores that pending arrivals still lack, by PM."""
    wanted: dict[int, int] = {}
    for exchange in exchanges:
        for pm, numa in exchange.arriving:
            if not _has_room(replay, exchange.cores, pm, numa):
                wanted[pm] = wanted.get(pm, 0) + exchange.cores
    return wanted


def _leavers(exchange: Exchange) -> Iterator[tuple[Place, int]]:
    for place in exchange.leaving:
        for vm in exchange.vms[place]:
            yield place, vm


def _has_room(replay: Replay, cores: int, pm: int, numa: int) -> bool:
    if numa == BOTH:
        return bool(min(replay.cores[pm, 0], replay.cores[pm, 1]) >= cores)
    return bool(replay.cores[pm, numa] >= cores)


def _arrive(exchange: Exchange, place: Place) -> None:
    exchange.arriving[place] -= 1
    if not exchange.arriving[place]:
        del exchange.arriving[place]


def _leave(exchange: Exchange, replay: Replay, vm: int) -> None:
    place = (int(replay.pm[vm]), int(replay.numa[vm]))
    exchange.vms[place].remove(vm)
    exchange.leaving[place] -= 1
    if not exchange.leaving[place]:
        del exchange.leaving[place]
