"""The exact solver as policies: of the whole plan, again after every surprise, or in hindsight."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError, MissingExtra
from rlsched.core.lanes import num_threads
from rlsched.core.plans import Planner, replay
from rlsched.core.policy import Policy
from rlsched.core.simulator import Simulator
from rlsched.envs.jobshop import exact
from rlsched.envs.jobshop.interruptions import (
    AT_START,
    BY_CALENDAR,
    NEVER,
    draw_at_start,
    draw_repair,
    draw_time_to_failure,
)
from rlsched.envs.jobshop.plans import choices_of_schedule
from rlsched.envs.jobshop.shop import Schedule, Shop
from rlsched.envs.jobshop.simulator import JobShopSimulator
from rlsched.envs.jobshop.state import DOWN

EXACT_TIME_LIMIT_S, ROLLING_TIME_LIMIT_S = 60.0, 0.5


def _require_ortools() -> None:
    if find_spec("ortools") is None:
        raise MissingExtra("ortools", "exact")


class Exact(Planner):
    """CP-SAT on the shop as it stands; for shops in which nothing unforeseen happens.

    Attributes:
        time_limit_s: seconds per lane.
    """

    name, needs_observation = "exact", False

    def __init__(self, time_limit_s: float = EXACT_TIME_LIMIT_S) -> None:
        _require_ortools()
        self.time_limit_s = time_limit_s
        self._bounds: list[float] = []

    def play(self, sim: Simulator) -> int:
        self._bounds = []
        return super().play(sim)

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        assert isinstance(sim, JobShopSimulator)
        found = solve_lane(sim, sim.snapshot(lane), self.time_limit_s)
        self._bounds.append(float(found.bound))
        return choices_of_schedule(sim, lane, schedule_of(found))

    def bound(self) -> float | None:
        """Return the proven bound of the last play, averaged over its lanes."""
        return float(np.mean(self._bounds)) if self._bounds else None


class Rolling(Policy):
    """CP-SAT again whenever something unforeseen has happened; its order is followed in between.

    Attributes:
        time_limit_s: seconds per solution.
    """

    name, needs_observation = "rolling", False

    def __init__(self, time_limit_s: float = ROLLING_TIME_LIMIT_S) -> None:
        _require_ortools()
        self.time_limit_s = time_limit_s
        self._plans: dict[int, list[int]] = {}
        self._seen: dict[int, tuple[int, int]] = {}

    def play(self, sim: Simulator) -> int:
        self._plans, self._seen = {}, {}
        return super().play(sim)

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        assert isinstance(sim, JobShopSimulator)
        out = np.full(sim.num_envs, sim.num_choices - 1, np.int32)
        for lane in np.flatnonzero(~sim.terminated):
            out[lane] = self._next(sim, int(lane))
        return out

    def _next(self, sim: JobShopSimulator, lane: int) -> int:
        plan, downs = self._plans.get(lane, []), int(sim.state.num_downs[lane])
        is_stale = not plan or self._seen[lane] != (downs, int(sim.state.instance[lane]))
        if is_stale or not sim.action_mask[lane, plan[0]]:
            plan = exact_plan(sim, lane, self.time_limit_s)
            self._seen[lane] = downs, int(sim.state.instance[lane])
        self._plans[lane] = plan[1:]
        return plan[0]


class Hindsight(Exact):
    """CP-SAT told every breakdown that will happen: what no policy can beat, given the time.

    Only for laws whose breakdowns do not depend on the schedule: at the start of operations, or by
    calendar.
    """

    name = "hindsight"

    def play(self, sim: Simulator) -> int:
        self._bounds = []
        return replay(sim, [self.plan(sim, lane) for lane in range(sim.num_envs)])

    def plan(self, sim: Simulator, lane: int) -> Sequence[int]:
        assert isinstance(sim, JobShopSimulator)
        shop = sim.snapshot(lane)
        found = solve_lane(sim, shop, self.time_limit_s, **foretold(sim, lane, shop))
        self._bounds.append(float(found.bound))
        return choices_of_schedule(sim, lane, schedule_of(found), foreseen=False)


def solve_lane(
    sim: JobShopSimulator, shop: Shop, time_limit_s: float, **known: Any
) -> exact.Solution:
    """Return CP-SAT's answer for a lane's shop as it stands; ``known`` is what lies ahead of it."""
    return exact.solve(
        shop,
        buffer=sim.buffer,
        swap=sim.swap,
        objective=sim.objective,
        time_limit_s=time_limit_s,
        num_threads=num_threads(),
        resume=not sim.restarts,
        **known,
    )


def exact_plan(sim: JobShopSimulator, lane: int, time_limit_s: float) -> list[int]:
    """Return the choices of CP-SAT's plan from where a lane stands, if nothing goes wrong."""
    found = solve_lane(sim, sim.snapshot(lane), time_limit_s)
    return choices_of_schedule(sim, lane, schedule_of(found))


def schedule_of(found: exact.Solution) -> Schedule:
    """Return a solution's schedule.

    Raises:
        ConfigError: it has none.
    """
    if found.schedule is None:
        raise ConfigError(f"exact: no schedule was found ({found.status}); give it more time.")
    return found.schedule


def foretold(sim: JobShopSimulator, lane: int, shop: Shop) -> dict[str, Any]:
    """Return the breakdowns that will happen in a lane, as the solver takes them.

    Raises:
        ConfigError: they depend on the schedule.
    """
    law, stream = sim.law, int(sim.state.stream[lane])
    if law.counts == AT_START and len(shop.windows):
        raise ConfigError(
            f"hindsight: {shop.name or 'the shop'} has maintenance windows, in which a breakdown "
            "may pass unnoticed; with interruption=start:<p> give shops without."
        )
    if law.counts == AT_START:
        return {"op_time": _lengthened(sim, shop, stream)}
    if law.counts == BY_CALENDAR:
        return {"downs": _calendar(sim, lane, shop, stream)}
    if sim.is_stochastic:
        raise ConfigError(
            "hindsight: breakdowns that come with ticks of work depend on the schedule; use an "
            "interruption by start:<p> or by :calendar."
        )
    return {}


def _lengthened(sim: JobShopSimulator, shop: Shop, stream: int) -> NDArray[np.int32]:
    """Return (A,) processing times with the breakdowns that each operation will meet."""
    law, out = sim.law, shop.alt_time.astype(np.int64)
    op = np.repeat(np.arange(shop.num_ops), np.diff(shop.alt_begin))
    for a, o in enumerate(op.tolist()):
        ticks = int(shop.alt_time[a])
        after = draw_at_start(stream, o, law.args[0], ticks)
        if after >= 0:
            out[a] += draw_repair(stream, o, 0, law.repair, *law.repair_args)
            out[a] += after if sim.restarts else 0
    return out.astype(np.int32)


def _calendar(
    sim: JobShopSimulator, lane: int, shop: Shop, stream: int
) -> list[tuple[int, int, int]]:
    """Return (machine, from, until) of the breakdowns after now, up to the longest schedule."""
    out, horizon = [], int(sim.host_shops.horizon[sim.state.instance[lane]])
    for m in range(shop.num_machines):
        out += [(m, *down) for down in _breakdowns(sim, lane, stream, m, horizon)]
    return out


def _breakdowns(
    sim: JobShopSimulator, lane: int, stream: int, m: int, horizon: int
) -> list[tuple[int, int]]:
    """Return the breakdowns of a machine, which come with the ticks in which it is up."""
    law, s, c, out = sim.law, sim.state, sim.host_shops, []
    rows = slice(int(s.next_window[lane, m]), int(c.window_begin[s.instance[lane], m + 1]))
    windows = c.windows[s.instance[lane], rows].tolist()
    count, up, begin = int(s.num_failures[lane, m]), int(s.clock[lane]), int(s.fail_at[lane, m])
    if s.mode[lane, m] == DOWN:
        up = int(s.event[lane, m])
    if begin == NEVER:
        begin = up + draw_time_to_failure(stream, m, count, law.kind, *law.args)
    while begin < horizon:
        if windows and windows[0][0] < begin:
            window = windows.pop(0)
            begin += max(0, window[1] - max(window[0], up))
            up = max(up, window[1])
            continue
        up = begin + draw_repair(stream, m, count, law.repair, *law.repair_args)
        out.append((begin, up))
        if windows and windows[0][0] == begin:
            up = max(up, windows.pop(0)[1])
        count += 1
        begin = up + draw_time_to_failure(stream, m, count, law.kind, *law.args)
    return out
