"""What happens on the floor: jobs start, finish, wait, block and swap; machines fail and return.

Everything here is for one lane. :func:`advance` plays on to the next decision: cycles of blocked
jobs move, then the first idle machine that a job waits for decides, and where there is none the
clock jumps to the next event.
"""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.jobshop.deadlock import closes_cycle, holder, is_safe, reach
from rlsched.envs.jobshop.interruptions import (
    AT_START,
    BY_CALENDAR,
    BY_WORK,
    NEVER,
    NO_LAW,
    draw_at_start,
    draw_repair,
    draw_time_to_failure,
)
from rlsched.envs.jobshop.state import (
    BLOCKED,
    DONE,
    DOWN,
    FLOW_TIME,
    IDLE,
    IN_PROCESS,
    MAKESPAN,
    REWARD_WAITING,
    SETTLING,
    STUCK,
    SWAP_AUTO,
    SWAP_CHOICE,
    UNLIMITED,
    UNRELEASED,
    WAITING,
    WORKING,
    Shops,
    State,
)


@helper
def advance(lane: int, c: Shops, s: State) -> None:
    """Play on to the next decision or to the end of the episode."""
    while True:
        if s.deciding[lane] != SETTLING and find_decision(lane, c, s):
            return
        if s.num_left[lane] == 0:
            end_episode(lane, c, s, False)
            return
        if s.num_pending[lane] == 0:
            end_episode(lane, c, s, True)
            return
        pass_time(lane, c, s)


@helper
def end_episode(lane: int, c: Shops, s: State, is_deadlocked: bool) -> None:
    """End the lane's episode; a deadlock costs as if all that is left took the longest possible."""
    if is_deadlocked:
        run_up_cost(lane, c, s, max(s.clock[lane], c.horizon[s.instance[lane]]))
    s.deciding[lane], s.terminated[lane] = -1, True
    s.is_deadlocked[lane] = is_deadlocked
    for a in range(s.action_mask.shape[1]):
        s.action_mask[lane, a] = a == s.action_mask.shape[1] - 1


@helper
def can_hold(lane: int, c: Shops, s: State, m: int) -> bool:
    """Return whether a machine may stay idle: something must happen without it, now or later."""
    if not c.may_hold[0]:
        return False
    if s.num_pending[lane] > 0:
        return True
    for x in range(c.num_machines[s.instance[lane]]):
        if x != m and not s.is_held[lane, x] and s.num_waiting[lane, x] > 0:
            for j in range(c.num_jobs[s.instance[lane]]):
                if s.mode[lane, x] == IDLE and may_take(lane, c, s, j, x):
                    return True
    return False


@helper
def find_decision(lane: int, c: Shops, s: State) -> bool:
    """Find the first machine with a choice and mark what it may choose; make forced moves."""
    m, hold = 0, s.action_mask.shape[1] - 1
    while m < c.num_machines[s.instance[lane]]:
        if s.is_held[lane, m] or s.num_waiting[lane, m] == 0:
            m += 1
            continue
        count, last = 0, -1
        if s.mode[lane, m] == IDLE:
            for j in range(hold):
                s.action_mask[lane, j] = may_take(lane, c, s, j, m)
                if s.action_mask[lane, j]:
                    count, last = count + 1, j
        elif s.mode[lane, m] == BLOCKED and c.swap[0] == SWAP_CHOICE:
            reach(lane, c, s, m)
            for j in range(hold):
                s.action_mask[lane, j] = closes_cycle(lane, c, s, j, m)
                if s.action_mask[lane, j]:
                    count, last = count + 1, j
        if count == 0:
            m += 1
            continue
        s.action_mask[lane, hold] = can_hold(lane, c, s, m)
        if count == 1 and not s.action_mask[lane, hold]:
            take(lane, c, s, last, m)
            m = 0
            continue
        s.deciding[lane] = m
        return True
    return False


@helper
def may_take(lane: int, c: Shops, s: State, j: int, m: int) -> bool:
    """Return whether an idle machine may take a job now."""
    if s.status[lane, j] != WAITING or time_on(lane, c, s, s.next_op[lane, j], m) < 0:
        return False
    return not c.avoids_deadlock[0] or is_safe(lane, c, s, j, m)


# --- jobs on machines -----------------------------------------------------------------------------


@helper
def take(lane: int, c: Shops, s: State, j: int, m: int) -> None:
    """Let a machine take a job: an idle one at once, a blocked one with the cycle that frees it."""
    if s.mode[lane, m] == BLOCKED:
        s.via_machine[lane, m], s.via_job[lane, m] = holder(lane, s, j), j
        rotate(lane, c, s, m)
    else:
        vacate(lane, c, s, j)
        start_work(lane, c, s, j, m)


@helper
def rotate(lane: int, c: Shops, s: State, m: int) -> None:
    """Let every job of a cycle of blocked ones, as it was marked, move on at once."""
    s.num_swaps[lane] += 1
    x = m
    while True:
        vacate(lane, c, s, s.via_job[lane, x])
        x = s.via_machine[lane, x]
        if x == m:
            break
    while True:
        start_work(lane, c, s, s.via_job[lane, x], x)
        x = s.via_machine[lane, x]
        if x == m:
            break


@helper
def vacate(lane: int, c: Shops, s: State, j: int) -> None:
    """Take a waiting job from where it is; what it blocked goes on."""
    m, buffer = s.at[lane, j], s.buffer_of[lane, j]
    if m >= 0:
        s.at[lane, j], s.occupant[lane, m] = -1, -1
        s.mode[lane, m] = IDLE
        s.op_leave[lane, s.next_op[lane, j] - 1] = s.clock[lane]
    elif buffer >= 0:
        s.buffer_of[lane, j] = -1
        s.buffer_used[lane, buffer] -= 1
        if s.mode[lane, buffer] == BLOCKED:
            enter_buffer(lane, s, s.occupant[lane, buffer], buffer)


@helper
def enter_buffer(lane: int, s: State, j: int, m: int) -> None:
    """Move a finished job from its machine into the machine's output buffer."""
    s.at[lane, j], s.occupant[lane, m] = -1, -1
    s.buffer_of[lane, j] = m
    s.buffer_used[lane, m] += 1
    s.mode[lane, m] = IDLE
    s.op_leave[lane, s.next_op[lane, j] - 1] = s.clock[lane]


@helper
def start_work(lane: int, c: Shops, s: State, j: int, m: int) -> None:
    """Begin a job's next operation on a machine that is free."""
    i, o, now = s.instance[lane], s.next_op[lane, j], s.clock[lane]
    ticks = time_on(lane, c, s, o, m)
    s.num_on_floor[lane] += int(o == c.op_begin[i, j])
    want(lane, c, s, j, -1)
    share = c.op_time[i, o] / (c.alt_begin[i, o + 1] - c.alt_begin[i, o])
    for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
        s.load[lane, c.alt_machine[i, a]] -= share
    s.next_op[lane, j] = o + 1
    s.status[lane, j], s.at[lane, j] = IN_PROCESS, m
    s.occupant[lane, m] = j
    s.op_machine[lane, o], s.op_start[lane, o] = m, now
    s.num_moves[lane] += 1
    s.done_work[lane] += c.op_time[i, o]
    s.num_pending[lane] += 1
    if c.law[0] == AT_START:
        after = -1
        if not s.is_calm[lane]:
            after = draw_at_start(s.stream[lane], o, c.law_args[0], ticks)
        s.age_left[lane, m] = after if after >= 0 else NEVER
    work(lane, c, s, m, ticks)


@helper
def work(lane: int, c: Shops, s: State, m: int, ticks: int) -> None:
    """Let a machine work from now on its job's operation, on which ``ticks`` are left."""
    now = s.clock[lane]
    s.mode[lane, m], s.since[lane, m], s.done_at[lane, m] = WORKING, now, now + ticks
    if c.law[0] == BY_WORK or c.law[0] == AT_START:
        s.fail_at[lane, m] = min(NEVER, now + s.age_left[lane, m])
    s.event[lane, m] = min(now + ticks, next_stop(lane, c, s, m))


@helper
def stop_work(lane: int, c: Shops, s: State, m: int) -> None:
    """Count the stretch of work that ends now; a breakdown that is due now stays so."""
    if c.law[0] == BY_WORK or c.law[0] == AT_START:
        s.age_left[lane, m] -= s.clock[lane] - s.since[lane, m]
        if s.age_left[lane, m] > 0:
            s.fail_at[lane, m] = NEVER


@helper
def next_stop(lane: int, c: Shops, s: State, m: int) -> int:
    """Return when a machine goes down next, by a breakdown or for maintenance."""
    i, row = s.instance[lane], s.next_window[lane, m]
    begin = c.windows[i, row, 0] if row < c.window_begin[i, m + 1] else NEVER
    return min(s.fail_at[lane, m], begin)


@helper
def finish(lane: int, c: Shops, s: State, m: int) -> None:
    """Finish the operation on a machine; the job leaves, or waits for its next machine."""
    i, now, j = s.instance[lane], s.clock[lane], s.occupant[lane, m]
    o = s.next_op[lane, j]
    s.op_end[lane, o - 1] = now
    s.num_pending[lane] -= 1
    stop_work(lane, c, s, m)
    s.event[lane, m] = next_stop(lane, c, s, m)
    if o == c.op_begin[i, j + 1]:
        s.op_leave[lane, o - 1] = now
        s.status[lane, j], s.at[lane, j] = DONE, -1
        s.occupant[lane, m], s.mode[lane, m] = -1, IDLE
        s.num_left[lane] -= 1
        s.num_on_floor[lane] -= 1
    else:
        s.status[lane, j], s.ready[lane, j] = WAITING, now
        want(lane, c, s, j, 1)
        settle(lane, c, s, m)


@helper
def settle(lane: int, c: Shops, s: State, m: int) -> None:
    """Let a finished job go from its machine into the buffer, or on working there, or block it."""
    j = s.occupant[lane, m]
    s.mode[lane, m] = BLOCKED
    if s.buffer_used[lane, m] < c.capacity[0]:
        enter_buffer(lane, s, j, m)
    elif s.event[lane, m] > s.clock[lane] and time_on(lane, c, s, s.next_op[lane, j], m) >= 0:
        vacate(lane, c, s, j)
        start_work(lane, c, s, j, m)


@helper
def want(lane: int, c: Shops, s: State, j: int, sign: int) -> None:
    """Count a job among those that wait for each machine it can go to, or no longer."""
    i, o = s.instance[lane], s.next_op[lane, j]
    for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
        s.num_waiting[lane, c.alt_machine[i, a]] += sign


@helper
def time_on(lane: int, c: Shops, s: State, o: int, m: int) -> int:
    """Return the ticks that an operation takes on a machine, -1 = it cannot go there."""
    i = s.instance[lane]
    for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
        if c.alt_machine[i, a] == m:
            return c.alt_time[i, a]
    return -1


# --- time -----------------------------------------------------------------------------------------


@helper
def pass_time(lane: int, c: Shops, s: State) -> None:
    """Let the clock jump to the next event, and let everything happen that is due then."""
    i = s.instance[lane]
    M, then = c.num_machines[i], NEVER
    for m in range(M):
        s.is_held[lane, m] = s.is_held[lane, m] and s.deciding[lane] == SETTLING
        then = min(then, s.event[lane, m])
    if c.has_release[i]:
        then = min(then, next_release(lane, c, s))
    run_up_cost(lane, c, s, then)
    s.clock[lane], s.deciding[lane] = then, -1
    if c.has_release[i]:
        release_jobs(lane, c, s)
    for m in range(M):
        happen(lane, c, s, m)
    if c.swap[0] == SWAP_AUTO and c.capacity[0] < UNLIMITED:
        for m in range(M):
            if s.mode[lane, m] == BLOCKED and reach(lane, c, s, m):
                rotate(lane, c, s, m)


@helper
def next_release(lane: int, c: Shops, s: State) -> int:
    """Return when the next job is released."""
    i, then = s.instance[lane], NEVER
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] == UNRELEASED:
            then = min(then, c.release[i, j])
    return then


@helper
def release_jobs(lane: int, c: Shops, s: State) -> None:
    """Let the jobs wait whose time of release has come."""
    i = s.instance[lane]
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] == UNRELEASED and c.release[i, j] <= s.clock[lane]:
            s.status[lane, j] = WAITING
            s.num_pending[lane] -= 1
            want(lane, c, s, j, 1)


@helper
def run_up_cost(lane: int, c: Shops, s: State, then: int) -> None:
    """Add what the objective runs up until the clock stands at ``then``."""
    i, now = s.instance[lane], s.clock[lane]
    if c.reward[0] == REWARD_WAITING:
        for j in range(c.num_jobs[i]):
            s.waited[lane] += (then - now) * int(s.status[lane, j] == WAITING)
    if c.objective[0] == MAKESPAN:
        s.cost[lane] += then - now
        return
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] == DONE:
            continue
        begin = c.release[i, j] if c.objective[0] == FLOW_TIME else c.due[i, j]
        if then > begin:
            weight = 1 if c.objective[0] == FLOW_TIME else c.weight[i, j]
            s.cost[lane] += weight * (then - max(now, begin))


@helper
def happen(lane: int, c: Shops, s: State, m: int) -> None:
    """Let what is due at a machine happen: work ends, it goes down, or it comes back."""
    now = s.clock[lane]
    while s.event[lane, m] <= now:
        if s.mode[lane, m] == DOWN:
            come_back(lane, c, s, m)
        elif s.mode[lane, m] == WORKING and s.done_at[lane, m] <= now:
            finish(lane, c, s, m)
        else:
            go_down(lane, c, s, m)


@helper
def go_down(lane: int, c: Shops, s: State, m: int) -> None:
    """Begin a breakdown or a maintenance window; the machine keeps its job."""
    now, j = s.clock[lane], s.occupant[lane, m]
    until = max(now, end_of_windows(lane, c, s, m))
    if s.fail_at[lane, m] <= now:
        until = max(until, now + repair_time(lane, c, s, m))
        s.num_failures[lane, m] += 1
    elif c.law[0] == BY_CALENDAR:
        s.fail_at[lane, m] = min(NEVER, s.fail_at[lane, m] + until - now)
    if s.mode[lane, m] == WORKING:
        s.left[lane, m] = s.done_at[lane, m] - now
        stop_work(lane, c, s, m)
        if c.restarts[0]:
            s.left[lane, m] = time_on(lane, c, s, s.next_op[lane, j] - 1, m)
    else:
        s.left[lane, m] = 0
        s.num_pending[lane] += 1
        if j >= 0:
            s.status[lane, j] = STUCK
            want(lane, c, s, j, -1)
    if s.fail_at[lane, m] <= now:
        s.fail_at[lane, m] = NEVER
        if c.law[0] == AT_START:
            s.age_left[lane, m] = NEVER
    be_down(lane, s, m, until)


@helper
def be_down(lane: int, s: State, m: int, until: int) -> None:
    """Put a machine down from now on, and write it down."""
    now, d = s.clock[lane], s.num_downs[lane]
    s.mode[lane, m], s.since[lane, m], s.event[lane, m] = DOWN, now, until
    if d < s.downs.shape[1]:
        s.downs[lane, d, 0], s.downs[lane, d, 1], s.downs[lane, d, 2] = m, now, until
    s.num_downs[lane] += 1


@helper
def end_of_windows(lane: int, c: Shops, s: State, m: int) -> int:
    """Return when the maintenance that has begun on a machine ends, and pass on to the next."""
    i, now, until = s.instance[lane], s.clock[lane], 0
    row = s.next_window[lane, m]
    while row < c.window_begin[i, m + 1] and c.windows[i, row, 0] <= now:
        until = c.windows[i, row, 1]
        row += 1
    s.next_window[lane, m] = row
    return until


@helper
def skip_windows(lane: int, c: Shops, s: State, m: int) -> None:
    """Pass over maintenance that is over."""
    i, row = s.instance[lane], s.next_window[lane, m]
    while row < c.window_begin[i, m + 1] and c.windows[i, row, 1] <= s.clock[lane]:
        row += 1
    s.next_window[lane, m] = row


@helper
def knows_return(lane: int, c: Shops, s: State, m: int) -> bool:
    """Return whether it is known when a machine that is down comes back: maintenance is planned."""
    i, row = s.instance[lane], s.next_window[lane, m] - 1
    if c.knows_repair[0]:
        return True
    return row >= c.window_begin[i, m] and c.windows[i, row, 1] == s.event[lane, m]


@helper
def repair_time(lane: int, c: Shops, s: State, m: int) -> int:
    """Return the ticks of the repair of the breakdown that happens now."""
    key, count = m, s.num_failures[lane, m]
    if c.law[0] == AT_START:
        key, count = s.next_op[lane, s.occupant[lane, m]] - 1, 0
    return draw_repair(s.stream[lane], key, count, c.law[2], c.law_args[2], c.law_args[3])


@helper
def come_back(lane: int, c: Shops, s: State, m: int) -> None:
    """Let a machine go on with its job, or be ready for one, and fix its next breakdown."""
    skip_windows(lane, c, s, m)
    age_machine(lane, c, s, m)
    if s.left[lane, m] > 0:
        work(lane, c, s, m, s.left[lane, m])
        return
    j = s.occupant[lane, m]
    s.num_pending[lane] -= 1
    s.mode[lane, m], s.event[lane, m] = IDLE, next_stop(lane, c, s, m)
    if j >= 0:
        s.status[lane, j] = WAITING
        want(lane, c, s, j, 1)
        if s.event[lane, m] > s.clock[lane]:
            settle(lane, c, s, m)


@helper
def age_machine(lane: int, c: Shops, s: State, m: int) -> None:
    """Draw when a machine fails next, if the last breakdown is over and the law counts ticks."""
    if s.is_calm[lane]:
        return
    is_drawn = s.age_left[lane, m] > 0 if c.law[0] == BY_WORK else s.fail_at[lane, m] < NEVER
    if is_drawn or c.law[0] == NO_LAW or c.law[0] == AT_START:
        return
    ticks = draw_time_to_failure(
        s.stream[lane], m, s.num_failures[lane, m], c.law[1], c.law_args[0], c.law_args[1]
    )
    if c.law[0] == BY_WORK:
        s.age_left[lane, m] = ticks
    else:
        s.fail_at[lane, m] = s.clock[lane] + ticks
