"""What a chart of a schedule shows, as numbers: bars, exchanges of jobs, colours, spans of time."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.jobshop.shop import NO_DUE_DATE, Ints, Schedule


class Bars(NamedTuple):
    """The operations on the machines, as far as they are known; R rows.

    Attributes:
        job: (R,) int64.
        machine: (R,) int64.
        start: (R,) ticks.
        end: (R,) ticks, end of the work, or of what is known of it.
        leave: (R,) ticks, when the job freed the machine, or the clock.
        is_open: (R,) bool, the job is still there at the clock.
    """

    job: NDArray[np.int64]
    machine: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    leave: NDArray[np.int64]
    is_open: NDArray[np.bool_]


def swaps(schedule: Schedule) -> list[tuple[int, tuple[int, ...]]]:
    """Return the exchanges of jobs between machines, by time.

    Returns:
        (tick, machines): at that tick the job on each machine named went to the next one named, and
        the last one's to the first. In a shop where jobs only ever wait off the machines there are
        none: what looks like one is chance.
    """
    schedule = from_floor(schedule)
    shop, leave = schedule.shop, schedule.leave
    op = np.setdiff1d(np.arange(shop.num_ops), shop.op_begin[1:] - 1)
    op = op[(leave[op] >= 0) & (schedule.start[op + 1] >= 0)]
    if (schedule.start[op + 1] > leave[op]).any() and not (leave > schedule.end).any():
        return []
    moves: dict[int, dict[int, int]] = {}
    for o in op[leave[op] == schedule.start[op + 1]]:
        here, there = schedule.machine[o : o + 2].tolist()
        moves.setdefault(int(leave[o]), {})[here] = there
    return [(tick, ring) for tick in sorted(moves) for ring in _rings(moves[tick])]


def _rings(moves: dict[int, int]) -> list[tuple[int, ...]]:
    """Return the cycles of a map from machine to machine."""
    rings = []
    seen: set[int] = set()
    for first in sorted(moves):
        path, at = [], first
        while at in moves and at not in seen:
            seen.add(at)
            path.append(at)
            at = moves[at]
        if at == first and len(path) > 1:
            rings.append(tuple(path))
    return rings


def job_colours(num_jobs: int) -> NDArray[np.float64]:
    """Return (J, 3) RGB in [0, 1]: neighbours differ in hue and in lightness.

    Source: Oklab (Ottosson 2020, "A perceptual color space for image processing"); hues a golden
    angle apart never repeat.
    """
    job = np.arange(num_jobs)
    hue = np.deg2rad(250 + 137.508 * job)
    lightness = np.array([0.60, 0.76, 0.50, 0.84])[job % 4]
    return _oklch(lightness, np.array([0.13, 0.12, 0.11, 0.10])[job % 4], hue)


def _oklch(lightness: NDArray, chroma: NDArray, hue: NDArray) -> NDArray[np.float64]:
    """Return (N, 3) sRGB of Oklab colours in polar form, clipped to what screens can show."""
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    to_lms = np.array([[1, 1, 1], [0.39634, -0.10556, -0.08948], [0.21580, -0.06385, -1.29149]])
    to_rgb = np.array(
        [
            [4.07674, -1.26844, -0.00420],
            [-3.30771, 2.60976, -0.70342],
            [0.23097, -0.34132, 1.70761],
        ]
    )
    linear = np.clip((lab @ to_lms) ** 3 @ to_rgb, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def from_floor(schedule: Schedule) -> Schedule:
    """Return a schedule with what held or stopped the machines when the shop was met."""
    floor = schedule.shop.floor
    if floor is None:
        return schedule
    job = np.flatnonzero((floor.machine >= 0) & (floor.left == 0))
    op = schedule.shop.op_begin[job] + floor.num_done[job] - 1
    machine, start, end = schedule.machine.copy(), schedule.start.copy(), schedule.end.copy()
    machine[op], start[op], end[op] = floor.machine[job], floor.clock, floor.clock
    told = schedule.downs[schedule.downs[:, 1] <= floor.clock, 0]
    down = np.setdiff1d(np.flatnonzero(floor.down_until > floor.clock), told)
    rows = np.stack([down, np.full(len(down), floor.clock), floor.down_until[down]], axis=1)
    downs = np.concatenate([rows.astype(np.int32), schedule.downs])
    return replace(schedule, machine=machine, start=start, end=end, downs=downs)


def known_at(schedule: Schedule, time: int) -> Schedule:
    """Return what was known of a schedule at a time, its clock at the latest."""
    time = min(time, last_tick(schedule))

    def so_far(ticks: Ints) -> Ints:
        return np.where(ticks <= time, ticks, -1).astype(np.int32)

    downs = schedule.downs[schedule.downs[:, 1] <= time]
    return replace(
        schedule,
        machine=np.where(schedule.start <= time, schedule.machine, -1).astype(np.int32),
        start=so_far(schedule.start),
        end=so_far(schedule.end),
        leave=so_far(schedule.leave),
        downs=np.minimum(downs, [schedule.shop.num_machines, time, time]).astype(np.int32),
        clock=time,
    )


def bars_of(schedule: Schedule) -> Bars:
    """Return the bars of the operations that have started."""
    op = np.flatnonzero(schedule.start >= 0)
    times = (schedule.start, schedule.end, schedule.leave)
    start, end, leave = (ticks[op].astype(np.int64) for ticks in times)
    now = np.maximum(schedule.clock, start)
    return Bars(
        schedule.shop.op_job[op].astype(np.int64),
        schedule.machine[op].astype(np.int64),
        start,
        np.where(end < 0, now, end),
        np.where(leave < 0, np.maximum(now, end), leave),
        leave < 0,
    )


def is_partial(schedule: Schedule) -> bool:
    """Whether the clock stands within the schedule: a plan without a clock is whole."""
    return bool(is_to_do(schedule).any()) or 0 < schedule.clock < schedule.makespan


def is_to_do(schedule: Schedule) -> NDArray[np.bool_]:
    """Return (O,) bool, the operations that are not finished, and were not from the start."""
    shop = schedule.shop
    to_do = schedule.end < 0
    if shop.floor is not None:
        done = np.arange(shop.num_ops) < (shop.op_begin[:-1] + shop.floor.num_done)[shop.op_job]
        to_do &= ~done
    return to_do


def last_tick(schedule: Schedule) -> int:
    """Return the last tick of which something is known."""
    return max(schedule.makespan, schedule.clock if is_partial(schedule) else 0)


def span(schedule: Schedule) -> tuple[int, int]:
    """Return the ends of the time axis.

    An unfinished schedule has room for its longest job, and due dates have room for their flags
    where that does not squeeze the rest.
    """
    shop = schedule.shop
    begin = 0 if shop.floor is None else shop.floor.clock
    end = max(last_tick(schedule), begin + 1)
    if is_to_do(schedule).any():
        work = np.add.reduceat(shop.min_time, shop.op_begin[:-1]) + np.maximum(shop.release, begin)
        end = max(round(end * 1.03) + 1, int(work.max()))
    due = int(shop.due[shop.due < NO_DUE_DATE].max(initial=0))
    room = end - begin
    return begin, max(end, min(due + room // 30, begin + round(room * 1.2)))


def tardiness_of(schedule: Schedule) -> NDArray[np.int64]:
    """Return (J,) ticks, by how much each job was late, or already is."""
    completion = schedule.completion.astype(np.int64)
    is_open = is_to_do(schedule)[schedule.shop.op_begin[1:] - 1]
    return np.maximum(np.where(is_open, schedule.clock, completion) - schedule.shop.due, 0)
