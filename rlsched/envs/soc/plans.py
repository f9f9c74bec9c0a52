"""Plans of one lane: choices that make a schedule of a static lane come true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.state import CHOOSE_OPP, CHOOSE_PE


def choices_of(sim: SocSimulator, lane: int, placed: Sequence[tuple[int, int]]) -> list[int]:
    """Return the choices that place tasks on PEs in this order.

    Args:
        sim: static lanes; left as they are.
        lane: one that has not begun.
        placed: (task, PE), each task behind those it needs.
    """
    twin = sim.like(1, observe=False)
    twin.adopt(sim, np.array([lane]))
    tasks, pes, out = twin.sizes["task"], dict(placed), list[int]()
    while not twin.terminated[0]:
        s = twin.state
        if s.phase[0] == CHOOSE_PE:
            choice = tasks + pes[int(s.row[0])]
        elif s.phase[0] == CHOOSE_OPP:
            choice = int(np.flatnonzero(twin.action_mask[0])[-1])
        else:
            choice = next(t for t, _ in placed if s.on[0, t] < 0)
        out.append(choice)
        twin.step(np.array([choice], np.int32))
    return out
