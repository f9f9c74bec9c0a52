"""DAG jobs on a heterogeneous system on chip: choose a ready task, then the PE that runs it.

Static mode plans one DAG beforehand: a task can be placed when all it needs are placed, and begins
behind what is on its PE. Streaming mode runs jobs that keep arriving: a task can be placed from the
instant its last predecessor ends, for good (commit on ready). Choices without an alternative are
made at once. Times are ticks, in the profiles microseconds.

Source: DS3 (Arda et al. 2020) and gym_ds3 (Sung et al. 2021); what differs is said in card.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rlsched.core.bank import BankSimulator
from rlsched.core.errors import ConfigError, check_one_of
from rlsched.core.lanes import helper, lanes
from rlsched.core.rng import mix32, randint
from rlsched.core.simulator import Array, host
from rlsched.envs.soc.dynamics import advance, expect, take
from rlsched.envs.soc.jobs import admit, plan_arrival, resume
from rlsched.envs.soc.observation import GRAPH, observe_all, observe_chosen
from rlsched.envs.soc.packing import PERFORMANCE, POWERSAVE, pack
from rlsched.envs.soc.rewards import pay, potential
from rlsched.envs.soc.state import (
    ADMISSIONS,
    ARRIVALS,
    ARRIVING,
    BOUND,
    CHOOSE_PE,
    COMMS,
    DONE,
    MODES,
    NEVER,
    ORDERS,
    PENDING,
    READY,
    REWARD_BOUND,
    REWARD_SIMPLE,
    REWARDS,
    RUNNING,
    STATIC,
    TRACE,
    State,
    Workloads,
    allocate,
    num_pairs,
)
from rlsched.envs.soc.workload import Live, LiveJob, LiveTask, Workload

CHOOSE = "choose"
MAX_QUEUE, MAX_GAP = 64, 10_000_000
STATUS_NAMES = {PENDING: "waiting", ARRIVING: "waiting", READY: "waiting"} | {
    BOUND: "placed",
    RUNNING: "running",
    DONE: "done",
}
RANGE = re.compile(r"(?P<low>\d+(\.\d+)?)(-(?P<high>\d+(\.\d+)?))?")

# --- lane functions -------------------------------------------------------------------------------


@lanes
def start(
    lane: int, c: Workloads, s: State, observe: bool, mask: Array, rows: Array, stream: Array
) -> None:
    """Put a lane at the beginning of an episode."""
    if not mask[lane]:
        return
    s.stream[lane], s.draws[lane], s.is_calm[lane] = stream[lane], 0, False
    restart(lane, c, s, rows[lane])
    if c.num_live[rows[lane]] >= 0:
        resume(lane, c, s)
        expect(lane, c, s)
    elif c.arrivals[0] != TRACE or c.mode[0] == STATIC:
        for q in range(c.queue[s.instance[lane]] if c.fills[0] else 1):
            if s.num_arrived[lane] < c.num_jobs[0]:
                admit(lane, c, s, q, 0)
    plan_arrival(lane, c, s, s.clock[lane])
    s.paid[lane] = potential(lane, c, s)
    advance(lane, c, s)
    s.earned[lane], s.paid[lane] = 0.0, potential(lane, c, s)
    if observe:
        observe_all(lane, c, s)


@helper
def restart(lane: int, c: Workloads, s: State, i: int) -> None:
    """Empty a lane: no jobs, PEs at rest, everything counted from nothing."""
    s.instance[lane], s.clock[lane], s.terminated[lane] = i, 0, False
    s.phase[lane], s.row[lane], s.pe[lane], s.is_waiting[lane] = 0, -1, -1, False
    s.num_active[lane], s.num_arrived[lane], s.num_dropped[lane] = 0, 0, 0
    s.num_completed[lane], s.num_counted[lane], s.num_decisions[lane] = 0, 0, 0
    s.latency[lane], s.slowdown[lane], s.wait[lane], s.makespan[lane] = 0, 0.0, 0, 0
    s.busy_energy[lane], s.idle_energy[lane], s.time_in_system[lane] = 0.0, 0.0, 0
    s.earned[lane], s.paid[lane], s.elapsed[lane], s.reward[lane] = 0.0, 0.0, 0.0, 0.0
    s.num_ready[lane], s.num_bound[lane] = 0, 0
    s.num_running[lane], s.num_arriving[lane], s.num_executions[lane] = 0, 0, 0
    for q in range(s.slot_job.shape[1]):
        s.slot_job[lane, q], s.slot_kind[lane, q], s.slot_bound[lane, q] = -1, 0, 0
    for row in range(s.status.shape[1]):
        s.status[lane, row], s.on[lane, row] = 0, -1
    for p in range(s.pe_running.shape[1]):
        s.pe_running[lane, p], s.pe_bound[lane, p], s.pe_busy[lane, p] = 0, 0, 0
        s.pe_point[lane, p] = c.opp[i, p]
        for x in range(s.free_at.shape[2]):
            s.free_at[lane, p, x], s.really_free[lane, p, x] = 0, 0


@lanes
def step(lane: int, c: Workloads, s: State, observe: bool, choice: Array) -> None:
    """Carry out a choice and play on to the next decision."""
    s.reward[lane], s.elapsed[lane] = 0.0, 0.0
    if s.terminated[lane]:
        return
    before = s.clock[lane]
    take(lane, c, s, choice[lane])
    advance(lane, c, s)
    pay(lane, c, s)
    s.elapsed[lane] = (s.clock[lane] - before) / c.unit[s.instance[lane]]
    if observe and s.row[lane] == choice[lane] and s.phase[lane] == CHOOSE_PE:
        observe_chosen(lane, c, s)
    elif observe:
        observe_all(lane, c, s)


@lanes
def observe(lane: int, c: Workloads, s: State) -> None:
    """Write a lane's observation from its state alone."""
    observe_all(lane, c, s)


@lanes
def calm(lane: int, c: Workloads, s: State) -> None:
    """Let no further job arrive in a lane, and every task take the time it should.

    In static mode nothing has begun yet, so that holds for what is placed as well.
    """
    s.is_calm[lane], s.next_arrival[lane] = True, NEVER
    for n in range(s.num_running[lane]):
        row = s.running[lane, n]
        s.finish[lane, row] = max(s.expected[lane, row], s.clock[lane])
    if c.mode[0] == STATIC and not s.terminated[lane]:
        unplay(lane, c, s)


@helper
def unplay(lane: int, c: Workloads, s: State) -> None:
    """Let what is placed in a static lane have taken the time it should."""
    s.makespan[lane] = 0
    for row in range(s.status.shape[1]):
        if s.status[lane, row] == DONE:
            s.finish[lane, row] = s.expected[lane, row]
            s.makespan[lane] = max(s.makespan[lane], s.finish[lane, row])
    for p in range(c.num_pes[s.instance[lane]]):
        for x in range(c.capacity[s.instance[lane], p]):
            s.really_free[lane, p, x] = s.free_at[lane, p, x]


@lanes
def random_choice(lane: int, s: State, seed: int, choice: Array) -> None:
    """Choose uniformly among what is offered; never WAIT where something else is."""
    last, legal = s.action_mask.shape[1] - 1, 0
    for a in range(last):
        legal += int(s.action_mask[lane, a])
    choice[lane] = last
    if legal == 0 or s.terminated[lane]:
        return
    left = randint(seed, s.stream[lane], s.draws[lane], legal)
    s.draws[lane] += 1
    for a in range(last):
        if s.action_mask[lane, a]:
            if left == 0:
                choice[lane] = a
                return
            left -= 1


@lanes
def fingerprint(lane: int, c: Workloads, s: State, out: Array) -> None:
    """Mix what decides a lane's future into one number."""
    value = mix32(int(s.clock[lane]) + 1)
    value = mix32(value ^ (int(s.row[lane]) + 1) * 512 ^ (int(s.pe[lane]) + 1))
    for row in range(s.status.shape[1]):
        status = int(s.status[lane, row])
        value = mix32(value ^ status)
        if status > 3:  # placed, running or done
            value = mix32(value ^ (int(s.on[lane, row]) * 65536 + int(s.expected[lane, row])))
    out[lane] = mix32(value ^ int(s.num_arrived[lane]))


# --- the batch ------------------------------------------------------------------------------------


class SocSimulator(BankSimulator):
    """B lanes of DAG scheduling on a SoC over a bank of workloads.

    Args:
        instances: the bank; lanes draw from it, or are told rows of it.
        num_envs: B.
        mode: ``static`` (one DAG, planned beforehand) or ``streaming``.
        scale: mean ticks between arrivals, ``"25"``, or a range ``"25-200"`` from which each
            instance draws its own.
        arrivals: ``poisson`` (floor of exponential gaps, as DS3), ``fixed``, or the ``trace`` of
            each workload.
        queue: most jobs in the system, a number or a range as ``"3-8"``; Q is the highest drawn.
        admission: of a job that finds it full: ``defer`` its arrival (as DS3), ``queue`` it and
            count the wait, ``drop`` it.
        fill: begin with Q jobs (the pseudo-steady state of gym_ds3); a trace begins empty.
        length: ticks of an episode, 0 = no limit.
        num_jobs: jobs of an episode, 0 = no limit.
        warmup: ticks before which finished jobs are not counted.
        noise: standard deviation of execution times as a share, a number or a range.
        comm: data go from ``pe`` to PE, or through shared ``memory``.
        order: which placed task begins first on a PE: ``fifo`` or of the ``oldest_job``.
        defer: WAIT is offered, which leaves the ready tasks until something happens.
        dvfs: operating point: ``performance``, ``powersave``, a frequency in MHz, or ``choose``.
        reward: ``simple`` (minus the time of all jobs in the system), ``bound``, or the published
            ``duration``, ``completion`` and ``makespan``.
        energy_weight: of the energy spent, taken off the reward: critical paths that one costs in
            which every PE is as busy and as fast as it can be.
        seed: of the instances drawn and of the lanes' random numbers.
        observe: keep the observation up to date; False is for rules and search, which read the
            state.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        ConfigError: an option is not allowed.
        InstanceError: the bank is empty.
    """

    graph = GRAPH
    start_lane, observe_lane, fingerprint_lane = start, observe, fingerprint
    can_stop = False
    unit = "decision"
    choices_per_unit = 1
    state: State
    work: Workloads
    host_work: Workloads

    def __init__(
        self,
        instances: Sequence[Workload],
        num_envs: int = 1,
        *,
        mode: str = "streaming",
        scale: str = "25",
        arrivals: str = "poisson",
        queue: str | int = "3",
        admission: str = "defer",
        fill: bool = True,
        length: int = 5000,
        num_jobs: int = 0,
        warmup: int = 0,
        noise: str = "0",
        comm: str = "pe",
        order: str = "fifo",
        defer: bool = False,
        dvfs: str = PERFORMANCE,
        reward: str = "simple",
        energy_weight: float = 0.0,
        seed: int = 0,
        observe: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__(instances, num_envs, seed, observe, device)
        for key, value, known in (
            ("mode", mode, MODES),
            ("arrivals", arrivals, ARRIVALS),
            ("admission", admission, ADMISSIONS),
            ("comm", comm, COMMS),
            ("order", order, ORDERS),
            ("reward", reward, REWARDS),
        ):
            check_one_of(key, value, known)
        if dvfs not in (PERFORMANCE, POWERSAVE, CHOOSE) and not re.fullmatch(r"\d{1,6}", dvfs):
            raise ConfigError(
                f"dvfs={dvfs!r}; give {PERFORMANCE}, {POWERSAVE}, {CHOOSE}, or a frequency in MHz."
            )
        _check_numbers(mode, arrivals, length, num_jobs, warmup)
        _check_energy(instances, energy_weight)
        self.mode, is_static = mode, MODES[mode] == STATIC
        live = max((len(w.live.jobs) for w in instances if w.live), default=0)
        rooms = parse_range("queue", str(queue), 1, MAX_QUEUE)
        if rooms[0] % 1 or rooms[1] % 1:
            raise ConfigError(f"queue={queue!r}; give whole numbers of jobs, as 3 or 3-8.")
        if live > rooms[1] or (is_static and live):
            raise ConfigError(
                f"a system with {live} jobs at work needs mode=streaming and queue>={live}."
            )
        for w in instances:
            if arrivals == "trace" and not w.trace and not is_static:
                raise ConfigError(
                    f"{w.name}: arrivals=trace, and the workload has no trace; put "
                    "one into its JSON, or use arrivals=poisson."
                )
        gaps, noises = (
            parse_range("scale", scale, 0.001, MAX_GAP),
            parse_range("noise", noise, 0, 2),
        )
        if admission == "drop" and gaps[0] < 1:
            raise ConfigError(
                f"scale={scale!r} with admission=drop: without end jobs could come and be dropped "
                "within one tick; give a scale of 1 or more."
            )
        if is_static and REWARDS[reward] not in (REWARD_SIMPLE, REWARD_BOUND):
            raise ConfigError(
                f"reward={reward} is for mode=streaming, no time passes in static mode; "
                "use simple or bound."
            )
        self.metric = "makespan" if is_static else "latency"
        self.companion = None if is_static else "throughput"
        self.is_stochastic = not is_static or noises[1] > 0
        code = REWARD_BOUND if is_static and REWARDS[reward] == REWARD_SIMPLE else REWARDS[reward]
        self.host_work = pack(
            self.instances,
            gap=gaps,
            noise=noises,
            governor=PERFORMANCE if dvfs == CHOOSE else dvfs,
            mode=MODES[mode],
            queue=(1.0, 1.0) if is_static else rooms,
            length=NEVER if is_static or not length else length,
            num_jobs=1 if is_static else num_jobs or NEVER,
            warmup=warmup,
            fills=fill,
            admission=ADMISSIONS[admission],
            arrivals=ARRIVALS[arrivals],
            comm=COMMS[comm],
            dispatch=ORDERS[order],
            defers=defer and not is_static,
            chooses_opp=dvfs == CHOOSE,
            reward=code,
            energy_weight=float(energy_weight),
        )
        work, Q = self.host_work, int(self.host_work.queue.max())
        self.sizes = {
            "task": Q * work.time.shape[2],
            "job": Q,
            "pe": work.time.shape[3],
            "opp": work.slowdown.shape[2],
        }
        self.num_edges = {
            "task__then__task": Q * work.next_task.shape[2],
            "task__on__pe": Q * num_pairs(work),
            "task__of__job": self.sizes["task"],
        }
        self._open(work)
        self.work = self.bank

    def _new_state(self) -> State:
        widths = {n.name: len(n.features) for n in GRAPH.nodes} | {"context": len(GRAPH.context)}
        return allocate(self.host_work, self.num_envs, self.observe, widths)

    def _step(self, choice: Array) -> None:
        self._run(step, self.observe, choice)

    @property
    def elapsed(self) -> Array:
        """(B,) float32, mean critical paths of a job that the last step took."""
        return self.state.elapsed

    def subjects(self, choice: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return (B,) int64, the task that a choice is about: number of its job x T + task."""
        row, T = np.array(host(self.state.row)), self.host_work.time.shape[2]
        row = np.where(choice < self.state.status.shape[1], choice, row)
        job = np.array(host(self.state.slot_job))[np.arange(self.num_envs), row // T]
        return job.astype(np.int64) * T + row % T

    def are_settled(self, subjects: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (T, B) bool, which of these tasks have ended."""
        T, jobs = self.host_work.time.shape[2], np.array(host(self.state.slot_job))
        is_there = jobs[None] == (subjects // T)[..., None]
        row = is_there.argmax(axis=-1) * T + subjects % T
        status = np.array(host(self.state.status))[np.arange(self.num_envs), row]
        return ~is_there.any(axis=-1) | (status == DONE)

    def hide_future(self) -> None:
        """Let no job arrive in any lane from now on, and every task take the time it should."""
        self._run(calm)

    def observation(self) -> dict[str, Array]:
        self._check_observes()
        s = self.state
        return {
            "task": s.task,
            "job": s.job,
            "pe": s.pes,
            "opp": s.opp,
            "task__then__task": s.task_then_task,
            "task__then__task__features": s.task_then_task_x,
            "task__on__pe": s.task_on_pe,
            "task__on__pe__features": s.task_on_pe_x,
            "task__of__job": s.task_of_job,
            "context": s.context,
            "num_nodes": s.num_nodes,
            "action_mask": s.action_mask,
        }

    def metrics(self) -> dict[str, NDArray]:
        """Return the figures of each lane so far; times in ticks, energy in W x ticks.

        ``latency``, ``slowdown``, ``wait`` and the quantiles are means over the jobs finished after
        the warm-up, and always come with ``throughput``, such jobs per 1,000 ticks. A lane without
        one has its clock for a latency.
        """
        s, work = self.state, self.host_work
        count, clock = np.array(host(s.num_counted)), np.array(host(s.clock), np.float64)
        least = np.maximum(count, 1)
        busy, idle = np.array(host(s.busy_energy)), np.array(host(s.idle_energy))
        latency = np.where(count > 0, host(s.latency) / least, clock)
        makespan = np.array(host(s.makespan))
        begin = work.live_clock[host(s.instance)]
        span = makespan if self.mode == "static" else clock - np.maximum(work.warmup[0], begin)
        places = work.capacity[host(s.instance)].sum(axis=1) * np.maximum(makespan - begin, 1)
        figures = {
            "makespan": makespan,
            "latency": latency,
            "throughput": 1000.0 * count / np.maximum(span, 1),
            "num_jobs": count,
            "slowdown": host(s.slowdown) / least,
            "p95": self._quantiles(0.95),
            "p99": self._quantiles(0.99),
            "wait": host(s.wait) / least,
            "num_dropped": np.array(host(s.num_dropped)),
            "utilization": host(s.pe_busy).sum(axis=1) / places,
            "energy": busy + idle,
            "idle_energy": idle,
            "edp": (busy + idle) * (makespan if self.mode == "static" else latency),
            "num_decisions": np.array(host(s.num_decisions)),
        }
        return {self.metric: figures.pop(self.metric)} | figures

    def _quantiles(self, share: float) -> NDArray[np.float64]:
        """Return (B,) the latency that this share of the jobs does not exceed."""
        latencies, count = host(self.state.latencies), host(self.state.num_counted)
        kept = np.minimum(count, latencies.shape[1])
        return np.array(
            [
                np.quantile(row[:n], share) if n else 0.0
                for row, n in zip(latencies, kept, strict=True)
            ]
        )

    def executions(self, lane: int = 0) -> NDArray[np.int32]:
        """Return (R, 7) int32, the lane's last executions by their beginning.

        Columns: number of the job, its kind, task, PE, begin, end, operating point.
        """
        s = self.state
        rows, count = np.array(host(s.executions)[lane]), int(host(s.num_executions)[lane])
        rows = rows[:count]
        return rows[np.lexsort((rows[:, 2], rows[:, 4]))]

    def workload_of(self, lane: int = 0) -> Workload:
        """Return the lane's instance as it was given."""
        return self.instances[int(host(self.state.instance)[lane])]

    def snapshot(self, lane: int = 0) -> Workload:
        """Return the lane's system as it stands now, as a workload that begins from here.

        Operating points that were chosen are not part of it.

        Raises:
            ConfigError: in static mode, where a plan is no system at work.
        """
        if self.mode == "static":
            raise ConfigError("a plan of mode=static is no system at work; use mode=streaming.")
        s, workload = self.state, self.workload_of(lane)
        stride, jobs = self.host_work.time.shape[2], list[LiveJob]()
        status, on, start, end = (
            host(a)[lane].tolist() for a in (s.status, s.on, s.start, s.expected)
        )
        bound = host(s.bound)[lane].tolist()[: int(host(s.num_bound)[lane])]
        clock = int(host(s.clock)[lane])
        slots = [q for q in range(self.sizes["job"]) if host(s.slot_job)[lane, q] >= 0]
        for q in sorted(slots, key=lambda q: int(host(s.slot_job)[lane, q])):
            kind = int(host(s.slot_kind)[lane, q])
            tasks = list[LiveTask]()
            for row in range(q * stride, q * stride + workload.jobs[kind].num_tasks):
                name = STATUS_NAMES[status[row]]
                if name == "waiting":
                    tasks.append(LiveTask())
                elif name == "placed":
                    turn, data = bound.index(row), int(host(s.data_at)[lane, row])
                    tasks.append(LiveTask(name, on[row], turn, data))
                else:
                    tasks.append(LiveTask(name, on[row], start[row], end[row]))
            jobs.append(LiveJob(kind, int(host(s.slot_arrival)[lane, q]), tuple(tasks)))
        return replace(workload, live=Live(clock, tuple(jobs)))

    def render(self, lane: int = 0) -> NDArray[np.uint8]:
        from rlsched.envs.soc.render import rgb_array

        return rgb_array(self, lane)


def parse_range(key: str, text: str, least: float, most: float) -> tuple[float, float]:
    """Return (from, to) of ``"25"`` or ``"25-200"``.

    Raises:
        ConfigError: it cannot be read, or is out of range.
    """
    found = RANGE.fullmatch(str(text))
    low = float(found["low"]) if found else -1.0
    high = float(found["high"]) if found and found["high"] else low
    if not least <= low <= high <= most:
        raise ConfigError(
            f"{key}={text!r}; give a number of {least:g} to {most:g}, or a range as 25-200."
        )
    return low, high


def _check_energy(instances: Sequence[Workload], weight: float) -> None:
    if not 0 <= weight < np.inf:
        raise ConfigError(f"energy_weight={weight}; must be 0 or more.")
    for w in instances:
        if weight and not any(any(pe.power) or pe.leaks for pe in w.soc.pes):
            raise ConfigError(
                f"{w.name}: energy_weight={weight}, and no PE takes power; give them power, or use "
                "energy_weight=0."
            )


def _check_numbers(mode: str, arrivals: str, length: int, num_jobs: int, warmup: int) -> None:
    for key, value in (("length", length), ("num_jobs", num_jobs), ("warmup", warmup)):
        if not 0 <= value < NEVER:
            raise ConfigError(f"{key}={value}; must be 0 to {NEVER - 1}.")
    is_open = mode == "streaming" and arrivals != "trace"
    if is_open and not length and not num_jobs:
        raise ConfigError("length=0 and num_jobs=0: the episode would never end; set one of them.")
    if mode == "streaming" and length and warmup >= length:
        raise ConfigError(f"warmup={warmup}; must be less than length={length}.")
