"""What the exact solver works on: the operations still to do, and the calendars of the machines.

Rows number the operations that still matter, job by job: those not finished, and where storage is
limited also the one that a job on the floor finished last, for it holds a machine or a place. Axes:
J jobs, M machines.

Times in here are ticks times ``scale``. Where swaps are off, every hand-over takes one part of a
tick, so a cycle of jobs that all move at once has no times at all; there are more parts in a tick
than hand-overs in a schedule, so rounding down gives the ticks. Elsewhere the scale is 1.

Source: alternative graphs, Mascis & Pacciarelli (2002).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError
from rlsched.envs.jobshop.shop import Floor, Shop

OBJECTIVES = ("makespan", "flow_time", "total_tardiness", "weighted_tardiness")
SWAPS = ("auto", "choice", "off")
PLANNED, RUNNING, HELD, BUFFERED = range(4)
"""A row is to be started, under way, finished and on its machine, or finished and in the buffer."""


class Piece(NamedTuple):
    """Starts from ``lo`` to ``hi``; work ends ``delay`` ticks later, or at ``end`` if given."""

    lo: int
    hi: int
    delay: int
    end: int | None = None


@dataclass(frozen=True)
class Calendar:
    """Downtimes of one machine, sorted and apart, and what an interrupted operation does."""

    downs: tuple[tuple[int, int], ...] = ()
    resume: bool = True

    @classmethod
    def merge(cls, downs: Iterable[tuple[int, int]], resume: bool) -> Calendar:
        """Return the calendar of downtimes in any order that may overlap."""
        merged: list[tuple[int, int]] = []
        for begin, until in sorted(downs):
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], until))
            else:
                merged.append((begin, until))
        return cls(tuple(merged), resume)

    def next_up(self, tick: int) -> int:
        """Return the first tick from ``tick`` on in which the machine is up."""
        for begin, until in self.downs:
            if begin <= tick < until:
                return until
        return tick

    def finish(self, start: int, ticks: int, left: int | None = None) -> int:
        """Return when work ends.

        Args:
            start: tick at which it starts or goes on.
            ticks: work of the whole operation.
            left: work left at the start, None = all.
        """
        now, left = start, ticks if left is None else left
        for begin, until in self.downs:
            if until <= now:
                continue
            if begin >= now + left:
                break
            left = left - max(begin - now, 0) if self.resume else ticks if begin > now else left
            now = until
        return now + left

    def pieces(self, ticks: int, first: int, last: int) -> list[Piece]:
        """Return the starts from ``first`` to ``last`` that are allowed, and when they end."""
        found, start = list[Piece](), self.next_up(first)
        while start <= last:
            end = self.finish(start, ticks)
            hi = min([last, *(begin - 1 for begin, _ in self.downs if begin > start)])
            if self.resume or end == start + ticks:
                hi = min([hi, *(start + begin - end for begin, _ in self.downs if begin >= end)])
                found.append(Piece(start, hi, end - start))
            else:
                found.append(Piece(start, hi, end - start, end))
            start = self.next_up(hi + 1)
        return found


class Problem:
    """The rows of a shop under the solver's options.

    Attributes:
        capacity: places of an output buffer, None = no limit.
        scale: parts of a tick.
        epsilon: parts that a hand-over takes: 1 where swaps are off, else 0.
        op: operation of each row.
        job: its job.
        last: row of the last operation of each job that is not finished.
        next: row of the job's next operation, -1 = none; ``prev`` likewise.
        kind: PLANNED, RUNNING, HELD or BUFFERED.
        alternatives: ticks of each row on each machine that can do it.
        head: ticks, before which it cannot start; of rows other than PLANNED their start.
        tail: ticks of work after it at the least.
        calendars: of each machine.
        horizon: ticks, by which a schedule without needless waiting is over.
    """

    def __init__(
        self,
        shop: Shop,
        buffer: float = math.inf,
        swap: str = "auto",
        objective: str = "makespan",
        op_time: NDArray | None = None,
        downs: Sequence[tuple[int, int, int]] = (),
        resume: bool = True,
    ) -> None:
        """Check the options and number the rows.

        Raises:
            ConfigError: an option has a value that is not allowed.
        """
        _check_options(shop, buffer, swap, objective, op_time, downs)
        self.shop, self.objective = shop, objective
        self.capacity = None if buffer >= shop.num_jobs else int(buffer)
        self.clock = 0 if shop.floor is None else shop.floor.clock
        times = shop.alt_time if op_time is None else np.asarray(op_time)
        self._ticks: list[int] = times.tolist()
        self.calendars = self._make_calendars(downs, resume)
        self.op, self.job, self.kind = list[int](), list[int](), list[int]()
        self.alternatives = list[dict[int, int]]()
        for j in range(shop.num_jobs):
            self._add_job(j)
        rows, of = range(len(self.op)), self.job
        self.next = [r + 1 if r + 1 < len(of) and of[r + 1] == of[r] else -1 for r in rows]
        self.prev = [r - 1 if r and of[r - 1] == of[r] else -1 for r in rows]
        self.last = {j: r for r, j in enumerate(self.job)}
        is_off = swap == "off" and self.capacity is not None
        self.epsilon, self.scale = (1, 2 * len(rows) + 2) if is_off else (0, 1)
        self.head, self.tail = self._heads(), self._tails()
        self.horizon = self._horizon()

    def only_machine(self, row: int) -> int:
        """Return the machine of a row that has no choice."""
        (machine,) = self.alternatives[row]
        return machine

    def end_of(self, row: int, machine: int, start: int) -> int:
        """Return the scaled time at which a row's work ends if it starts at a scaled time."""
        if self.kind[row] in (HELD, BUFFERED):
            return start
        tick, part = divmod(start, self.scale)
        ticks, left = self.alternatives[row][machine], None
        if self.kind[row] == RUNNING:
            assert self.shop.floor is not None
            left = int(self.shop.floor.left[self.job[row]])
        return self.calendars[machine].finish(tick, ticks, left) * self.scale + part

    def least(self, row: int) -> int:
        """Return the ticks from a row's start to its end at the least."""
        if self.kind[row] in (HELD, BUFFERED):
            return 0
        if self.kind[row] == RUNNING:
            start = self.clock * self.scale
            return self.end_of(row, self.only_machine(row), start) // self.scale - self.clock
        return min(self.alternatives[row].values())

    def next_up(self, machines: Sequence[int], time: int) -> int:
        """Return the first scaled time from ``time`` on at which all machines are up."""
        again = True
        while again:
            again = False
            for m in machines:
                tick = time // self.scale if self.calendars[m].downs else 0
                up = self.calendars[m].next_up(tick)
                if up > tick:
                    again, time = True, up * self.scale
        return time

    def cost(self, end: Sequence[int]) -> int:
        """Return the objective of the jobs not finished yet, given when rows end, scaled."""
        ticks = {j: end[r] // self.scale for j, r in self.last.items()}
        return sum_up(self.shop, self.objective, ticks)

    def least_cost(self) -> int:
        """Return a lower bound on the objective."""
        ends = {j: self.head[r] + self.least(r) for j, r in self.last.items()}
        bound = sum_up(self.shop, self.objective, ends)
        of: dict[int, list[int]] = defaultdict(list)
        for r, ticks in enumerate(self.alternatives):
            if len(ticks) == 1 and self.kind[r] in (PLANNED, RUNNING):
                of[self.only_machine(r)].append(r)
        for rows in of.values():
            first, times = min(self.head[r] for r in rows), sorted(self.least(r) for r in rows)
            if self.objective == "makespan":
                bound = max(bound, first + sum(times) + min(self.tail[r] for r in rows))
            if self.objective == "flow_time" and len({self.job[r] for r in rows}) == len(rows):
                # At best the shortest work comes first.
                through = {self.job[r]: self.tail[r] for r in rows}
                through |= {j: end for j, end in ends.items() if j not in through}
                waits = first * len(rows) + sum(accumulate(times))
                bound = max(bound, waits + sum_up(self.shop, self.objective, through))
        return bound

    def _make_calendars(
        self, downs: Sequence[tuple[int, int, int]], resume: bool
    ) -> list[Calendar]:
        rows = [(int(m), int(a), int(b)) for m, a, b in [*self.shop.windows.tolist(), *downs]]
        if self.shop.floor is not None:
            until = enumerate(self.shop.floor.down_until.tolist())
            rows += [(m, self.clock, u) for m, u in until if u > self.clock]
        of: list[list[tuple[int, int]]] = [[] for _ in range(self.shop.num_machines)]
        for m, begin, end in rows:
            if end > self.clock and begin < end:
                of[m].append((begin, end))
        return [Calendar.merge(pairs, resume) for pairs in of]

    def _add_job(self, j: int) -> None:
        first, end = int(self.shop.op_begin[j]), int(self.shop.op_begin[j + 1])
        kind, machine = PLANNED, -1
        if self.shop.floor is not None:
            first += int(self.shop.floor.num_done[j])
            kind, machine = self._standing(self.shop.floor, j)
        if first == end:
            return
        if kind in (HELD, BUFFERED):
            first -= 1
        for o in range(first, end):
            rows = range(int(self.shop.alt_begin[o]), int(self.shop.alt_begin[o + 1]))
            ticks = {int(self.shop.alt_machine[a]): self._ticks[a] for a in rows}
            if o == first and kind != PLANNED:
                ticks = {machine: ticks[machine]}
            self.op.append(o)
            self.job.append(j)
            self.kind.append(kind if o == first else PLANNED)
            self.alternatives.append(ticks)

    def _standing(self, floor: Floor, j: int) -> tuple[int, int]:
        """Return the kind of a job's first row, and its machine if it has one."""
        if floor.machine[j] >= 0 and floor.left[j] > 0:
            return RUNNING, int(floor.machine[j])
        if self.capacity is None:
            return PLANNED, -1
        if floor.machine[j] >= 0:
            return HELD, int(floor.machine[j])
        return (BUFFERED, int(floor.buffer[j])) if floor.buffer[j] >= 0 else (PLANNED, -1)

    def _heads(self) -> list[int]:
        head = list[int]()
        for row, j in enumerate(self.job):
            if self.prev[row] >= 0:
                head.append(head[-1] + self.least(row - 1))
            else:
                head.append(max(self.clock, int(self.shop.release[j])))
        return head

    def _tails(self) -> list[int]:
        tail = [0] * len(self.op)
        for row in reversed(range(len(self.op))):
            if self.next[row] >= 0:
                tail[row] = tail[row + 1] + self.least(row + 1)
        return tail

    def _horizon(self) -> int:
        slowest = [max(ticks.values()) for ticks in self.alternatives]
        horizon, longest = max([self.clock, *self.head]) + sum(slowest), max(slowest, default=0)
        downs = [(*d, c.resume) for c in self.calendars for d in c.downs]
        for begin, until, resume in sorted(downs):
            if begin < horizon:
                horizon += until - max(begin, self.clock) + (0 if resume else longest)
        return horizon


def sum_up(shop: Shop, objective: str, completion: dict[int, int]) -> int:
    """Return an objective from the ticks at which jobs are finished."""
    if objective == "makespan":
        return max(completion.values(), default=0)
    if objective == "flow_time":
        return sum(c - int(shop.release[j]) for j, c in completion.items())
    is_weighted = objective == "weighted_tardiness"
    weight = shop.weight if is_weighted else np.ones(shop.num_jobs, np.int32)
    late = ((int(weight[j]), c - int(shop.due[j])) for j, c in completion.items())
    return sum(w * max(0, t) for w, t in late)


def _check_options(
    shop: Shop,
    buffer: float,
    swap: str,
    objective: str,
    op_time: NDArray | None,
    downs: Sequence[tuple[int, int, int]],
) -> None:
    if buffer < 0 or (buffer != math.inf and buffer != int(buffer)):
        raise ConfigError(f"buffer = {buffer}; it must be 0, 1, 2, ... or inf.")
    if swap not in SWAPS:
        raise ConfigError(f"swap = {swap!r}; allowed: {', '.join(SWAPS)}.")
    if objective not in OBJECTIVES:
        raise ConfigError(f"objective = {objective!r}; allowed: {', '.join(OBJECTIVES)}.")
    if op_time is not None and (len(op_time) != len(shop.alt_time) or np.min(op_time) < 0):
        raise ConfigError(
            f"op_time has {len(op_time)} values down to {np.min(op_time)}; give "
            f"{len(shop.alt_time)} of at least 0, one per alternative."
        )
    for d, (machine, begin, until) in enumerate(downs):
        if not 0 <= machine < shop.num_machines or begin >= until:
            raise ConfigError(
                f"downs[{d}] = machine {machine}, {begin} to {until}; machines are "
                f"0 .. {shop.num_machines - 1} and a downtime must be longer than nothing."
            )
