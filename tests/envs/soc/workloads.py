"""Small workloads typed in from the literature or to follow by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlsched.envs.soc.workload import Edge, Job, Pe, Soc, Workload


def static(
    name: str,
    times: Sequence[Sequence[int]],
    edges: Sequence[Edge] = (),
    bandwidth: float = 1.0,
    startup: int = 0,
    capacity: Sequence[int] = (),
) -> Workload:
    """Return a workload of one job whose tasks each have times of their own.

    Data on the same PE are there at once, shared memory is infinitely fast.

    Args:
        name: of the workload.
        times: (T, P) ticks, -1 = cannot run there.
        edges: of the job.
        bandwidth: volume per tick between two PEs.
        startup: ticks before the first data arrive, between two PEs.
        capacity: (P,) of the PEs, empty = 1.
    """
    pes = range(len(times[0]))
    kinds = tuple(f"t{t}" for t in range(len(times)))
    sizes = capacity or [1] * len(pes)
    soc = Soc(
        name,
        tuple(
            Pe(f"P{p + 1}", capacity=n, power=(0.0,) * n) for p, n in zip(pes, sizes, strict=True)
        ),
        {kind: tuple(row) for kind, row in zip(kinds, times, strict=True)},
        tuple(tuple(math.inf if p == q else bandwidth for q in pes) for p in pes),
        tuple(tuple(0 if p == q else startup for q in pes) for p in pes),
        ((math.inf,) * len(pes),) * 2,  # type: ignore[arg-type]
    )
    return Workload(name, soc, (Job(name, kinds, tuple(edges)),))


def edges_of(text: str) -> list[Edge]:
    """Return edges written as ``0-1:18 0-2:12``."""
    words = (word.replace(":", "-").split("-") for word in text.split())
    return [(int(source), int(target), float(volume)) for source, target, volume in words]


def topcuoglu() -> Workload:
    """Return the canonical graph of Topcuoglu, Hariri & Wu (2002), fig. 2: HEFT 80, optimum 73."""
    times = [
        (14, 16, 9),
        (13, 19, 18),
        (11, 13, 19),
        (13, 8, 17),
        (12, 13, 10),
        (13, 16, 9),
        (7, 15, 11),
        (5, 11, 14),
        (18, 12, 20),
        (21, 7, 16),
    ]
    edges = (
        "0-1:18 0-2:12 0-3:9 0-4:11 0-5:14 1-7:19 1-8:16 2-6:23 3-7:27 3-8:23 4-8:13 5-7:15 6-9:17 "
        "7-9:11 8-9:13"
    )
    return static("topcuoglu", times, edges_of(edges))


def peft_paper() -> Workload:
    """Return the graph of Arabnejad & Barbosa (2014): HEFT 133, PEFT 122, optimum 113."""
    times = [
        (22, 21, 36),
        (22, 18, 18),
        (32, 27, 43),
        (7, 10, 4),
        (29, 27, 35),
        (26, 17, 24),
        (14, 25, 30),
        (29, 23, 36),
        (15, 21, 8),
        (13, 16, 33),
    ]
    edges = (
        "0-1:17 0-2:31 0-3:29 0-4:13 0-5:7 1-7:3 1-8:30 2-6:16 3-7:11 3-8:7 4-8:57 5-7:5 6-9:9 "
        "7-9:42 8-9:7"
    )
    return static("peft_paper", times, edges_of(edges))


def chain() -> Workload:
    """Return three tasks in a row on two PEs; moving between PEs takes 4 ticks. Optimum 9.

    All on P1 take 2 + 5 + 2 = 9; the second on P2 would take 2 + 4 + 1 + 4 + 2 = 13.
    """
    return static("chain", [(2, 6), (5, 1), (2, 6)], [(0, 1, 4), (1, 2, 4)])


def fork() -> Workload:
    """Return a task and two that need it on two PEs. Optimum 7.

    Both on P1 take 2 + 3 + 3 = 8; one on P2 takes 2 + 2 + 3 = 7.
    """
    return static("fork", [(2, 2), (3, 3), (3, 3)], [(0, 1, 2), (0, 2, 2)])


def masked() -> Workload:
    """Return two tasks that only one PE each can run, with a startup of 3 ticks. Optimum 11.

    1 on P1, then 3 + floor(5 / 2) = 5 ticks of transfer, then 5 on P2.
    """
    return static("masked", [(1, -1), (-1, 5)], [(0, 1, 5)], bandwidth=2.0, startup=3)


def single() -> Workload:
    """Return one task on one PE: 3 ticks."""
    return static("single", [(3,)])
