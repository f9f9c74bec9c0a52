"""Arrays of a job-shop batch: what an instance fixes and what a lane changes.

Axes: I instances, B lanes, J jobs, O operations, A alternatives (rows of all operations one after
another), M machines, W maintenance windows, K most alternatives of one operation, D breakdowns
remembered. Times are ticks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlsched.core.simulator import Array
from rlsched.envs.jobshop.interruptions import NEVER, Law
from rlsched.envs.jobshop.shop import Shop

UNRELEASED, WAITING, IN_PROCESS, STUCK, DONE = 0, 1, 2, 3, 4
"""Of a job: STUCK has finished on a machine that is down, which keeps it."""
IDLE, WORKING, BLOCKED, DOWN = 0, 1, 2, 3
"""Of a machine."""
SETTLING = -2
"""In place of the deciding machine: jobs on the floor go on first as far as they can."""
UNLIMITED = 2**20
"""Capacity of an output buffer without limit."""
MAKESPAN, FLOW_TIME, TARDINESS = 0, 1, 2
SWAP_AUTO, SWAP_CHOICE, SWAP_OFF = 0, 1, 2
SWAPS = {"auto": SWAP_AUTO, "choice": SWAP_CHOICE, "off": SWAP_OFF}
DEADLOCKS = ("end", "avoid")
REWARD_SIMPLE, REWARD_BOUND, REWARD_WAITING, REWARD_ELAPSED = 0, 1, 2, 3
REWARDS = {
    "simple": REWARD_SIMPLE,
    "bound": REWARD_BOUND,
    "waiting": REWARD_WAITING,
    "elapsed": REWARD_ELAPSED,
}
OBJECTIVES = {
    "makespan": MAKESPAN,
    "flow_time": FLOW_TIME,
    "total_tardiness": TARDINESS,
    "weighted_tardiness": TARDINESS,
}
DOWNS_PER_OP = 2


class Shops(NamedTuple):
    """What the instances of a bank and the options fix; (I, ...), padded to the largest."""

    num_jobs: Array  # (I,) int32
    num_ops: Array  # (I,) int32
    num_machines: Array  # (I,) int32
    op_begin: Array  # (I, J + 1) int32
    op_job: Array  # (I, O) int32
    op_time: Array  # (I, O) int32, on the fastest machine
    op_tail: Array  # (I, O) int32, work from this operation to the job's end, itself included
    alt_begin: Array  # (I, O + 1) int32
    alt_machine: Array  # (I, A) int32
    alt_time: Array  # (I, A) int32
    release: Array  # (I, J) int32
    has_release: Array  # (I,) bool, a job is released after the start
    due: Array  # (I, J) int32
    weight: Array  # (I, J) int32, all 1 unless the objective weighs
    window_begin: Array  # (I, M + 1) int32
    windows: Array  # (I, W, 2) int32, from and until
    mean_time: Array  # (I,) float64, of the operations
    total_work: Array  # (I,) float64
    bound: Array  # (I,) float64, lower bound on the makespan from the start
    scale: Array  # (I,) float64, of the objective in rewards
    horizon: Array  # (I,) int32, everything one after another
    base_cost: Array  # (I,) int64, objective of the unfinished jobs run up before the start
    clock: Array  # (I,) int32, start of the episode
    num_done: Array  # (I, J) int32
    start_machine: Array  # (I, J) int32, machine that holds the job, -1 = none
    start_left: Array  # (I, J) int32, ticks of work left there
    start_buffer: Array  # (I, J) int32
    start_ready: Array  # (I, J) int32
    start_down: Array  # (I, M) int32, until when a machine is down, 0 = up
    capacity: Array  # (1,) int32, of each output buffer
    swap: Array  # (1,) int32
    avoids_deadlock: Array  # (1,) bool
    may_hold: Array  # (1,) bool
    law: Array  # (3,) int32: what counts, time between failures, repair
    law_args: Array  # (4,) float64
    mean_repair: Array  # (1,) float64
    restarts: Array  # (1,) bool, an interrupted operation begins again
    knows_repair: Array  # (1,) bool, the time of repair is seen
    objective: Array  # (1,) int32
    reward: Array  # (1,) int32


class State(NamedTuple):
    """What a lane changes; (B, ...). The observation comes last, empty without observing."""

    instance: Array  # (B,) int32, row of the bank
    stream: Array  # (B,) int64, stream of the lane's random numbers
    draws: Array  # (B,) int64, random choices drawn
    is_calm: Array  # (B,) bool, nothing unforeseen happens any more
    clock: Array  # (B,) int32
    deciding: Array  # (B,) int32, machine whose job is being chosen, -1 = the episode is over
    num_left: Array  # (B,) int32, jobs not finished
    num_on_floor: Array  # (B,) int32, jobs started and not finished
    num_pending: Array  # (B,) int32, machines that work or are down, and jobs to be released
    num_moves: Array  # (B,) int32, operations started
    num_swaps: Array  # (B,) int32, cycles that moved
    cost: Array  # (B,) int64, objective run up since the start
    done_work: Array  # (B,) int64, of operations started
    waited: Array  # (B,) int64, ticks of waiting of all jobs, kept for the reward of that name
    paid: Array  # (B,) float64, sum of the rewards so far
    is_deadlocked: Array  # (B,) bool
    status: Array  # (B, J) int8
    next_op: Array  # (B, J) int32, row of the operation to start next
    at: Array  # (B, J) int32, machine that holds the job, -1 = none
    buffer_of: Array  # (B, J) int32, machine in whose output buffer it waits, -1 = none
    ready: Array  # (B, J) int32, since when it has been waiting
    mode: Array  # (B, M) int8
    occupant: Array  # (B, M) int32, job, -1 = none
    event: Array  # (B, M) int32, when the machine changes by itself next
    done_at: Array  # (B, M) int32, when the work under way ends if nothing happens
    left: Array  # (B, M) int32, work left when it went down
    fail_at: Array  # (B, M) int32, next breakdown
    age_left: Array  # (B, M) int32, ticks of work to the next breakdown
    num_failures: Array  # (B, M) int32
    since: Array  # (B, M) int32, when it began to work, or went down
    next_window: Array  # (B, M) int32, row of windows
    is_held: Array  # (B, M) bool, to stay idle until the clock moves
    num_waiting: Array  # (B, M) int32, jobs that could go there now
    buffer_used: Array  # (B, M) int32
    load: Array  # (B, M) float32, work not started on it; shared among alternatives
    via_job: Array  # (B, M) int32, scratch of the search for cycles
    via_machine: Array  # (B, M) int32
    queue: Array  # (B, M) int32
    op_machine: Array  # (B, O) int32, -1 = not started
    op_start: Array  # (B, O) int32
    op_end: Array  # (B, O) int32
    op_leave: Array  # (B, O) int32
    downs: Array  # (B, D, 3) int32, machine, from, until
    num_downs: Array  # (B,) int32
    reward: Array  # (B,) float32
    terminated: Array  # (B,) bool
    action_mask: Array  # (B, J + 1) bool
    op: Array  # (B, O, F) float32
    job: Array  # (B, J, F) float32
    machine: Array  # (B, M, F) float32
    op_then_op: Array  # (B, O, 2) int32
    op_after_op: Array  # (B, O, 2) int32
    op_of_job: Array  # (B, O, 2) int32
    op_on_machine: Array  # (B, A, 2) int32
    job_at_machine: Array  # (B, J, 2) int32
    job_wants_machine: Array  # (B, J * K, 2) int32
    context: Array  # (B, F) float32
    num_nodes: Array  # (B, 3) int32


def num_alternatives(shops: Sequence[Shop]) -> int:
    """Return K, the most machines that one operation can go to."""
    return max(int(np.diff(s.alt_begin).max()) for s in shops)


def capacity_of(buffer: float) -> int:
    """Return the places of an output buffer as an integer."""
    return UNLIMITED if math.isinf(buffer) else int(buffer)


def pack(
    shops: Sequence[Shop],
    *,
    buffer: float,
    swap: str,
    deadlock: str,
    may_hold: bool,
    law: Law,
    restarts: bool,
    knows_repair: bool,
    objective: str,
    reward: str,
) -> Shops:
    """Return the arrays of a bank of shops under the options of the environment."""
    I, J = len(shops), max(s.num_jobs for s in shops)  # noqa: E741
    O, A = max(s.num_ops for s in shops), max(len(s.alt_machine) for s in shops)  # noqa: E741
    M, W = max(s.num_machines for s in shops), max(1, max(len(s.windows) for s in shops))
    z = lambda *shape: np.zeros(shape, np.int32)  # noqa: E731
    none = lambda *shape: np.full(shape, -1, np.int32)  # noqa: E731
    out = Shops(
        num_jobs=np.array([s.num_jobs for s in shops], np.int32),
        num_ops=np.array([s.num_ops for s in shops], np.int32),
        num_machines=np.array([s.num_machines for s in shops], np.int32),
        op_begin=z(I, J + 1),
        op_job=z(I, O),
        op_time=z(I, O),
        op_tail=z(I, O),
        alt_begin=z(I, O + 1),
        alt_machine=z(I, A),
        alt_time=z(I, A),
        release=z(I, J),
        has_release=np.zeros(I, np.bool_),
        due=np.full((I, J), NEVER, np.int32),
        weight=z(I, J),
        window_begin=z(I, M + 1),
        windows=z(I, W, 2),
        mean_time=np.array([s.min_time.mean() for s in shops]),
        total_work=np.zeros(I),
        bound=np.zeros(I),
        scale=np.zeros(I),
        horizon=z(I),
        base_cost=np.zeros(I, np.int64),
        clock=z(I),
        num_done=z(I, J),
        start_machine=none(I, J),
        start_left=z(I, J),
        start_buffer=none(I, J),
        start_ready=z(I, J),
        start_down=z(I, M),
        capacity=np.array([capacity_of(buffer)], np.int32),
        swap=np.array([SWAPS[swap]], np.int32),
        avoids_deadlock=np.array([deadlock == "avoid"]),
        may_hold=np.array([may_hold]),
        law=np.array([law.counts, law.kind, law.repair], np.int32),
        law_args=np.array([*law.args, *law.repair_args]),
        mean_repair=np.array([law.mean_repair]),
        restarts=np.array([restarts]),
        knows_repair=np.array([knows_repair]),
        objective=np.array([OBJECTIVES[objective]], np.int32),
        reward=np.array([REWARDS[reward]], np.int32),
    )
    for i, shop in enumerate(shops):
        _fill(out, i, shop, objective)
    return out


def _fill(out: Shops, i: int, s: Shop, objective: str) -> None:
    J, O, A, M = s.num_jobs, s.num_ops, len(s.alt_machine), s.num_machines  # noqa: E741
    out.op_begin[i, : J + 1], out.op_begin[i, J + 1 :] = s.op_begin, O
    out.alt_begin[i, : O + 1], out.alt_begin[i, O + 1 :] = s.alt_begin, A
    out.alt_machine[i, :A], out.alt_time[i, :A] = s.alt_machine, s.alt_time
    out.op_job[i, :O], out.op_time[i, :O] = s.op_job, s.min_time
    for j in range(J):
        rows = slice(int(s.op_begin[j]), int(s.op_begin[j + 1]))
        out.op_tail[i, rows] = s.min_time[rows][::-1].cumsum()[::-1]
    out.release[i, :J], out.due[i, :J] = s.release, s.due
    out.weight[i, :J] = s.weight if objective == "weighted_tardiness" else 1
    out.windows[i, : len(s.windows)] = s.windows[np.argsort(s.windows[:, 0], kind="stable"), 1:]
    ends = np.bincount(s.windows[:, 0], minlength=M).cumsum()
    out.window_begin[i, 1 : M + 1], out.window_begin[i, M + 1 :] = ends, ends[-1]
    if s.floor is not None:
        floor = s.floor
        out.clock[i] = floor.clock
        out.num_done[i, :J], out.start_machine[i, :J] = floor.num_done, floor.machine
        out.start_left[i, :J], out.start_buffer[i, :J] = floor.left, floor.buffer
        out.start_ready[i, :J], out.start_down[i, :M] = floor.ready, floor.down_until
    else:
        out.start_ready[i, :J] = s.release
    _fill_figures(out, i, s, objective)


def _fill_figures(out: Shops, i: int, s: Shop, objective: str) -> None:
    """Fill in the scales of features and rewards."""
    first = np.minimum(s.op_begin[:-1] + out.num_done[i, : s.num_jobs], s.op_begin[1:])
    tails = np.append(out.op_tail[i, : s.num_ops], 0)
    left = np.where(first < s.op_begin[1:], tails[first], 0)
    start = np.maximum(s.release, out.clock[i])
    loads = np.zeros(s.num_machines)
    for o in range(s.num_ops):
        if o >= first[out.op_job[i, o]]:
            rows = slice(int(s.alt_begin[o]), int(s.alt_begin[o + 1]))
            np.add.at(loads, s.alt_machine[rows], s.min_time[o] / (rows.stop - rows.start))
    out.total_work[i] = max(1.0, float(left.sum()))
    job_bound = float((start + left).max() - out.clock[i])
    machine_bound = 0.0 if s.is_flexible else float(loads.max())
    out.bound[i] = max(1.0, job_bound, machine_bound)
    shares = out.weight[i, : s.num_jobs].sum() if OBJECTIVES[objective] == TARDINESS else s.num_jobs
    out.scale[i] = out.bound[i] * (1 if objective == "makespan" else max(1, int(shares)))
    slowest = np.maximum.reduceat(s.alt_time, s.alt_begin[:-1]).astype(np.int64)
    rest = int(slowest.sum() + s.release.max() + out.start_down[i].max() + out.clock[i])
    out.has_release[i] = (s.release > out.clock[i]).any()
    out.base_cost[i] = _base_cost(out, i, s, first, objective)
    out.horizon[i] = min(rest + int((s.windows[:, 2] - s.windows[:, 1]).sum()), NEVER - 1)


def _base_cost(out: Shops, i: int, s: Shop, first: np.ndarray, objective: str) -> int:
    now, unfinished = int(out.clock[i]), first < s.op_begin[1:]
    if objective == "makespan":
        return now
    begin = s.release if objective == "flow_time" else s.due
    weight = 1 if objective == "flow_time" else out.weight[i, : s.num_jobs]
    return int((weight * np.maximum(0, now - begin.astype(np.int64)) * unfinished).sum())


def allocate(shops: Shops, num_envs: int, K: int, observe: bool, widths: dict[str, int]) -> State:
    """Return the arrays of B lanes; the observation's are empty unless it is kept."""
    B, J = num_envs, shops.release.shape[1]
    O, A = shops.op_time.shape[1], shops.alt_machine.shape[1]  # noqa: E741
    M = shops.start_down.shape[1]
    has_downs = shops.law[0] != 0 or bool(shops.window_begin[:, -1].any())
    D = DOWNS_PER_OP * O + 16 if has_downs or shops.start_down.any() else 1
    z = lambda *shape, dtype=np.int32: np.zeros((B, *shape), dtype)  # noqa: E731
    on = int(observe)
    return State(
        instance=z(),
        stream=z(dtype=np.int64),
        draws=z(dtype=np.int64),
        is_calm=z(dtype=np.bool_),
        clock=z(),
        deciding=z(),
        num_left=z(),
        num_on_floor=z(),
        num_pending=z(),
        num_moves=z(),
        num_swaps=z(),
        cost=z(dtype=np.int64),
        done_work=z(dtype=np.int64),
        waited=z(dtype=np.int64),
        paid=z(dtype=np.float64),
        is_deadlocked=z(dtype=np.bool_),
        status=z(J, dtype=np.int8),
        next_op=z(J),
        at=z(J),
        buffer_of=z(J),
        ready=z(J),
        mode=z(M, dtype=np.int8),
        occupant=z(M),
        event=z(M),
        done_at=z(M),
        left=z(M),
        fail_at=z(M),
        age_left=z(M),
        num_failures=z(M),
        since=z(M),
        next_window=z(M),
        is_held=z(M, dtype=np.bool_),
        num_waiting=z(M),
        buffer_used=z(M),
        load=z(M, dtype=np.float32),
        via_job=z(M),
        via_machine=z(M),
        queue=z(M),
        op_machine=z(O),
        op_start=z(O),
        op_end=z(O),
        op_leave=z(O),
        downs=z(D, 3),
        num_downs=z(),
        reward=z(dtype=np.float32),
        terminated=np.ones(B, np.bool_),
        action_mask=z(J + 1, dtype=np.bool_),
        op=z(O * on, widths["op"], dtype=np.float32),
        job=z(J * on, widths["job"], dtype=np.float32),
        machine=z(M * on, widths["machine"], dtype=np.float32),
        op_then_op=z(O * on, 2),
        op_after_op=z(O * on, 2),
        op_of_job=z(O * on, 2),
        op_on_machine=z(A * on, 2),
        job_at_machine=z(J * on, 2),
        job_wants_machine=z(J * K * on, 2),
        context=z(widths["context"] * on, dtype=np.float32),
        num_nodes=z(3 * on),
    )
