"""The observation graph of the job shop, kept up to date in place.

Operations that are not started form the conjunctive chains and point at the machines that can do
them; a job points at its operations, at the machine that holds it and at those it waits for: the
wait-for edges carry the cycles that a swap resolves. Operations that have started lose their edges.
Times are ticks, which the network measures in the instance's mean processing time. A step rewrites
the rows of jobs and machines, which time changes, and those operations that a move touched.
"""

from __future__ import annotations

from rlsched.core.graph import EdgeType, Feature, GraphSpec, NodeType
from rlsched.core.lanes import helper
from rlsched.envs.jobshop.interruptions import NEVER
from rlsched.envs.jobshop.outlook import until_done, until_end
from rlsched.envs.jobshop.state import (
    BLOCKED,
    DONE,
    DOWN,
    FLOW_TIME,
    IDLE,
    IN_PROCESS,
    TARDINESS,
    UNLIMITED,
    UNRELEASED,
    WAITING,
    WORKING,
    Shops,
    State,
)

MEAN = "mean_time"
FAR = 20
"""Due dates and windows farther away than so many mean processing times look alike."""


def _ticks(name: str, scale: float, doc: str) -> Feature:
    return Feature(name, "tick", scale, doc, per=MEAN)


GRAPH = GraphSpec(
    env="jobshop",
    version=1,
    nodes=(
        NodeType(
            "op",
            (
                _ticks("time", 1, "processing time on its fastest machine"),
                _ticks("work_before", 5, "work of the job from its next operation to this one"),
                _ticks("work_after", 5, "work of the job after this operation"),
                Feature("is_left", "1", 1, "0 = started, or padding"),
                Feature("is_next", "1", 1, "the job's next operation"),
                Feature("num_machines", "1", 4, "machines that can do it"),
            ),
        ),
        NodeType(
            "job",
            (
                Feature("is_candidate", "1", 1, "may be chosen now"),
                Feature("is_new", "1", 1, "not started"),
                Feature("is_waiting", "1", 1, "waits for its next machine"),
                Feature("is_blocking", "1", 1, "waits on a machine, which it blocks"),
                Feature("is_working", "1", 1, "is being worked on"),
                Feature("num_behind", "1", 4, "jobs that wait for the machine it holds"),
                _ticks("time_here", 1, "of its next operation, on the deciding machine if it can"),
                _ticks("time_next", 1, "of the operation after that"),
                _ticks("work_left", 5, "from its next operation on"),
                Feature("ops_left", "1", 5, "operations not started"),
                Feature("time_over_work", "1", 0.3, "time_here over work_left"),
                _ticks("waited", 2, "since it became ready"),
                _ticks("until_done", 1, "until the operation under way ends"),
                _ticks("slack", 5, "between its own and the latest completion if nothing waits"),
                _ticks("until_due", 10, "completion if nothing waits to due date; 0 = has none"),
                Feature("weight", "1", 4, "of its tardiness, 0 = has no due date"),
                _ticks("next_load", 10, "work not started on the machine after the next"),
                Feature("next_queue", "1", 4, "jobs that wait for the machine after the next"),
                Feature("next_is_idle", "1", 1, "that machine is idle"),
                _ticks("next_until", 2, "until that machine is done with its operation or repair"),
            ),
            is_choosable=True,
        ),
        NodeType(
            "machine",
            (
                Feature("is_deciding", "1", 1, "whose job is being chosen"),
                Feature("is_idle", "1", 1, "up and empty"),
                Feature("is_working", "1", 1, "works"),
                Feature("is_blocked", "1", 1, "its job is finished and cannot go on"),
                Feature("is_down", "1", 1, "under repair or maintenance"),
                Feature("is_held", "1", 1, "kept idle at this instant"),
                _ticks("until_done", 1, "until its work ends, or its repair if that is known"),
                _ticks("load", 10, "work not started on it, shared among alternatives"),
                Feature("queue", "1", 4, "jobs that wait for it"),
                _ticks("queue_work", 5, "their processing times"),
                Feature("coming", "1", 4, "jobs that will come next from where they are worked on"),
                _ticks("until_coming", 2, "until the first of them is ready, 0 = none"),
                Feature("buffer_used", "1", 4, "jobs in its output buffer"),
                _ticks(
                    "until_window",
                    10,
                    "20 mean times less the ticks to maintenance",
                ),
            ),
        ),
    ),
    edges=(
        EdgeType("op", "then", "op"),
        EdgeType("op", "after", "op"),
        EdgeType("op", "of", "job"),
        EdgeType("op", "on", "machine"),
        EdgeType("job", "at", "machine"),
        EdgeType("job", "wants", "machine"),
    ),
    context=(
        Feature(MEAN, "tick", 50, "mean processing time of the instance"),
        Feature("jobs_left", "1", 10, "jobs not finished"),
        Feature("on_floor", "1", 10, "jobs started and not finished"),
        Feature("floor_share", "1", 1, "the same, per machine"),
        Feature("num_machines", "1", 10, "machines"),
        Feature("busy_share", "1", 1, "share of the machines that work"),
        Feature("blocked_share", "1", 1, "share of the machines that are blocked"),
        Feature("down_share", "1", 1, "share of the machines that are down"),
        Feature("num_candidates", "1", 4, "jobs to choose from"),
        Feature("can_hold", "1", 1, "the machine may stay idle"),
        _ticks("here_load", 10, "load of the deciding machine"),
        Feature("here_queue", "1", 4, "its queue"),
        _ticks("here_queue_work", 5, "its queue_work"),
        Feature("here_coming", "1", 4, "its coming"),
        _ticks("here_until_coming", 2, "its until_coming"),
        Feature("work_done", "1", 1, "share of the work that is started"),
        _ticks("longest_job", 10, "until the latest job is done if nothing waits"),
        _ticks("largest_load", 10, "most work not started on one machine"),
        Feature("is_finite", "1", 1, "output buffers are finite"),
        Feature("capacity", "1", 4, "places of an output buffer, at most 8; 0 where unlimited"),
        Feature("is_flow_time", "1", 1, "the objective sums completion times"),
        Feature("is_tardiness", "1", 1, "the objective sums tardiness"),
        Feature("failure_rate", "1", 0.1, "breakdowns per operation so far"),
    ),
)


@helper
def observe_all(lane: int, c: Shops, s: State) -> None:
    """Write the whole observation of a lane."""
    i = s.instance[lane]
    O, J, M = s.op.shape[1], s.job.shape[1], s.machine.shape[1]  # noqa: E741
    for o in range(O):
        for f in range(s.op.shape[2]):
            s.op[lane, o, f] = 0.0
        forget_op(lane, c, s, o)
    for row in range(s.op_on_machine.shape[1]):
        s.op_on_machine[lane, row, 0], s.op_on_machine[lane, row, 1] = O, M
    for j in range(J):
        for f in range(s.job.shape[2]):
            s.job[lane, j, f] = 0.0
        s.job_at_machine[lane, j, 0], s.job_at_machine[lane, j, 1] = J, M
    for row in range(s.job_wants_machine.shape[1]):
        s.job_wants_machine[lane, row, 0], s.job_wants_machine[lane, row, 1] = J, M
    for m in range(M):
        for f in range(s.machine.shape[2]):
            s.machine[lane, m, f] = 0.0
    for j in range(c.num_jobs[i]):
        observe_ops(lane, c, s, j, True)
    s.num_nodes[lane, 0], s.num_nodes[lane, 1] = c.num_ops[i], c.num_jobs[i]
    s.num_nodes[lane, 2] = c.num_machines[i]
    observe_moment(lane, c, s)


@helper
def observe_step(lane: int, c: Shops, s: State, moves: int) -> None:
    """Rewrite what the last step changed; ``moves`` were made before it."""
    i = s.instance[lane]
    if s.num_moves[lane] != moves:
        for j in range(c.num_jobs[i]):
            o = s.next_op[lane, j]
            if o > c.op_begin[i, j] and s.op[lane, o - 1, 3] > 0.0:
                observe_ops(lane, c, s, j, False)
    observe_moment(lane, c, s)


@helper
def observe_ops(lane: int, c: Shops, s: State, j: int, is_new: bool) -> None:
    """Write the operations of a job; those that have started drop out of the graph."""
    i, first, end = s.instance[lane], s.next_op[lane, j], c.op_begin[s.instance[lane], j + 1]
    o = first - 1
    while o >= c.op_begin[i, j] and s.op[lane, o, 3] > 0.0:
        for f in range(s.op.shape[2]):
            s.op[lane, o, f] = 0.0
        forget_op(lane, c, s, o)
        o -= 1
    if first < end:
        s.op_after_op[lane, first, 0] = s.op.shape[1]
        s.op_after_op[lane, first, 1] = s.op.shape[1]
    before = c.op_tail[i, first] if first < end else 0
    for o in range(first, end):
        s.op[lane, o, 1] = before - c.op_tail[i, o]
        s.op[lane, o, 4] = o == first
        if is_new:
            observe_op(lane, c, s, j, o)


@helper
def observe_op(lane: int, c: Shops, s: State, j: int, o: int) -> None:
    """Write what an operation keeps until it is started."""
    i, M = s.instance[lane], s.machine.shape[1]
    s.op[lane, o, 0] = c.op_time[i, o]
    s.op[lane, o, 2] = c.op_tail[i, o] - c.op_time[i, o]
    s.op[lane, o, 3] = 1.0
    s.op[lane, o, 5] = c.alt_begin[i, o + 1] - c.alt_begin[i, o]
    if o + 1 < c.op_begin[i, j + 1]:
        s.op_then_op[lane, o, 0], s.op_then_op[lane, o, 1] = o, o + 1
        s.op_after_op[lane, o + 1, 0], s.op_after_op[lane, o + 1, 1] = o + 1, o
    s.op_of_job[lane, o, 0], s.op_of_job[lane, o, 1] = o, j
    for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
        m = c.alt_machine[i, a]
        s.op_on_machine[lane, a, 0] = o if m < M else M
        s.op_on_machine[lane, a, 1] = m


@helper
def forget_op(lane: int, c: Shops, s: State, o: int) -> None:
    """Take an operation's edges out of the graph."""
    i, O = s.instance[lane], s.op.shape[1]  # noqa: E741
    s.op_then_op[lane, o, 0], s.op_then_op[lane, o, 1] = O, O
    s.op_after_op[lane, o, 0], s.op_after_op[lane, o, 1] = O, O
    s.op_of_job[lane, o, 0], s.op_of_job[lane, o, 1] = O, s.job.shape[1]
    if o < c.num_ops[i]:
        for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
            s.op_on_machine[lane, a, 0] = O
            s.op_on_machine[lane, a, 1] = s.machine.shape[1]


@helper
def observe_moment(lane: int, c: Shops, s: State) -> None:
    """Write what every move or tick may change: jobs, machines and the context."""
    i = s.instance[lane]
    for m in range(c.num_machines[i]):
        observe_machine(lane, c, s, m)
    latest = 0
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] != DONE:
            latest = max(latest, until_end(lane, c, s, j))
    for j in range(c.num_jobs[i]):
        if s.status[lane, j] != DONE:
            observe_job(lane, c, s, j, latest)
        elif s.job[lane, j, 4] > 0.0 or s.job[lane, j, 9] > 0.0:
            forget_job(lane, s, j)
    observe_context(lane, c, s, latest)


@helper
def observe_machine(lane: int, c: Shops, s: State, m: int) -> None:
    """Write the features of a machine; its queue's work and comers are added with the jobs."""
    i, mode = s.instance[lane], s.mode[lane, m]
    s.machine[lane, m, 0] = m == s.deciding[lane]
    s.machine[lane, m, 1] = mode == IDLE
    s.machine[lane, m, 2] = mode == WORKING
    s.machine[lane, m, 3] = mode == BLOCKED
    s.machine[lane, m, 4] = mode == DOWN
    s.machine[lane, m, 5] = s.is_held[lane, m]
    s.machine[lane, m, 6] = until_done(lane, c, s, m)
    s.machine[lane, m, 7] = s.load[lane, m]
    s.machine[lane, m, 8] = s.num_waiting[lane, m]
    s.machine[lane, m, 9] = 0.0
    s.machine[lane, m, 10] = 0.0
    s.machine[lane, m, 11] = 0.0
    s.machine[lane, m, 12] = s.buffer_used[lane, m] if c.capacity[0] < UNLIMITED else 0
    row, far = s.next_window[lane, m], FAR * c.mean_time[i]
    s.machine[lane, m, 13] = 0.0
    if row < c.window_begin[i, m + 1]:
        s.machine[lane, m, 13] = far - min(far, max(0, c.windows[i, row, 0] - s.clock[lane]))


@helper
def observe_job(lane: int, c: Shops, s: State, j: int, latest: int) -> None:
    """Write the features and edges of a job that is not finished."""
    i, o, now = s.instance[lane], s.next_op[lane, j], s.clock[lane]
    status, m, here = s.status[lane, j], s.at[lane, j], s.deciding[lane]
    J, M, K = s.job.shape[1], s.machine.shape[1], s.job_wants_machine.shape[1] // s.job.shape[1]
    is_waiting, end = status == WAITING, c.op_begin[i, j + 1]
    s.job[lane, j, 0] = s.action_mask[lane, j]
    s.job[lane, j, 1] = o == c.op_begin[i, j]
    s.job[lane, j, 2] = is_waiting
    s.job[lane, j, 3] = m >= 0 and status != IN_PROCESS
    s.job[lane, j, 4] = status == IN_PROCESS
    s.job[lane, j, 5] = s.num_waiting[lane, m] if m >= 0 else 0
    s.job_at_machine[lane, j, 0] = j if m >= 0 else J
    s.job_at_machine[lane, j, 1] = m if m >= 0 else M
    until = until_end(lane, c, s, j)
    coming = until - (c.op_tail[i, o] if o < end else 0)
    for k in range(K):
        s.job_wants_machine[lane, j * K + k, 0] = J
        s.job_wants_machine[lane, j * K + k, 1] = M
    time = 0
    if o < end:
        time = c.op_time[i, o]
        for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
            x, k = c.alt_machine[i, a], a - c.alt_begin[i, o]
            if x == here:
                time = c.alt_time[i, a]
            if is_waiting:
                s.machine[lane, x, 9] += c.alt_time[i, a]
                s.job_wants_machine[lane, j * K + k, 0] = j
                s.job_wants_machine[lane, j * K + k, 1] = x
            elif status != UNRELEASED or coming > 0:
                first = s.machine[lane, x, 10] == 0.0 or coming < s.machine[lane, x, 11]
                s.machine[lane, x, 10] += 1.0
                if first:
                    s.machine[lane, x, 11] = coming
    left = c.op_tail[i, o] if o < end else 0
    s.job[lane, j, 6] = time
    s.job[lane, j, 8] = left
    s.job[lane, j, 9] = end - o
    s.job[lane, j, 10] = time / left if left > 0 else 0.0
    s.job[lane, j, 11] = now - s.ready[lane, j] if is_waiting else 0
    s.job[lane, j, 12] = coming
    s.job[lane, j, 13] = latest - until
    has_due = c.due[i, j] < NEVER and c.objective[0] == TARDINESS
    far = FAR * c.mean_time[i]
    s.job[lane, j, 14] = max(-far, min(far, c.due[i, j] - now - until)) if has_due else 0.0
    s.job[lane, j, 15] = c.weight[i, j] if has_due else 0.0
    observe_next(lane, c, s, j, o + 1, end)


@helper
def observe_next(lane: int, c: Shops, s: State, j: int, o: int, end: int) -> None:
    """Write what awaits a job after its next operation: of several machines, the least loaded."""
    i, best = s.instance[lane], -1
    for f in range(16, 20):
        s.job[lane, j, f] = 0.0
    s.job[lane, j, 7] = c.op_time[i, o] if o < end else 0
    if o >= end:
        return
    for a in range(c.alt_begin[i, o], c.alt_begin[i, o + 1]):
        x = c.alt_machine[i, a]
        if best < 0 or s.load[lane, x] < s.load[lane, best]:
            best = x
    s.job[lane, j, 16] = s.load[lane, best]
    s.job[lane, j, 17] = s.num_waiting[lane, best]
    s.job[lane, j, 18] = s.mode[lane, best] == IDLE
    s.job[lane, j, 19] = until_done(lane, c, s, best)


@helper
def forget_job(lane: int, s: State, j: int) -> None:
    """Clear the features and edges of a job that is finished."""
    J, M, K = s.job.shape[1], s.machine.shape[1], s.job_wants_machine.shape[1] // s.job.shape[1]
    for f in range(s.job.shape[2]):
        s.job[lane, j, f] = 0.0
    s.job_at_machine[lane, j, 0], s.job_at_machine[lane, j, 1] = J, M
    for k in range(K):
        s.job_wants_machine[lane, j * K + k, 0] = J
        s.job_wants_machine[lane, j * K + k, 1] = M


@helper
def observe_context(lane: int, c: Shops, s: State, latest: int) -> None:
    """Write the features of the whole lane."""
    i, J = s.instance[lane], s.job.shape[1]
    M = c.num_machines[i]
    working, blocked, down, candidates, largest = 0, 0, 0, 0, 0.0
    for m in range(M):
        working += int(s.mode[lane, m] == WORKING)
        blocked += int(s.mode[lane, m] == BLOCKED)
        down += int(s.mode[lane, m] == DOWN)
        largest = max(largest, s.load[lane, m])
    for j in range(J):
        candidates += int(s.action_mask[lane, j])
    s.context[lane, 0] = c.mean_time[i]
    s.context[lane, 1] = s.num_left[lane]
    s.context[lane, 2] = s.num_on_floor[lane]
    s.context[lane, 3] = s.num_on_floor[lane] / M
    s.context[lane, 4] = M
    s.context[lane, 5] = working / M
    s.context[lane, 6] = blocked / M
    s.context[lane, 7] = down / M
    s.context[lane, 8] = candidates
    s.context[lane, 9] = s.action_mask[lane, J] and candidates > 0
    for f in range(5):
        s.context[lane, 10 + f] = 0.0
    if s.deciding[lane] >= 0:
        for f in range(5):
            s.context[lane, 10 + f] = s.machine[lane, s.deciding[lane], 7 + f]
    s.context[lane, 15] = s.done_work[lane] / c.total_work[i]
    s.context[lane, 16] = latest
    s.context[lane, 17] = largest
    s.context[lane, 18] = c.capacity[0] < UNLIMITED
    s.context[lane, 19] = min(8, c.capacity[0]) if c.capacity[0] < UNLIMITED else 0
    s.context[lane, 20] = c.objective[0] == FLOW_TIME
    s.context[lane, 21] = c.objective[0] == TARDINESS
    s.context[lane, 22] = s.num_downs[lane] / max(1, s.num_moves[lane])
