"""What jobs do on the floor: they start, finish, wait, enter a buffer, block, and swap."""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.jobshop.deadlock import holder
from rlsched.envs.jobshop.interruptions import AT_START, BY_WORK, NEVER, draw_at_start
from rlsched.envs.jobshop.state import (
    BLOCKED,
    DONE,
    IDLE,
    IN_PROCESS,
    WAITING,
    WORKING,
    Shops,
    State,
)


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
    add_load(lane, c, s, o, -1)
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


@helper
def add_load(lane: int, c: Shops, s: State, o: int, sign: int) -> None:
    """Count an operation's work among what its machines have before them, or no longer."""
    i = s.instance[lane]
    share = c.op_time[i, o] / (c.alt_begin[i, o + 1] - c.alt_begin[i, o])
    for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
        s.load[lane, c.alt_machine[i, a]] += sign * share
