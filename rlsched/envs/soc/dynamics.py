"""How a lane plays on by itself: to the next decision, or to the end of its episode.

Tasks that can be placed are; then what is placed begins, and the clock jumps to the next event: a
task ends, data arrive in memory or at a PE, a job arrives. Nothing ticks.
"""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.soc.jobs import arrive, free_slot, leave
from rlsched.envs.soc.state import (
    ADMIT_DROP,
    CHOOSE_OPP,
    CHOOSE_PE,
    CHOOSE_TASK,
    NEVER,
    READY,
    REWARD_COMPLETION,
    REWARD_DURATION,
    REWARD_MAKESPAN,
    REWARD_SIMPLE,
    STATIC,
    State,
    Workloads,
)
from rlsched.envs.soc.tasks import begin_bound, bind, duration, finish, kind_of, place_on

TICK_COST = 0.5
"""Source: SoCRATES."""
DURATION_SCALE = 1e4
"""Source: DeepSoCS, after Decima."""


@helper
def advance(lane: int, c: Workloads, s: State) -> None:
    """Play on to the next decision or to the end of the episode."""
    while not s.terminated[lane]:
        if s.row[lane] < 0 and (s.num_ready[lane] == 0 or s.is_waiting[lane]):
            if c.mode[0] == STATIC:
                end_episode(lane, c, s)
            else:
                begin_bound(lane, c, s)
                pass_time(lane, c, s)
            continue
        only = offer(lane, c, s)
        if only < 0:
            return
        take(lane, c, s, only)


@helper
def offer(lane: int, c: Workloads, s: State) -> int:
    """Set the mask of the next choice; return that choice if there is but one, else -1."""
    i, N, P = s.instance[lane], s.status.shape[1], c.time.shape[3]
    last, count, only = s.action_mask.shape[1] - 1, 0, -1
    for a in range(last + 1):
        s.action_mask[lane, a] = False
    if s.row[lane] < 0:
        s.phase[lane] = CHOOSE_TASK
        for n in range(s.num_ready[lane]):
            s.action_mask[lane, s.ready[lane, n]] = True
        count, only = s.num_ready[lane], s.ready[lane, 0]
        if c.defers[0] and something_will_happen(lane, c, s):
            s.action_mask[lane, last] = True
            count += 1
    elif s.pe[lane] < 0:
        s.phase[lane] = CHOOSE_PE
        k, t = kind_of(lane, c, s, s.row[lane]), s.row[lane] % c.time.shape[2]
        for p in range(c.num_pes[i]):
            if c.time[i, k, t, p] >= 0:
                s.action_mask[lane, N + p] = True
                count, only = count + 1, N + p
    else:
        s.phase[lane] = CHOOSE_OPP
        for f in range(c.num_opps[i, s.pe[lane]]):
            s.action_mask[lane, N + P + f] = True
        count, only = c.num_opps[i, s.pe[lane]], N + P
    return only if count == 1 else -1


@helper
def something_will_happen(lane: int, c: Workloads, s: State) -> bool:
    """Return whether the clock will move though no task is placed now."""
    is_coming = s.next_arrival[lane] < NEVER and free_slot(lane, c, s) >= 0
    return s.num_running[lane] + s.num_bound[lane] + s.num_arriving[lane] > 0 or is_coming


@helper
def take(lane: int, c: Workloads, s: State, a: int) -> None:
    """Carry out a choice."""
    N, P = s.status.shape[1], c.time.shape[3]
    if a == s.action_mask.shape[1] - 1:
        s.is_waiting[lane] = True
        return
    if a < N:
        s.row[lane] = a
        return
    if a < N + P:
        s.pe[lane] = a - N
        if c.chooses_opp[0]:
            return
    p = s.pe[lane]
    point = a - N - P if a >= N + P else c.opp[s.instance[lane], p]
    row = s.row[lane]
    s.row[lane], s.pe[lane] = -1, -1
    bind(lane, c, s, row, p, point)
    if c.mode[0] == STATIC and s.slot_left[lane, 0] == 0:
        leave(lane, c, s, 0)


@helper
def end_episode(lane: int, c: Workloads, s: State) -> None:
    """End the lane's episode; only WAIT is left, which does nothing."""
    i = s.instance[lane]
    if c.mode[0] == STATIC:
        for p in range(c.num_pes[i]):
            rest = max(0, s.makespan[lane] - s.pe_busy[lane, p])
            s.idle_energy[lane] += rest * c.power[i, p, 0, c.opp[i, p]]
    s.terminated[lane], s.row[lane], s.pe[lane] = True, -1, -1
    for a in range(s.action_mask.shape[1]):
        s.action_mask[lane, a] = a == s.action_mask.shape[1] - 1


@helper
def pass_time(lane: int, c: Workloads, s: State) -> None:
    """Move the clock to the next event and let it happen."""
    end = NEVER
    if not s.is_calm[lane]:
        end = min(NEVER, c.live_clock[s.instance[lane]] + c.length[0])
    at = min(next_event(lane, c, s), end)
    if at < NEVER:
        let_run(lane, c, s, at - s.clock[lane])
        s.clock[lane], s.is_waiting[lane] = at, False
    if at >= end:
        end_episode(lane, c, s)
        return
    finish_due(lane, c, s)
    receive_due(lane, s)
    arrive(lane, c, s)
    if s.num_active[lane] == 0 and s.next_arrival[lane] >= NEVER:
        end_episode(lane, c, s)
        return
    expect(lane, c, s)


@helper
def next_event(lane: int, c: Workloads, s: State) -> int:
    """Return when something happens next, NEVER if nothing will."""
    at, now = NEVER, s.clock[lane]
    for n in range(s.num_running[lane]):
        at = min(at, s.finish[lane, s.running[lane, n]])
    for n in range(s.num_bound[lane]):
        if s.data_at[lane, s.bound[lane, n]] > now:
            at = min(at, s.data_at[lane, s.bound[lane, n]])
    for n in range(s.num_arriving[lane]):
        at = min(at, s.ready_at[lane, s.arriving[lane, n]])
    if s.num_active[lane] < c.queue[s.instance[lane]] or c.admission[0] == ADMIT_DROP:
        at = min(at, max(now, s.next_arrival[lane]))
    return at


@helper
def let_run(lane: int, c: Workloads, s: State, ticks: int) -> None:
    """Count what a span of time costs: energy, time in the system, reward."""
    if ticks == 0:
        return
    i, jobs = s.instance[lane], s.num_active[lane]
    for p in range(c.num_pes[i]):
        n = s.pe_running[lane, p]
        if n > 0:
            s.busy_energy[lane] += ticks * c.power[i, p, n, s.pe_point[lane, p]]
        else:
            s.idle_energy[lane] += ticks * c.power[i, p, 0, s.pe_point[lane, p]]
    s.time_in_system[lane] += ticks * jobs
    if c.reward[0] == REWARD_SIMPLE:
        s.earned[lane] -= ticks * jobs / (c.unit[i] * c.queue[i])
    elif c.reward[0] == REWARD_DURATION:
        s.earned[lane] -= ticks * jobs / (max(1, s.num_completed[lane]) * DURATION_SCALE)
    elif c.reward[0] == REWARD_COMPLETION:
        s.earned[lane] -= TICK_COST * ticks
    elif c.reward[0] == REWARD_MAKESPAN:
        s.earned[lane] -= ticks


@helper
def finish_due(lane: int, c: Workloads, s: State) -> None:
    """End the tasks that are due, and let jobs go that are finished with them."""
    kept, T = 0, c.time.shape[2]
    for n in range(s.num_running[lane]):
        row = s.running[lane, n]
        if s.finish[lane, row] > s.clock[lane]:
            s.running[lane, kept] = row
            kept += 1
            continue
        finish(lane, c, s, row)
        if s.slot_left[lane, row // T] == 0:
            leave(lane, c, s, row // T)
    s.num_running[lane] = kept


@helper
def receive_due(lane: int, s: State) -> None:
    """Let tasks be placed whose data have reached shared memory."""
    kept = 0
    for n in range(s.num_arriving[lane]):
        row = s.arriving[lane, n]
        if s.ready_at[lane, row] > s.clock[lane]:
            s.arriving[lane, kept] = row
            kept += 1
        else:
            s.status[lane, row] = READY
            s.ready[lane, s.num_ready[lane]] = row
            s.num_ready[lane] += 1
    s.num_arriving[lane] = kept


@helper
def expect(lane: int, c: Workloads, s: State) -> None:
    """Set anew when each place of a PE is free as far as is known.

    A task that runs longer than it should is expected to end at the next tick.
    """
    i, now = s.instance[lane], s.clock[lane]
    for p in range(c.num_pes[i]):
        for x in range(c.capacity[i, p]):
            s.free_at[lane, p, x] = now
    for n in range(s.num_running[lane]):
        row = s.running[lane, n]
        p = s.on[lane, row]
        s.expected[lane, row] = max(s.expected[lane, row], now + 1)
        s.free_at[lane, p, place_on(lane, c, s, p)] = s.expected[lane, row]
    for n in range(s.num_bound[lane]):
        row = s.bound[lane, n]
        p = s.on[lane, row]
        ticks = c.time[i, kind_of(lane, c, s, row), row % c.time.shape[2], p]
        ticks = duration(c, i, ticks, p, s.point[lane, row])
        x = place_on(lane, c, s, p)
        s.expected[lane, row] = max(s.free_at[lane, p, x], s.data_at[lane, row]) + ticks
        s.free_at[lane, p, x] = s.expected[lane, row]
