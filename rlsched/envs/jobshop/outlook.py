"""How long things take from now on, as far as is known, if no job ever waits again."""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.jobshop.breakdowns import knows_return
from rlsched.envs.jobshop.state import DOWN, IN_PROCESS, WORKING, Shops, State


@helper
def until_end(lane: int, c: Shops, s: State, j: int) -> int:
    """Return the ticks until a job would be done if it never waited again."""
    i, o, now = s.instance[lane], s.next_op[lane, j], s.clock[lane]
    tail = c.op_tail[i, o] if o < c.op_begin[i, j + 1] else 0
    if s.status[lane, j] == IN_PROCESS:
        return until_done(lane, c, s, s.at[lane, j]) + tail
    return max(0, c.release[i, j] - now) + tail


@helper
def until_done(lane: int, c: Shops, s: State, m: int) -> int:
    """Return the ticks until a machine is done with its operation, as far as is known."""
    if s.mode[lane, m] == WORKING:
        return s.done_at[lane, m] - s.clock[lane]
    if s.mode[lane, m] == DOWN:
        return s.left[lane, m] + until_up(lane, c, s, m)
    return 0


@helper
def until_up(lane: int, c: Shops, s: State, m: int) -> int:
    """Return the ticks until a machine that is down is back, expected ones if it is not known."""
    now = s.clock[lane]
    if knows_return(lane, c, s, m):
        return s.event[lane, m] - now
    return max(1, s.since[lane, m] + int(c.mean_repair[0]) - now)
