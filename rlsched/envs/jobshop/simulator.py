"""The job shop as a simulator: choose the job that a machine takes now, or hold it.

One simulator spans the plain job shop, finite buffers, blocking with and without swaps, flexible
machines, and interruptions; parameters say which (see :class:`JobShopSimulator`). A decision
belongs to the first machine, by number, that is up and empty and for which a job waits. Its choices
are those jobs, and HOLD: stay idle until the clock moves, offered where something will still happen
by itself. Moving a job frees the machine it held at the same tick, so moves chain. Choices without
an alternative are made at once.

Source: blocking job shop with swaps, Mascis & Pacciarelli (2002); interrupting, swap-allowed
blocking job shop, Wong et al. (2023); event-driven dispatching as in Taillard-style non-delay
schedules. What is our own reading is said in card.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rlsched.core.bank import BankSimulator
from rlsched.core.errors import ConfigError, check_one_of
from rlsched.core.lanes import helper, lanes
from rlsched.core.rng import mix32, randint
from rlsched.core.simulator import Array, host
from rlsched.envs.jobshop.breakdowns import (
    age_machine,
    be_down,
    go_down,
    knows_return,
    skip_windows,
)
from rlsched.envs.jobshop.dynamics import advance
from rlsched.envs.jobshop.interruptions import BY_CALENDAR, BY_WORK, NEVER, parse_law
from rlsched.envs.jobshop.moves import add_load, next_stop, take, want
from rlsched.envs.jobshop.observation import GRAPH, observe_all, observe_step
from rlsched.envs.jobshop.rewards import pay, potential
from rlsched.envs.jobshop.shop import Floor, Schedule, Shop
from rlsched.envs.jobshop.state import (
    DEADLOCKS,
    DONE,
    DOWN,
    IDLE,
    IN_PROCESS,
    OBJECTIVES,
    REWARDS,
    SETTLING,
    STUCK,
    SWAPS,
    UNRELEASED,
    WAITING,
    WORKING,
    Shops,
    State,
    allocate,
    num_alternatives,
    pack,
)

HOLDS = ("auto", "on", "off")

# --- lane functions -------------------------------------------------------------------------------


@lanes
def start(
    lane: int, c: Shops, s: State, observe: bool, mask: Array, rows: Array, stream: Array
) -> None:
    """Put a lane at the beginning of an episode."""
    if not mask[lane]:
        return
    s.stream[lane], s.draws[lane], s.is_calm[lane] = stream[lane], 0, False
    restart(lane, c, s, rows[lane])
    advance(lane, c, s)
    if observe:
        observe_all(lane, c, s)


@helper
def restart(lane: int, c: Shops, s: State, i: int) -> None:
    """Put a lane where an instance starts, before its first decision is found."""
    s.instance[lane] = i
    s.is_deadlocked[lane], s.terminated[lane] = False, False
    s.clock[lane], s.deciding[lane] = c.clock[i], -1
    s.num_left[lane], s.num_on_floor[lane], s.num_pending[lane] = 0, 0, 0
    s.num_moves[lane], s.num_swaps[lane], s.num_downs[lane] = 0, 0, 0
    s.cost[lane], s.done_work[lane], s.waited[lane] = 0, 0, 0
    s.reward[lane] = 0.0
    for o in range(s.op_start.shape[1]):
        s.op_machine[lane, o], s.op_start[lane, o] = -1, -1
        s.op_end[lane, o], s.op_leave[lane, o] = -1, -1
    for m in range(s.mode.shape[1]):
        start_machine(lane, c, s, m)
    for j in range(s.status.shape[1]):
        start_job(lane, c, s, j)
    for a in range(s.action_mask.shape[1]):
        s.action_mask[lane, a] = False
    s.paid[lane] = potential(lane, c, s)


@helper
def start_machine(lane: int, c: Shops, s: State, m: int) -> None:
    """Put a machine where it stands at the beginning."""
    i = s.instance[lane]
    s.mode[lane, m], s.occupant[lane, m], s.load[lane, m] = IDLE, -1, 0.0
    s.left[lane, m], s.since[lane, m], s.done_at[lane, m] = 0, c.clock[i], 0
    s.fail_at[lane, m], s.num_failures[lane, m] = NEVER, 0
    s.age_left[lane, m] = 0 if c.law[0] == BY_WORK else NEVER
    s.is_held[lane, m], s.num_waiting[lane, m], s.buffer_used[lane, m] = False, 0, 0
    s.via_job[lane, m], s.via_machine[lane, m], s.queue[lane, m] = -1, -1, 0
    s.next_window[lane, m], s.event[lane, m] = c.window_begin[i, m], NEVER
    if m >= c.num_machines[i]:
        return
    skip_windows(lane, c, s, m)
    age_machine(lane, c, s, m)
    wait = c.start_down[i, m] - c.clock[i]
    if wait > 0:
        if c.law[0] == BY_CALENDAR:
            s.fail_at[lane, m] = min(NEVER, s.fail_at[lane, m] + wait)
        be_down(lane, s, m, c.start_down[i, m])
        s.num_pending[lane] += 1
        return
    s.event[lane, m] = next_stop(lane, c, s, m)
    if s.event[lane, m] <= c.clock[i]:
        go_down(lane, c, s, m)


@helper
def start_job(lane: int, c: Shops, s: State, j: int) -> None:
    """Put a job where it stands at the beginning."""
    i = s.instance[lane]
    s.at[lane, j], s.buffer_of[lane, j], s.ready[lane, j] = -1, -1, 0
    s.status[lane, j], s.next_op[lane, j] = DONE, c.op_begin[i, j + 1]
    first, end = c.op_begin[i, j] + c.num_done[i, j], c.op_begin[i, j + 1]
    if j >= c.num_jobs[i] or first >= end:
        return
    m, left = c.start_machine[i, j], c.start_left[i, j]
    s.num_left[lane] += 1
    s.num_on_floor[lane] += int(m >= 0 or first > c.op_begin[i, j])
    s.next_op[lane, j], s.ready[lane, j] = first, c.start_ready[i, j]
    for o in range(first + int(left > 0), end):
        add_load(lane, c, s, o, 1)
    if left > 0:
        start_running(lane, c, s, j, m, left)
    elif c.release[i, j] > c.clock[i] and m < 0:
        s.status[lane, j] = UNRELEASED
        s.num_pending[lane] += 1
    elif m >= 0:
        s.status[lane, j], s.at[lane, j], s.occupant[lane, m] = STUCK, m, j
        if s.mode[lane, m] != DOWN:  # comes back at once, and stores, swaps or blocks then
            s.mode[lane, m], s.event[lane, m] = DOWN, c.clock[i]
            s.num_pending[lane] += 1
            s.deciding[lane] = SETTLING
    else:
        s.status[lane, j] = WAITING
        want(lane, c, s, j, 1)
        if c.start_buffer[i, j] >= 0:
            s.buffer_of[lane, j] = c.start_buffer[i, j]
            s.buffer_used[lane, c.start_buffer[i, j]] += 1


@helper
def start_running(lane: int, c: Shops, s: State, j: int, m: int, left: int) -> None:
    """Put a job on the machine that has ``left`` ticks of work on it."""
    now, o = c.clock[s.instance[lane]], s.next_op[lane, j]
    s.status[lane, j], s.at[lane, j], s.occupant[lane, m] = IN_PROCESS, m, j
    s.next_op[lane, j] = o + 1
    s.op_machine[lane, o], s.op_start[lane, o] = m, now
    if s.mode[lane, m] == DOWN:
        s.left[lane, m] = left
        return
    s.num_pending[lane] += 1
    s.mode[lane, m], s.since[lane, m], s.done_at[lane, m] = WORKING, now, now + left
    s.event[lane, m] = min(s.event[lane, m], now + left)
    if c.law[0] == BY_WORK:
        s.fail_at[lane, m] = min(NEVER, now + s.age_left[lane, m])
        s.event[lane, m] = min(s.event[lane, m], s.fail_at[lane, m])


@lanes
def step(lane: int, c: Shops, s: State, observe: bool, choice: Array) -> None:
    """Let the deciding machine take the chosen job, or hold; play on to the next decision."""
    s.reward[lane] = 0.0
    if s.terminated[lane]:
        return
    m, j = s.deciding[lane], choice[lane]
    moves = s.num_moves[lane]
    if j == s.action_mask.shape[1] - 1:
        s.is_held[lane, m] = True
    else:
        take(lane, c, s, j, m)
    advance(lane, c, s)
    pay(lane, c, s)
    if observe:
        observe_step(lane, c, s, moves)


@lanes
def look_again(lane: int, c: Shops, s: State, held: Array) -> None:
    """Hold machines at a lane's first instant and find its decision anew."""
    for m in range(s.is_held.shape[1]):
        s.is_held[lane, m] = held[m]
    advance(lane, c, s)


@lanes
def observe(lane: int, c: Shops, s: State) -> None:
    """Write a lane's observation from its state alone."""
    observe_all(lane, c, s)


@lanes
def calm(lane: int, c: Shops, s: State) -> None:
    """Let nothing unforeseen happen in a lane any more: no breakdown but those under way."""
    i, now = s.instance[lane], s.clock[lane]
    s.is_calm[lane] = True
    for m in range(c.num_machines[i]):
        s.fail_at[lane, m], s.age_left[lane, m] = NEVER, NEVER
        if s.mode[lane, m] == WORKING:
            s.event[lane, m] = min(s.done_at[lane, m], next_stop(lane, c, s, m))
        elif s.mode[lane, m] != DOWN:
            s.event[lane, m] = next_stop(lane, c, s, m)
        elif not knows_return(lane, c, s, m):
            s.event[lane, m] = max(now + 1, s.since[lane, m] + int(c.mean_repair[0]))


@lanes
def random_choice(lane: int, s: State, seed: int, choice: Array) -> None:
    """Choose uniformly among the waiting jobs; never hold where a job may move."""
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
def fingerprint(lane: int, c: Shops, s: State, out: Array) -> None:
    """Mix what decides a lane's future into one number."""
    value = mix32(int(s.clock[lane]) + 1)
    for j in range(s.status.shape[1]):
        value = mix32(value ^ (int(s.next_op[lane, j]) * 8 + int(s.status[lane, j])))
        place = (int(s.at[lane, j]) + 1) * 65536 + int(s.buffer_of[lane, j]) + 1
        value = mix32(value ^ place)
        if s.status[lane, j] == WAITING:
            value = mix32(value ^ int(s.ready[lane, j]))
    for m in range(s.mode.shape[1]):
        value = mix32(value ^ (int(s.mode[lane, m]) * 2 + int(s.is_held[lane, m])))
        if s.mode[lane, m] == WORKING or s.mode[lane, m] == DOWN:
            value = mix32(value ^ (int(s.event[lane, m]) * 31 + int(s.left[lane, m])))
    value = mix32(value ^ int(s.cost[lane]))
    out[lane] = value


# --- the batch ------------------------------------------------------------------------------------


class JobShopSimulator(BankSimulator):
    """B lanes of the job shop over a bank of shops.

    Args:
        instances: the bank; lanes draw from it, or are told rows of it.
        num_envs: B.
        buffer: places in the output buffer of each machine: 0 = blocking, ``math.inf`` = a job
            never blocks.
        swap: ``auto``: a cycle of blocked jobs moves at once; ``choice``: it is offered; ``off``.
        deadlock: without swaps, ``end``: a deadlock ends the episode at the cost of the longest
            schedule; ``avoid``: choices that may lead to one are masked.
        hold: whether a machine may stay idle though a job waits: ``on``, ``off``, ``auto`` = where
            buffers are finite.
        interruption: law of breakdowns, see :mod:`rlsched.envs.jobshop.interruptions`.
        repair: law of repair times.
        after_repair: an interrupted operation ``resume``-s or ``restart``-s.
        repair_known: the end of a repair is seen when it begins.
        objective: ``makespan``, ``flow_time``, ``total_tardiness`` or ``weighted_tardiness``.
        reward: ``simple``, ``bound`` (L2D's), ``waiting`` (Park's) or ``elapsed``.
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
    state: State
    shops: Shops
    host_shops: Shops

    def __init__(
        self,
        instances: Sequence[Shop],
        num_envs: int = 1,
        *,
        buffer: float = 0,
        swap: str = "auto",
        deadlock: str = "end",
        hold: str = "auto",
        interruption: str = "none",
        repair: str = "uniform:20:100",
        after_repair: str = "resume",
        repair_known: bool = True,
        objective: str = "makespan",
        reward: str = "simple",
        seed: int = 0,
        observe: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__(instances, num_envs, seed, observe, device)
        check_one_of("swap", swap, SWAPS)
        check_one_of("deadlock", deadlock, DEADLOCKS)
        check_one_of("hold", hold, HOLDS)
        check_one_of("after_repair", after_repair, ("resume", "restart"))
        check_one_of("objective", objective, OBJECTIVES)
        check_one_of("reward", reward, REWARDS)
        if not (buffer >= 0 and (math.isinf(buffer) or float(buffer).is_integer())):
            raise ConfigError(f"buffer={buffer}; give a whole number of places >= 0, or inf.")
        if deadlock == "avoid" and (swap != "off" or math.isinf(buffer)):
            raise ConfigError("deadlock=avoid is for blocking shops without swaps: add swap=off.")
        self.buffer, self.swap, self.deadlock = buffer, swap, deadlock
        self.objective, self.reward_name, self.metric = objective, reward, objective
        self.law, self.restarts = parse_law(interruption, repair), after_repair == "restart"
        self.is_stochastic = self.law.counts != 0
        self.may_hold = not math.isinf(buffer) if hold == "auto" else hold == "on"
        self.host_shops = pack(
            self.instances,
            buffer=buffer,
            swap=swap,
            deadlock=deadlock,
            may_hold=self.may_hold,
            law=self.law,
            restarts=self.restarts,
            knows_repair=repair_known,
            objective=objective,
            reward=reward,
        )
        self._K = num_alternatives(self.instances)
        J, O = self.host_shops.release.shape[1], self.host_shops.op_time.shape[1]  # noqa: E741
        M, A = self.host_shops.start_down.shape[1], self.host_shops.alt_machine.shape[1]
        self.sizes = {"op": O, "job": J, "machine": M}
        self.num_edges = {
            "op__then__op": O,
            "op__after__op": O,
            "op__of__job": O,
            "op__on__machine": A,
            "job__at__machine": J,
            "job__wants__machine": J * self._K,
        }
        self._open(self.host_shops)
        self.shops = self.bank

    def _new_state(self) -> State:
        widths = {n.name: len(n.features) for n in GRAPH.nodes} | {"context": len(GRAPH.context)}
        return allocate(self.host_shops, self.num_envs, self._K, self.observe, widths)

    def _step(self, choice: Array) -> None:
        self._run(step, self.observe, choice)

    def hide_future(self) -> None:
        """Let nothing unforeseen happen in any lane from now on; what is under way goes on."""
        self._run(calm)

    def observation(self) -> dict[str, Array]:
        self._check_observes()
        s = self.state
        return {
            "op": s.op,
            "job": s.job,
            "machine": s.machine,
            "op__then__op": s.op_then_op,
            "op__after__op": s.op_after_op,
            "op__of__job": s.op_of_job,
            "op__on__machine": s.op_on_machine,
            "job__at__machine": s.job_at_machine,
            "job__wants__machine": s.job_wants_machine,
            "context": s.context,
            "num_nodes": s.num_nodes,
            "action_mask": s.action_mask,
        }

    def metrics(self) -> dict[str, NDArray]:
        """Return the objective as run up so far, moves, swaps, breakdowns and deadlocks."""
        s, rows = self.state, host(self.state.instance)
        return {
            self.objective: self.host_shops.base_cost[rows] + host(s.cost),
            "num_moves": np.array(host(s.num_moves)),
            "num_swaps": np.array(host(s.num_swaps)),
            "num_downs": np.array(host(s.num_downs)),
            "is_deadlocked": np.array(host(s.is_deadlocked)),
        }

    def schedule(self, lane: int = 0) -> Schedule:
        """Return what happened in a lane so far."""
        s, shop = self.state, self.shop_of(lane)
        O, D = shop.num_ops, min(int(host(s.num_downs)[lane]), s.downs.shape[1])  # noqa: E741
        machine, begin, end, leave = (
            np.array(host(a[lane])[:O]) for a in (s.op_machine, s.op_start, s.op_end, s.op_leave)
        )
        downs = np.array(host(s.downs[lane])[:D])
        return Schedule(shop, machine, begin, end, leave, downs, int(host(s.clock)[lane]))

    def shop_of(self, lane: int = 0) -> Shop:
        """Return the lane's instance as it was given."""
        return self.instances[int(host(self.state.instance)[lane])]

    def snapshot(self, lane: int = 0) -> Shop:
        """Return the lane's shop as it stands now, as an instance that starts from here."""
        s, shop = self.state, self.shop_of(lane)
        J, M, now = shop.num_jobs, shop.num_machines, int(host(s.clock)[lane])
        status, mode = host(s.status[lane])[:J], host(s.mode[lane])[:M]
        at, begun = host(s.at[lane])[:J], host(s.next_op[lane])[:J] - shop.op_begin[:-1]
        machine_left = np.where(mode == DOWN, host(s.left[lane])[:M], 0)
        machine_left = np.where(mode == WORKING, host(s.done_at[lane])[:M] - now, machine_left)
        is_working = status == IN_PROCESS
        up_at = host(s.event[lane])[:M]
        if not self.host_shops.knows_repair[0]:
            expected = host(s.since[lane])[:M] + int(self.law.mean_repair)
            row = host(s.next_window[lane])[:M] - 1
            i, planned = int(host(s.instance)[lane]), self.host_shops
            is_planned = row >= planned.window_begin[i, :M]
            is_planned &= planned.windows[i, np.maximum(row, 0), 1] == up_at
            up_at = np.where(is_planned, up_at, np.maximum(now + 1, expected))
        floor = Floor(
            clock=now,
            num_done=(begun - is_working).astype(np.int32),
            machine=np.array(at, np.int32),
            left=np.where(is_working, machine_left[at], 0).astype(np.int32),
            buffer=np.array(host(s.buffer_of[lane])[:J], np.int32),
            ready=np.array(host(s.ready[lane])[:J], np.int32),
            down_until=np.where(mode == DOWN, up_at, 0).astype(np.int32),
        )
        return replace(shop, floor=floor)

    def foreseen(self, lane: int, num_envs: int) -> JobShopSimulator:
        """Return lanes that start where a lane stands now, and in which nothing unforeseen happens.

        Their costs are counted from here. They face the same decision and the same choices.
        """
        twin = JobShopSimulator(
            [self.snapshot(lane)],
            num_envs,
            buffer=self.buffer,
            swap=self.swap,
            deadlock=self.deadlock,
            hold="on" if self.may_hold else "off",
            after_repair="restart" if self.restarts else "resume",
            objective=self.objective,
            observe=False,
        )
        twin.reset(instances=np.zeros(num_envs, np.int64))
        twin._run(look_again, np.array(host(self.state.is_held[lane])))
        return twin

    def render(self, lane: int = 0) -> NDArray[np.uint8]:
        from rlsched.envs.jobshop.render import rgb_array

        return rgb_array(self, lane)
