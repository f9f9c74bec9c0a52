"""Arrays of a SoC batch: what an instance fixes and what a lane changes.

Axes: I instances, B lanes, K kinds of jobs, T tasks of a kind, E edges of a kind, P PEs, C most
tasks at once on a PE, F operating points, Q jobs in the system, N = Q * T task rows, A rows of
task-PE pairs, R executions remembered, L latencies remembered. Times are ticks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rlsched.core.simulator import Array

ABSENT, PENDING, ARRIVING, READY, BOUND, RUNNING, DONE = range(7)
"""Of a task: PENDING waits for others, ARRIVING for its data in shared memory, BOUND has a PE."""
CHOOSE_TASK, CHOOSE_PE, CHOOSE_OPP = range(3)
"""What a lane's next choice is about."""
STATIC, STREAMING = 0, 1
MODES = {"static": STATIC, "streaming": STREAMING}
ADMIT_DEFER, ADMIT_QUEUE, ADMIT_DROP = range(3)
ADMISSIONS = {"defer": ADMIT_DEFER, "queue": ADMIT_QUEUE, "drop": ADMIT_DROP}
TO_PE, TO_MEMORY = 0, 1
COMMS = {"pe": TO_PE, "memory": TO_MEMORY}
FIFO, OLDEST_JOB = 0, 1
ORDERS = {"fifo": FIFO, "oldest_job": OLDEST_JOB}
REWARD_SIMPLE, REWARD_BOUND, REWARD_DURATION, REWARD_COMPLETION, REWARD_MAKESPAN = range(5)
REWARDS = {
    "simple": REWARD_SIMPLE,
    "bound": REWARD_BOUND,
    "duration": REWARD_DURATION,
    "completion": REWARD_COMPLETION,
    "makespan": REWARD_MAKESPAN,
}
POISSON, FIXED, TRACE = 0, 1, 2
ARRIVALS = {"poisson": POISSON, "fixed": FIXED, "trace": TRACE}
NEVER = 2**30
NUM_REMEMBERED = 512
"""Executions that a streaming lane keeps for pictures and checks; a static lane keeps all."""
MOST_LATENCIES = 4096
JOB, KIND, TASK, PE, BEGIN, END, OPP = range(7)
"""Columns of the executions remembered."""


class Workloads(NamedTuple):
    """What the instances of a bank and the options fix; (I, ...), padded to the largest."""

    num_pes: Array  # (I,) int32
    num_kinds: Array  # (I,) int32
    share: Array  # (I, K) float64, of the kinds up to each, the last 1
    num_tasks: Array  # (I, K) int32
    time: Array  # (I, K, T, P) int32, at the highest point, -1 = cannot run there
    num_ways: Array  # (I, K, T) int32, PEs that can run it
    order: Array  # (I, K, T) int32, tasks in topological order
    next_begin: Array  # (I, K, T + 1) int32, edges to the tasks that need a task's result
    next_task: Array  # (I, K, E) int32
    next_mean: Array  # (I, K, E) float32, mean ticks of communication between two PEs
    prev_begin: Array  # (I, K, T + 1) int32, edges from the tasks it needs
    prev_task: Array  # (I, K, E) int32
    prev_volume: Array  # (I, K, E) float64
    rank: Array  # (I, K, T) float32, upward rank of HEFT
    tail: Array  # (I, K, T) int32, longest chain from here, itself included, fastest PEs, no data
    rest: Array  # (I, K, T, P) float32, ticks from its end there to its job's, every PE free (PEFT)
    fastest: Array  # (I, K, T) int32, least time
    mean: Array  # (I, K, T) float32, mean time over the PEs that can run it
    critical_path: Array  # (I, K) int32, of the tails
    mean_time: Array  # (I,) float64, of all tasks
    unit: Array  # (I,) float64, mean critical path of a job, the measure of rewards and discounts
    capacity: Array  # (I, P) int32
    bandwidth: Array  # (I, P, P) float64
    startup: Array  # (I, P, P) int32
    memory_bandwidth: Array  # (I, 2, P) float64
    num_opps: Array  # (I, P) int32
    opp: Array  # (I, P) int32, point that PEs run at unless it is chosen
    slowdown: Array  # (I, P, F) float64, highest frequency over the point's
    mhz: Array  # (I, P, F) int32
    power: Array  # (I, P, C + 1, F) float64, W with so many tasks running
    full_power: Array  # (I,) float64, W of all PEs, each as busy and as fast as it can be
    gap: Array  # (I,) float64, mean ticks between arrivals
    noise: Array  # (I,) float64, standard deviation of times, as a share
    num_live: Array  # (I,) int32, jobs in the system at the start, -1 = it begins at tick 0
    live_clock: Array  # (I,) int32
    live_kind: Array  # (I, Q) int32
    live_arrival: Array  # (I, Q) int32
    live_status: Array  # (I, N) int8
    live_on: Array  # (I, N) int32
    live_begin: Array  # (I, N) int32
    live_end: Array  # (I, N) int32
    live_bound: Array  # (I, N) int32, rows placed, in the order of placing, then -1
    num_traced: Array  # (I,) int32, jobs of the trace
    trace_at: Array  # (I, J) int32, ticks
    trace_kind: Array  # (I, J) int32
    mode: Array  # (1,) int32
    queue: Array  # (I,) int32, most jobs in the system
    length: Array  # (1,) int32, NEVER = no limit
    num_jobs: Array  # (1,) int32, NEVER = no limit
    warmup: Array  # (1,) int32
    fills: Array  # (1,) bool, the system is full at the start
    admission: Array  # (1,) int32
    arrivals: Array  # (1,) int32
    comm: Array  # (1,) int32
    dispatch: Array  # (1,) int32
    defers: Array  # (1,) bool, WAIT is offered
    chooses_opp: Array  # (1,) bool
    reward: Array  # (1,) int32
    energy_weight: Array  # (1,) float64, critical paths that one at full power costs


class State(NamedTuple):
    """What a lane changes; (B, ...). The observation comes last, empty without observing."""

    instance: Array  # (B,) int32, row of the bank
    stream: Array  # (B,) int64, stream of the lane's random numbers
    draws: Array  # (B,) int64, random choices drawn
    is_calm: Array  # (B,) bool, no job arrives and no time is noisy any more
    clock: Array  # (B,) int32
    phase: Array  # (B,) int32, what the next choice is about
    row: Array  # (B,) int32, task being placed, -1 = none
    pe: Array  # (B,) int32, PE chosen for it, -1 = none
    is_waiting: Array  # (B,) bool, WAIT was chosen at this instant
    num_active: Array  # (B,) int32, jobs in the system
    num_arrived: Array  # (B,) int32, jobs admitted or dropped
    num_dropped: Array  # (B,) int32
    next_arrival: Array  # (B,) int32
    num_completed: Array  # (B,) int32
    num_counted: Array  # (B,) int32, of them, after the warm-up
    num_decisions: Array  # (B,) int32, tasks placed
    latency: Array  # (B,) int64, sum over the jobs counted
    slowdown: Array  # (B,) float64, sum over the jobs counted
    wait: Array  # (B,) int64, ticks before admission, sum over the jobs counted
    busy_energy: Array  # (B,) float64, W x ticks of PEs at work
    idle_energy: Array  # (B,) float64, W x ticks of PEs at rest
    makespan: Array  # (B,) int32, latest end of a task
    time_in_system: Array  # (B,) int64, ticks of all jobs together
    earned: Array  # (B,) float64, reward of the step under way
    paid: Array  # (B,) float64, potential that the rewards have paid for
    elapsed: Array  # (B,) float32, critical paths that the last step took
    latencies: Array  # (B, L) int32, of the first jobs counted
    slot_job: Array  # (B, Q) int32, number of the job, -1 = free
    slot_kind: Array  # (B, Q) int32
    slot_arrival: Array  # (B, Q) int32
    slot_admitted: Array  # (B, Q) int32
    slot_left: Array  # (B, Q) int32, tasks not finished
    slot_bound: Array  # (B, Q) int32, when the job ends if nothing waits
    status: Array  # (B, N) int8
    on: Array  # (B, N) int32, PE of a task that has one
    point: Array  # (B, N) int32, operating point
    data_at: Array  # (B, N) int32, when its data are there
    start: Array  # (B, N) int32
    finish: Array  # (B, N) int32, real
    expected: Array  # (B, N) int32, when it ends as far as is known
    num_missing: Array  # (B, N) int32, tasks it waits for
    ready_at: Array  # (B, N) int32
    earliest: Array  # (B, N) int32, when it could end if nothing waited
    ready: Array  # (B, N) int32, rows that can be placed, in the order they became so
    bound: Array  # (B, N) int32, rows that have a PE and have not begun, in the order of placing
    running: Array  # (B, N) int32
    arriving: Array  # (B, N) int32
    num_ready: Array  # (B,) int32
    num_bound: Array  # (B,) int32
    num_running: Array  # (B,) int32
    num_arriving: Array  # (B,) int32
    pe_running: Array  # (B, P) int32
    pe_bound: Array  # (B, P) int32
    pe_point: Array  # (B, P) int32, operating point it was last set to
    pe_busy: Array  # (B, P) int64, ticks of work since the episode's beginning
    free_at: Array  # (B, P, C) int32, when each place is free as far as is known
    really_free: Array  # (B, P, C) int32, static mode: when it is free with the noise
    executions: Array  # (B, R, 7) int32, the last ones
    num_executions: Array  # (B,) int32
    reward: Array  # (B,) float32
    terminated: Array  # (B,) bool
    action_mask: Array  # (B, N + P + F + 1) bool
    task: Array  # (B, N, X) float32
    job: Array  # (B, Q, X) float32
    pes: Array  # (B, P, X) float32
    opp: Array  # (B, F, X) float32
    task_then_task: Array  # (B, Q * E, 2) int32
    task_then_task_x: Array  # (B, Q * E, X) float32
    task_on_pe: Array  # (B, Q * A, 2) int32
    task_on_pe_x: Array  # (B, Q * A, X) float32
    task_of_job: Array  # (B, N, 2) int32
    context: Array  # (B, X) float32
    num_nodes: Array  # (B, 4) int32


def allocate(work: Workloads, num_envs: int, observe: bool, widths: dict[str, int]) -> State:
    """Return the arrays of B lanes; the observation's are empty unless it is kept."""
    B, Q, T, P = num_envs, int(work.queue.max()), work.time.shape[2], work.time.shape[3]
    C, F = work.power.shape[2] - 1, work.slowdown.shape[2]
    N, E, A = Q * T, work.next_task.shape[2], num_pairs(work)
    R = T if work.mode[0] == STATIC else NUM_REMEMBERED
    z = lambda *shape, dtype=np.int32: np.zeros((B, *shape), dtype)  # noqa: E731
    on = int(observe)
    return State(
        instance=z(),
        stream=z(dtype=np.int64),
        draws=z(dtype=np.int64),
        is_calm=z(dtype=np.bool_),
        clock=z(),
        phase=z(),
        row=z(),
        pe=z(),
        is_waiting=z(dtype=np.bool_),
        num_active=z(),
        num_arrived=z(),
        num_dropped=z(),
        next_arrival=z(),
        num_completed=z(),
        num_counted=z(),
        num_decisions=z(),
        latency=z(dtype=np.int64),
        slowdown=z(dtype=np.float64),
        wait=z(dtype=np.int64),
        busy_energy=z(dtype=np.float64),
        idle_energy=z(dtype=np.float64),
        makespan=z(),
        time_in_system=z(dtype=np.int64),
        earned=z(dtype=np.float64),
        paid=z(dtype=np.float64),
        elapsed=z(dtype=np.float32),
        latencies=z(num_latencies(work)),
        slot_job=z(Q),
        slot_kind=z(Q),
        slot_arrival=z(Q),
        slot_admitted=z(Q),
        slot_left=z(Q),
        slot_bound=z(Q),
        status=z(N, dtype=np.int8),
        on=z(N),
        point=z(N),
        data_at=z(N),
        start=z(N),
        finish=z(N),
        expected=z(N),
        num_missing=z(N),
        ready_at=z(N),
        earliest=z(N),
        ready=z(N),
        bound=z(N),
        running=z(N),
        arriving=z(N),
        num_ready=z(),
        num_bound=z(),
        num_running=z(),
        num_arriving=z(),
        pe_running=z(P),
        pe_bound=z(P),
        pe_point=z(P),
        pe_busy=z(P, dtype=np.int64),
        free_at=z(P, C),
        really_free=z(P, C),
        executions=z(R, 7),
        num_executions=z(),
        reward=z(dtype=np.float32),
        terminated=np.ones(B, np.bool_),
        action_mask=z(N + P + F + 1, dtype=np.bool_),
        task=z(N * on, widths["task"], dtype=np.float32),
        job=z(Q * on, widths["job"], dtype=np.float32),
        pes=z(P * on, widths["pe"], dtype=np.float32),
        opp=z(F * on, widths["opp"], dtype=np.float32),
        task_then_task=z(Q * E * on, 2),
        task_then_task_x=z(Q * E * on, 1, dtype=np.float32),
        task_on_pe=z(Q * A * on, 2),
        task_on_pe_x=z(Q * A * on, 3, dtype=np.float32),
        task_of_job=z(N * on, 2),
        context=z(widths["context"] * on, dtype=np.float32),
        num_nodes=z(4 * on),
    )


def num_pairs(work: Workloads) -> int:
    """Return A, the most pairs of a task and a PE that can run it, of one job."""
    return int(work.num_ways.sum(axis=2).max())


def num_latencies(work: Workloads) -> int:
    """Return L: every job of a usual episode, so that its quantiles are exact."""
    if work.num_jobs[0] < NEVER:
        return min(MOST_LATENCIES, int(work.num_jobs[0]))
    if work.arrivals[0] == TRACE:
        return min(MOST_LATENCIES, int(work.num_traced.max() + work.queue.max()))
    arrivals = 2 * float(work.length[0]) / max(1.0, float(work.gap.min())) + 64
    return int(min(MOST_LATENCIES, arrivals + work.queue.max()))
