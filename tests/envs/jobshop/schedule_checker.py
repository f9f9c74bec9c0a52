"""An independent checker of job-shop schedules in plain Python; it imports nothing of rlsched.

It reads a ``Schedule`` by its attributes and refuses the first record that breaks a rule:

- operations of a job follow each other, on machines that can do them, not before the release;
- the work takes its ticks: end - start is the processing time plus the downtime in between, or, if
  interrupted work begins again, the last stretch without downtime is the processing time;
- nothing starts while its machine is down, and no job goes from a machine that is down to another:
  only into the output buffer, at the tick at which its work was finished;
- a job holds its machine from start to leave, and no other job does;
- a job that has left its machine and not started on the next is in the machine's output buffer,
  which has ``buffer`` places; after the last operation it leaves at once;
- without swaps, the moves of each instant can be made one after another.

Of a shop with a floor it takes the jobs on the floor from there; what was done before is not known
and not checked, and of the operation under way the start is the floor's clock.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple


class Op(NamedTuple):
    """An operation as it was carried out."""

    name: str
    kind: str
    """"planned"; or of a job on the floor "running", "standing" on its machine, or "buffered"."""
    machine: int
    ticks: int
    left: int
    start: int
    end: float
    leave: float
    is_last: bool


def check_schedule(
    schedule: Any,
    buffer: float = math.inf,
    swap: str = "auto",
    resume: bool = True,
    *,
    op_time: Any = None,
    complete: bool = True,
    fails_at_start: bool = False,
) -> None:
    """Check a schedule.

    Args:
        schedule: a ``Schedule``; its ``downs`` are all downtimes that happened.
        buffer: places of each machine's output buffer.
        swap: "auto" or "choice" allow jobs to change places at one instant, "off" does not.
        resume: whether interrupted work goes on afterwards, or begins again.
        op_time: (A,) processing times other than the shop's.
        complete: whether all operations must be finished; if not, it is what happened up to now.
        fails_at_start: whether a machine may break down at the very tick at which work starts.

    Raises:
        AssertionError: a rule is broken; names the operation or the machine.
    """
    jobs, downs = _jobs(schedule, buffer, op_time, complete), _downs(schedule)
    for j, ops in jobs.items():
        _check_job(schedule.shop, j, ops)
        for op, then in _with_next(ops):
            here = downs[op.machine]
            _check_start(op, here, fails_at_start)
            if op.kind in ("planned", "running") and not math.isinf(op.end):
                (_check_resumed if resume else _check_restarted)(op, here)
            _check_leave(op, then, here, buffer)
    _check_machines(jobs)
    if 0 < buffer < math.inf:
        _check_buffers(jobs, downs, buffer)
    if swap == "off" and not math.isinf(buffer):
        _check_moves(jobs, buffer)


def objective_of(schedule: Any, objective: str) -> int:
    """Return an objective of a complete schedule, of the jobs not finished before its floor."""
    shop, total = schedule.shop, 0
    for j in range(len(shop.release)):
        first, last = int(shop.op_begin[j]), int(shop.op_begin[j + 1]) - 1
        if shop.floor is not None and shop.floor.num_done[j] == last - first + 1:
            continue
        end = int(schedule.end[last])
        assert end >= 0, f"job {j} is not finished"
        late = max(0, end - int(shop.due[j]))
        if objective == "makespan":
            total = max(total, end)
        elif objective == "flow_time":
            total += end - int(shop.release[j])
        elif objective == "total_tardiness":
            total += late
        elif objective == "weighted_tardiness":
            total += late * int(shop.weight[j])
        else:
            raise ValueError(objective)
    return total


# --- reading --------------------------------------------------------------------------------------


def _downs(schedule: Any) -> dict[int, list[tuple[int, int]]]:
    """Return the downtimes of each machine, sorted, those that overlap or touch as one."""
    merged: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for m, begin, until in sorted(tuple(map(int, row)) for row in schedule.downs):
        assert begin < until, f"machine {m} is down from {begin} to {until}"
        if merged[m] and begin <= merged[m][-1][1]:
            begin, until = merged[m][-1][0], max(until, merged[m].pop()[1])
        merged[m].append((begin, until))
    return merged


def _jobs(schedule: Any, buffer: float, op_time: Any, complete: bool) -> dict[int, list[Op]]:
    """Return what each unfinished job did, beginning with where it stood on the floor."""
    shop, floor, jobs = schedule.shop, schedule.shop.floor, {}
    times = shop.alt_time if op_time is None else op_time
    for j in range(len(shop.release)):
        first, stop = int(shop.op_begin[j]), int(shop.op_begin[j + 1])
        first += 0 if floor is None else int(floor.num_done[j])
        is_working = floor is not None and bool(floor.left[j] > 0)
        is_waiting = floor is not None and max(floor.machine[j], floor.buffer[j]) >= 0
        ops = []
        if first < stop and is_waiting and not is_working and not math.isinf(buffer):
            ops.append(_standing(schedule, j, first - 1))
        for o in range(first, stop):
            name, m = f"operation {o} (job {j})", int(schedule.machine[o])
            start, end, leave = (int(a[o]) for a in (schedule.start, schedule.end, schedule.leave))
            if m < 0:
                assert not complete, f"{name} was not started"
                assert max(start, end, leave) < 0, f"{name} has times and no machine"
                continue
            assert not complete or min(end, leave) >= 0, f"{name} was not finished"
            rows = range(int(shop.alt_begin[o]), int(shop.alt_begin[o + 1]))
            ticks = {int(shop.alt_machine[a]): int(times[a]) for a in rows}
            assert m in ticks, f"{name} is on machine {m}, which cannot do it"
            kind, left = "planned", ticks[m]
            if is_working and o == first:
                assert m == floor.machine[j], f"{name} was under way on another machine"
                assert start == floor.clock, f"{name} was under way at the clock, not {start}"
                kind, left = "running", int(floor.left[j])
            over, gone = (x if x >= 0 else math.inf for x in (end, leave))
            ops.append(Op(name, kind, m, ticks[m], left, start, over, gone, o == stop - 1))
        jobs[j] = ops
    return jobs


def _standing(schedule: Any, j: int, o: int) -> Op:
    """Return the finished operation of a job that waits on a machine or in its buffer."""
    floor, leave = schedule.shop.floor, int(schedule.leave[o])
    name, clock = f"operation {o} (job {j}, on the floor)", int(floor.clock)
    if floor.buffer[j] >= 0:
        return Op(name, "buffered", int(floor.buffer[j]), 0, 0, clock, clock, clock, False)
    gone = leave if leave >= 0 else math.inf
    return Op(name, "standing", int(floor.machine[j]), 0, 0, clock, clock, gone, False)


def _with_next(ops: list[Op]) -> Iterator[tuple[Op, Op | None]]:
    return zip_longest(ops, ops[1:])


# --- one job --------------------------------------------------------------------------------------


def _check_job(shop: Any, j: int, ops: list[Op]) -> None:
    now = float(max(shop.release[j], 0 if shop.floor is None else shop.floor.clock))
    for op in ops:
        assert op.start >= now, f"{op.name} starts at {op.start}, its job is ready at {now}"
        assert op.start <= op.end <= op.leave, f"{op.name} ends at {op.end}, leaves at {op.leave}"
        now = op.leave


def _check_start(op: Op, downs: list[tuple[int, int]], fails_at_start: bool) -> None:
    for begin, until in downs:
        if op.kind == "planned" and begin <= op.start < until:
            is_excused = fails_at_start and begin == op.start
            assert is_excused, f"{op.name} starts at {op.start}, machine {op.machine} is down"


def _check_resumed(op: Op, downs: list[tuple[int, int]]) -> None:
    down = sum(max(0, min(until, op.end) - max(begin, op.start)) for begin, until in downs)
    worked = op.end - op.start - down
    assert worked == op.left, f"{op.name} was worked on for {worked} ticks of {op.left}"
    for begin, until in downs:
        is_idle = op.left > 0 and begin < op.end <= until
        assert not is_idle, f"{op.name} ends at {op.end}, while machine {op.machine} is down"


def _check_restarted(op: Op, downs: list[tuple[int, int]]) -> None:
    since, needed = op.start, op.left
    for begin, until in downs:
        if until <= since or begin >= op.end:
            continue
        assert begin - since < needed, f"{op.name} could have ended before {begin}"
        needed = needed if begin <= since else op.ticks
        since = until
    worked = op.end - since
    assert worked == needed, f"{op.name} was worked on for {worked} ticks of {needed} at last"


def _check_leave(op: Op, then: Op | None, downs: list[tuple[int, int]], buffer: float) -> None:
    says = f"{op.name} ends at {op.end} and leaves at {op.leave}"
    if op.is_last or math.isinf(buffer):
        assert op.leave == op.end, says
        return
    if buffer == 0:
        start = math.inf if then is None else then.start
        assert op.leave == start, f"{says}; the next starts at {start}"
    if op.kind != "buffered":
        for begin, until in downs:
            if begin <= op.leave < until:
                is_stored = buffer > 0 and op.leave == op.end and op.kind != "standing"
                assert is_stored, f"{says}, while machine {op.machine} is down"


# --- all jobs at once -----------------------------------------------------------------------------


def _check_machines(jobs: dict[int, list[Op]]) -> None:
    on = defaultdict(list)
    for ops in jobs.values():
        for op in ops:
            if op.kind != "buffered":
                on[op.machine].append(op)
    for m, ops in on.items():
        ops.sort(key=lambda op: (op.start, op.leave))
        for a, b in pairwise(ops):
            both = f"{a.name} leaves machine {m} at {a.leave}, {b.name} starts at {b.start}"
            assert a.leave <= b.start, both


def _check_buffers(
    jobs: dict[int, list[Op]], downs: dict[int, list[tuple[int, int]]], buffer: float
) -> None:
    """Count the jobs in each buffer whenever one enters."""
    stays = defaultdict(list)
    for ops in jobs.values():
        for op, then in _with_next(ops):
            if not op.is_last and not math.isinf(op.leave):
                stays[op.machine].append((op, math.inf if then is None else then.start))
    for m, rows in stays.items():
        for op, _ in rows:
            inside = [q.name for q, until in rows if q.leave <= op.leave < until]
            assert len(inside) <= buffer, f"at {op.leave} the buffer of {m} holds {inside}"
            if any(begin <= op.leave < until for begin, until in downs[m]):
                before = [q.name for q, until in rows if q.leave < op.leave <= until]
                says = f"{op.name} cannot leave machine {m}, which goes down at {op.leave}"
                assert len(before) < buffer or op.kind == "buffered", f"{says}: {before} are inside"


def _check_moves(jobs: dict[int, list[Op]], buffer: float) -> None:
    """Make the moves of each instant one after another.

    Any order in which they can be made will do; only work of no ticks comes before what stays. A
    job may pass through the buffer of its machine.
    """
    holder, stored, place = dict[int, int](), Counter[int](), dict[int, tuple[str, int]]()
    moves: dict[float, dict[int, list[tuple[str, Op]]]] = defaultdict(lambda: defaultdict(list))
    still: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for j, ops in jobs.items():
        for op, then in _with_next(ops):
            if op.kind == "planned":
                moves[op.start][j].append(("on", op))
                still[op.machine].append((op.start, op.leave))
            elif op.kind == "buffered":
                place[j] = ("in", op.machine)
                stored[op.machine] += 1
                continue
            else:
                place[j] = ("on", op.machine)
                holder[op.machine] = j
            if op.is_last and not math.isinf(op.leave):
                moves[op.leave][j].append(("out", op))
            elif not op.is_last and op.leave < (math.inf if then is None else then.start):
                moves[op.leave][j].append(("in", op))

    def go(j: int, where: str, m: int) -> None:
        was, x = place.get(j, ("out", -1))
        if was == "on":
            del holder[x]
        elif was == "in":
            stored[x] -= 1
        if where == "on":
            holder[m] = j
        elif where == "in":
            stored[m] += 1
        place[j] = (where, m)

    for tick in sorted(moves):
        todo, moved = moves[tick], True
        while todo:
            assert moved, f"at {tick} jobs {sorted(todo)} can only change places all at once"
            moved = False
            for j in list(todo):
                where, op = todo[j][0]
                was, x = place.get(j, ("out", -1))
                is_next = (op.start, op.leave) == min(still[op.machine], default=None)
                if where == "on" and holder.get(op.machine, j) == j and is_next:
                    still[op.machine].remove((op.start, op.leave))
                elif where == "on" and was == "on" and x != op.machine and stored[x] < buffer:
                    go(j, "in", x)
                    moved = True
                    continue
                elif where == "on" or (where == "in" and stored[op.machine] >= buffer):
                    continue
                go(j, where, op.machine)
                moved = True
                todo[j].pop(0)
                if not todo[j]:
                    del todo[j]
