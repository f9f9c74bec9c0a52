"""What machines do by themselves: they break down, are maintained, come back, and age."""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.jobshop.interruptions import (
    AT_START,
    BY_CALENDAR,
    BY_WORK,
    NEVER,
    NO_LAW,
    draw_repair,
    draw_time_to_failure,
)
from rlsched.envs.jobshop.moves import next_stop, settle, stop_work, time_on, want, work
from rlsched.envs.jobshop.state import DOWN, IDLE, STUCK, WAITING, WORKING, Shops, State


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
