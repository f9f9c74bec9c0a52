"""What a rescheduling is for: fragment rates, memory, empty PMs, and mixes, by name.

Every objective is a weighted sum of terms, each a rate in [0, 1] that is lower when better and is
a sum over
PMs divided by a total that migrations cannot change. So a move changes it through two PMs only.

Grammar of a name: ``[weight*]term`` joined by ``+``, where a term is
- ``fr16``: share of free cores no 16-core single-NUMA VM can use, sum(f mod 16) / sum(f) over NUMA
nodes (any number of cores);
- ``fr64d``: the same for a double-NUMA VM of 64 cores, half on each node: 1 - 64 * slots / sum(f),
slots of a PM = min over its nodes of f // 32;
- ``mem64``: share of free memory outside whole 64 GiB blocks of a NUMA node (any number of GiB);
- ``empty``: share of active PMs that still hold a VM.
Weights are normalised to sum to 1.

Source: VM2RL (EuroSys 2025) for the fragment rates and mixes; double-NUMA slots as in its exact
    model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError
from rlsched.core.lanes import helper
from rlsched.envs.vmr.cluster import Cluster

MB_PER_GIB = 1024
TERM = re.compile(r"(?:(?P<weight>\d*\.?\d+)\*)?(?P<kind>fr|mem|empty)(?P<size>\d+)?(?P<double>d)?")

Kind = Literal["cores", "cores_double", "memory", "empty"]
CORES, CORES_DOUBLE, MEMORY, EMPTY = range(4)
CODES: dict[Kind, int] = {"cores": 0, "cores_double": 1, "memory": 2, "empty": 3}


@dataclass(frozen=True)
class Term:
    """One rate: its kind, its size (cores or MB; 0 for ``empty``) and its weight."""

    kind: Kind
    size: int
    weight: float


@dataclass(frozen=True)
class Objective:
    """A weighted sum of rates, and optionally the value at which the episode may stop.

    Attributes:
        name: the name it was parsed from.
        terms: the rates and weights, weights summing to 1.
    """

    name: str
    terms: tuple[Term, ...]

    def rate(self, cluster: Cluster) -> float:
        """Return the objective of a cluster as placed, in [0, 1], lower is better."""
        active = cluster.pm_active
        cores, mem = cluster.free_cores[active], cluster.free_mem_mb[active]
        hosts = np.zeros(cluster.num_pms, bool)
        hosts[cluster.vm_pm] = True
        return float(sum(t.weight * _rate(t, cores, mem, hosts[active]) for t in self.terms))


def parse_objective(name: str) -> Objective:
    """Return the objective of a name, e.g. ``fr16`` or ``0.7*fr16+0.3*fr64d``.

    Raises:
        ConfigError: the name does not follow the grammar.
    """
    terms = [_parse_term(part.strip(), name) for part in name.split("+")]
    total = sum(t.weight for t in terms)
    if total <= 0:
        raise ConfigError(
            f"Objective {name!r}: the weights sum to {total}; give a positive weight."
        )
    return Objective(name, tuple(Term(t.kind, t.size, t.weight / total) for t in terms))


def _parse_term(text: str, name: str) -> Term:
    match = TERM.fullmatch(text)
    allowed = (
        "allowed: fr<cores>, fr<cores>d (double NUMA), mem<GiB>, empty; e.g. 0.7*fr16+0.3*fr64d"
    )
    if match is None:
        raise ConfigError(f"Objective {name!r}: cannot read term {text!r}; {allowed}.")
    kind, double = match["kind"], match["double"] is not None
    size, weight = int(match["size"] or 0), float(match["weight"] or 1)
    if (kind == "empty") != (match["size"] is None) or (double and kind != "fr"):
        raise ConfigError(f"Objective {name!r}: term {text!r} is incomplete; {allowed}.")
    if kind != "empty" and (size < 1 or (double and size % 2)):
        raise ConfigError(
            f"Objective {name!r}: size {size} must be >= 1, and even for double NUMA."
        )
    if kind == "fr":
        return Term("cores_double" if double else "cores", size, weight)
    return Term("memory", size * MB_PER_GIB, weight) if kind == "mem" else Term("empty", 0, weight)


def _rate(term: Term, cores: NDArray, mem: NDArray, occupied: NDArray) -> float:
    if term.kind == "empty":
        return float(occupied.mean()) if len(occupied) else 0.0
    free = mem if term.kind == "memory" else cores
    if term.kind == "cores_double":
        usable = term.size * (free // (term.size // 2)).min(axis=1)
    else:
        usable = term.size * (free // term.size).sum(axis=1)
    total = int(free.sum(dtype=np.int64))
    return 1 - int(usable.sum(dtype=np.int64)) / total if total else 0.0


@helper
def usable(kind: int, size: int, f0: int, f1: int, m0: int, m1: int, num_vms: int) -> int:
    """Return the part of a PM's free amount that a term calls usable; lanes call it.

    Args:
        kind: one of CODES.
        size: cores or MB.
        f0: free cores of node 0.
        f1: free cores of node 1.
        m0: free MB of node 0.
        m1: free MB of node 1.
        num_vms: VMs hosted.
    """
    if kind == CORES:
        return size * (f0 // size + f1 // size)
    if kind == CORES_DOUBLE:
        return size * min(f0 // (size // 2), f1 // (size // 2))
    if kind == EMPTY:
        return int(num_vms == 0)
    return size * (m0 // size + m1 // size)
