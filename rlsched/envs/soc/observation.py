"""The observation: tasks, jobs, PEs and operating points, and how they hang together.

A finished task stays in the graph until its job leaves; a task is tied to every PE that can run it
until it is placed, then to its own.
"""

from __future__ import annotations

from rlsched.core.graph import EdgeType, Feature, GraphSpec, NodeType
from rlsched.core.lanes import helper
from rlsched.envs.soc.outlook import best_pe, delay, end_on, look_ahead, rest_on
from rlsched.envs.soc.state import (
    ABSENT,
    ARRIVING,
    BOUND,
    CHOOSE_OPP,
    CHOOSE_PE,
    DONE,
    PENDING,
    READY,
    RUNNING,
    STATIC,
    State,
    Workloads,
)
from rlsched.envs.soc.tasks import begin_on, data_time, duration, ticks_on

MEAN = "mean_time"


def _ticks(name: str, scale: float, doc: str) -> Feature:
    return Feature(name, "tick", scale, doc, per=MEAN, is_squashed=True)


GRAPH = GraphSpec(
    env="soc",
    version=3,
    nodes=(
        NodeType(
            "task",
            (
                Feature("is_candidate", "1", 1, "can be placed now"),
                Feature("is_chosen", "1", 1, "is being placed"),
                Feature("is_ready", "1", 1, "everything it needs is done, or placed (static)"),
                Feature("is_bound", "1", 1, "has a PE and has not begun"),
                Feature("is_running", "1", 1, "runs"),
                Feature("is_pending", "1", 1, "waits for other tasks"),
                _ticks("until_begin", 2, "until it could begin if nothing waited"),
                _ticks("until_end", 2, "until it could end; as expected once it is placed"),
                _ticks("fastest", 1, "least time on any PE"),
                _ticks("mean", 1, "mean time over the PEs that can run it"),
                _ticks("rank", 5, "upward rank of HEFT"),
                _ticks("tail", 5, "longest chain from here, itself included, on fastest PEs"),
                _ticks("slack", 5, "by which it may be late without its job being late"),
                Feature("num_missing", "1", 2, "tasks it waits for"),
                Feature("num_next", "1", 2, "tasks that wait for it"),
                Feature("num_ways", "1", 4, "PEs that can run it"),
                _ticks("best_end", 2, "candidates: until it would end where it ends first"),
                _ticks("best_begin", 2, "candidates: until it would begin there"),
                _ticks("best_time", 1, "candidates: its time there"),
                _ticks("best_data", 2, "candidates: until its data are there"),
                _ticks("regret", 1, "candidates: second best end less best end"),
                _ticks("delay", 1, "candidates: by which that would move its job's earliest end"),
                _ticks("waited", 1, "since it could be placed"),
                Feature(
                    "is_present", "1", 1, "the row holds a task, not finished or of a static plan"
                ),
                _ticks("best_over", 5, "candidates: until its job could be over, best over PEs"),
                _ticks("later", 1, "candidates: best_end, than the least of all"),
                _ticks("below", 5, "candidates: rank, than the highest of all"),
            ),
            is_choosable=True,
            presence="is_present",
        ),
        NodeType(
            "job",
            (
                _ticks("age", 5, "since it arrived"),
                _ticks("until_end", 5, "until it ends if nothing waits"),
                _ticks("excess", 2, "by which it will exceed its critical path at least"),
                _ticks("critical_path", 5, "on fastest PEs, without communication"),
                Feature("num_left", "1", 10, "tasks not finished"),
                Feature("num_ready", "1", 3, "tasks that can be placed"),
                Feature("is_present", "1", 1, "the row holds a job"),
            ),
            presence="is_present",
        ),
        NodeType(
            "pe",
            (
                Feature("is_candidate", "1", 1, "can be chosen now"),
                Feature("is_chosen", "1", 1, "chosen; its operating point is not"),
                Feature("capacity", "1", 2, "tasks that run at once"),
                Feature("num_running", "1", 2, "tasks that run"),
                Feature("num_bound", "1", 2, "tasks placed there that have not begun"),
                _ticks("until_free", 2, "until its first place is free, as expected"),
                _ticks("until_empty", 2, "until all its places are free, as expected"),
                _ticks("demand", 5, "fastest times of the tasks not placed that it is fastest for"),
                Feature("rivals", "1", 2, "other candidates that would end first here"),
                _ticks("rival_time", 2, "their times here"),
                _ticks("time", 1, "of the task being placed, here"),
                _ticks("begin", 2, "until that would begin here"),
                _ticks("data", 2, "until its data would be here"),
                _ticks("end", 2, "until it would end here"),
                _ticks("later", 1, "than where it ends first"),
                _ticks("delay", 1, "by which that would move its job's earliest end"),
                Feature("power", "W", 1, "with one task running"),
                _ticks("over", 5, "until its job could be over if it ran here"),
                _ticks("over_later", 1, "than where that is least"),
            ),
            is_choosable=True,
        ),
        NodeType(
            "opp",
            (
                Feature("is_candidate", "1", 1, "can be chosen now"),
                Feature("speed", "1", 1, "frequency as a share of the highest"),
                _ticks("time", 1, "of the task being placed"),
                _ticks("delay", 1, "by which that would move its job's earliest end"),
                Feature("power", "W", 1, "with one task running"),
                Feature("energy", "1", 1, "of the task as a share of that at the highest point"),
            ),
            is_choosable=True,
        ),
    ),
    edges=(
        EdgeType("task", "then", "task", (_ticks("comm", 1, "mean time of the data's way"),)),
        EdgeType(
            "task",
            "on",
            "pe",
            (
                _ticks("time", 1, "of the task there"),
                _ticks("data", 2, "candidates: until its data would be there"),
                _ticks("rest", 5, "from its end there to its job's, every PE free"),
            ),
        ),
        EdgeType("task", "of", "job"),
    ),
    context=(
        Feature(MEAN, "tick", 20, "mean over the tasks of their time on the fastest PE"),
        _ticks("critical_path", 5, "mean critical path of a job"),
        Feature("num_active", "1", 3, "jobs in the system"),
        Feature("is_full", "1", 1, "no further job is admitted"),
        Feature("num_ready", "1", 3, "tasks that can be placed"),
        Feature("is_pe", "1", 1, "the choice is a PE"),
        Feature("is_opp", "1", 1, "the choice is an operating point"),
        Feature("is_static", "1", 1, "the whole schedule is made beforehand"),
        Feature("can_wait", "1", 1, "the ready tasks may be left for later"),
        Feature("num_pes", "1", 4, "PEs"),
        Feature("busy_share", "1", 1, "share of the places that work"),
        _ticks("gap", 5, "mean time between arrivals; 0 where none comes"),
        Feature("noise", "1", 0.2, "standard deviation of times"),
        Feature("to_memory", "1", 1, "data go through shared memory"),
    ),
)


@helper
def observe_all(lane: int, c: Workloads, s: State) -> None:
    """Write the whole observation of a lane."""
    i = s.instance[lane]
    look_ahead(lane, c, s)
    for f in range(s.opp.shape[1]):
        for x in range(s.opp.shape[2]):
            s.opp[lane, f, x] = 0.0
    for p in range(s.pes.shape[1]):
        for x in range(s.pes.shape[2]):
            s.pes[lane, p, x] = 0.0
    for p in range(c.num_pes[i]):
        observe_pe(lane, c, s, p)
    for q in range(s.job.shape[1]):
        observe_slot(lane, c, s, q)
    compare_candidates(lane, c, s)
    if s.phase[lane] == CHOOSE_PE and s.row[lane] >= 0:
        observe_ways(lane, c, s, s.row[lane])
    elif s.phase[lane] == CHOOSE_OPP and s.row[lane] >= 0:
        observe_points(lane, c, s, s.row[lane], s.pe[lane])
    observe_context(lane, c, s)


@helper
def observe_chosen(lane: int, c: Workloads, s: State) -> None:
    """Bring the observation up to date after nothing but the choice of a task."""
    row, T = s.row[lane], c.time.shape[2]
    best = best_pe(lane, c, s, row)
    for q in range(s.job.shape[1]):
        if s.slot_job[lane, q] >= 0:
            for n in range(q * T, q * T + c.num_tasks[s.instance[lane], s.slot_kind[lane, q]]):
                s.task[lane, n, 0] = 0.0
    s.task[lane, row, 1] = 1.0
    s.pes[lane, best, 8] -= 1.0
    s.pes[lane, best, 9] -= s.task[lane, row, 18]
    for p in range(c.num_pes[s.instance[lane]]):
        s.pes[lane, p, 0] = s.action_mask[lane, s.status.shape[1] + p]
    observe_ways(lane, c, s, row)
    s.context[lane, 5] = 1.0
    s.context[lane, 8] = 0.0


@helper
def observe_slot(lane: int, c: Workloads, s: State, q: int) -> None:
    """Write a job and its tasks, or clear the slot's rows if it is free."""
    T, E, A = c.time.shape[2], c.next_task.shape[2], s.task_on_pe.shape[1] // s.job.shape[1]
    N, P = s.task.shape[1], s.pes.shape[1]
    is_free = s.slot_job[lane, q] < 0
    i, k = s.instance[lane], s.slot_kind[lane, q]
    tasks = 0 if is_free else c.num_tasks[i, k]
    for e in range(q * E, q * E + E):
        s.task_then_task[lane, e, 0], s.task_then_task[lane, e, 1] = N, N
        s.task_then_task_x[lane, e, 0] = 0.0
    for a in range(q * A, q * A + A):
        s.task_on_pe[lane, a, 0], s.task_on_pe[lane, a, 1] = N, P
        for x in range(s.task_on_pe_x.shape[2]):
            s.task_on_pe_x[lane, a, x] = 0.0
    for t in range(tasks, T):
        for x in range(s.task.shape[2]):
            s.task[lane, q * T + t, x] = 0.0
        s.task_of_job[lane, q * T + t, 0] = N
        s.task_of_job[lane, q * T + t, 1] = s.job.shape[1]
    ready, pairs = 0, q * A
    for t in range(tasks):
        row = q * T + t
        observe_task(lane, c, s, row)
        pairs = observe_edges(lane, c, s, row, pairs)
        ready += int(s.status[lane, row] == READY)
    observe_job(lane, c, s, q, ready)


@helper
def observe_job(lane: int, c: Workloads, s: State, q: int, ready: int) -> None:
    """Write the features of a job, zeros for a free slot."""
    for x in range(s.job.shape[2]):
        s.job[lane, q, x] = 0.0
    if s.slot_job[lane, q] < 0:
        return
    now, path = s.clock[lane], c.critical_path[s.instance[lane], s.slot_kind[lane, q]]
    s.job[lane, q, 0] = now - s.slot_arrival[lane, q]
    s.job[lane, q, 1] = s.slot_bound[lane, q] - now
    s.job[lane, q, 2] = s.slot_bound[lane, q] - s.slot_arrival[lane, q] - path
    s.job[lane, q, 3] = path
    s.job[lane, q, 4] = s.slot_left[lane, q]
    s.job[lane, q, 5] = ready
    s.job[lane, q, 6] = 1.0


@helper
def observe_task(lane: int, c: Workloads, s: State, row: int) -> None:
    """Write the features of a task."""
    i, T, now, status = s.instance[lane], c.time.shape[2], s.clock[lane], s.status[lane, row]
    k, t, q = s.slot_kind[lane, row // T], row % T, row // T
    for x in range(s.task.shape[2]):
        s.task[lane, row, x] = 0.0
    if status == DONE and c.mode[0] != STATIC:
        return
    s.task[lane, row, 0] = s.action_mask[lane, row]
    s.task[lane, row, 1] = row == s.row[lane]
    s.task[lane, row, 2] = status == READY
    s.task[lane, row, 3] = status == BOUND
    s.task[lane, row, 4] = status == RUNNING
    s.task[lane, row, 5] = status in (PENDING, ARRIVING)
    end = s.earliest[lane, row]
    fastest, tail = c.fastest[i, k, t], c.tail[i, k, t]
    s.task[lane, row, 6] = max(0, end - fastest - now)
    s.task[lane, row, 7] = end - now
    s.task[lane, row, 8] = fastest
    s.task[lane, row, 9] = c.mean[i, k, t]
    s.task[lane, row, 10] = c.rank[i, k, t]
    s.task[lane, row, 11] = tail
    s.task[lane, row, 12] = s.slot_bound[lane, q] - (end + tail - fastest)
    s.task[lane, row, 13] = s.num_missing[lane, row]
    s.task[lane, row, 14] = c.next_begin[i, k, t + 1] - c.next_begin[i, k, t]
    s.task[lane, row, 15] = c.num_ways[i, k, t]
    s.task[lane, row, 23] = 1.0
    if status == READY:
        observe_candidate(lane, c, s, row)


@helper
def observe_candidate(lane: int, c: Workloads, s: State, row: int) -> None:
    """Write what becomes of a task that can be placed where it would end first."""
    now, best = s.clock[lane], best_pe(lane, c, s, row)
    end, second = end_on(lane, c, s, row, best), -1
    over = end + rest_on(lane, c, s, row, best)
    for p in range(c.num_pes[s.instance[lane]]):
        other = end_on(lane, c, s, row, p) if p != best else -1
        if other < 0:
            continue
        over = min(over, other + rest_on(lane, c, s, row, p))
        if second < 0 or other < second:
            second = other
    s.task[lane, row, 16] = end - now
    s.task[lane, row, 17] = begin_on(lane, c, s, row, best) - now
    s.task[lane, row, 18] = ticks_on(lane, c, s, row, best)
    s.task[lane, row, 19] = data_time(lane, c, s, row, best, False) - now
    s.task[lane, row, 20] = second - end if second >= 0 else 0
    s.task[lane, row, 21] = delay(lane, c, s, row, end)
    s.task[lane, row, 22] = now - s.ready_at[lane, row]
    s.task[lane, row, 24] = over - now
    if row != s.row[lane]:
        s.pes[lane, best, 8] += 1.0
        s.pes[lane, best, 9] += s.task[lane, row, 18]


@helper
def compare_candidates(lane: int, c: Workloads, s: State) -> None:
    """Write how far each task that can be placed is behind the first of them."""
    first, highest = -1, 0.0
    for row in range(s.task.shape[1]):
        if s.status[lane, row] == READY:
            highest = max(highest, s.task[lane, row, 10])
            if first < 0 or s.task[lane, row, 16] < s.task[lane, first, 16]:
                first = row
    for row in range(s.task.shape[1]):
        if s.status[lane, row] == READY:
            s.task[lane, row, 25] = s.task[lane, row, 16] - s.task[lane, first, 16]
            s.task[lane, row, 26] = highest - s.task[lane, row, 10]


@helper
def observe_edges(lane: int, c: Workloads, s: State, row: int, pairs: int) -> int:
    """Write the edges of a task; return the next row of its job's pairs."""
    i, T, E = s.instance[lane], c.time.shape[2], c.next_task.shape[2]
    k, t, q, status = s.slot_kind[lane, row // T], row % T, row // T, s.status[lane, row]
    s.task_of_job[lane, row, 0], s.task_of_job[lane, row, 1] = row, q
    for e in range(c.next_begin[i, k, t], c.next_begin[i, k, t + 1]):
        after = q * T + c.next_task[i, k, e]
        s.task_then_task[lane, q * E + e, 0] = row
        s.task_then_task[lane, q * E + e, 1] = after
        s.task_then_task_x[lane, q * E + e, 0] = c.next_mean[i, k, e]
    if status in (DONE, ABSENT):
        return pairs
    is_placed = status in (BOUND, RUNNING)
    for p in range(c.num_pes[i]):
        time = c.time[i, k, t, p]
        if time < 0 or (is_placed and p != s.on[lane, row]):
            continue
        s.task_on_pe[lane, pairs, 0], s.task_on_pe[lane, pairs, 1] = row, p
        s.task_on_pe_x[lane, pairs, 0] = time
        s.task_on_pe_x[lane, pairs, 2] = c.rest[i, k, t, p]
        if status == READY:
            s.task_on_pe_x[lane, pairs, 1] = data_time(lane, c, s, row, p, False) - s.clock[lane]
        if not is_placed and time == c.fastest[i, k, t]:
            s.pes[lane, p, 7] += time
        pairs += 1
    return pairs


@helper
def observe_pe(lane: int, c: Workloads, s: State, p: int) -> None:
    """Write the features of a PE that do not depend on the task being placed."""
    i, N, now = s.instance[lane], s.task.shape[1], s.clock[lane]
    first, last = s.free_at[lane, p, 0], s.free_at[lane, p, 0]
    for x in range(1, c.capacity[i, p]):
        first, last = min(first, s.free_at[lane, p, x]), max(last, s.free_at[lane, p, x])
    s.pes[lane, p, 0] = s.action_mask[lane, N + p]
    s.pes[lane, p, 1] = p == s.pe[lane]
    s.pes[lane, p, 2] = c.capacity[i, p]
    s.pes[lane, p, 3] = s.pe_running[lane, p]
    s.pes[lane, p, 4] = s.pe_bound[lane, p]
    s.pes[lane, p, 5] = first - now
    s.pes[lane, p, 6] = last - now
    s.pes[lane, p, 16] = c.power[i, p, 1, c.opp[i, p]]


@helper
def observe_ways(lane: int, c: Workloads, s: State, row: int) -> None:
    """Write what becomes of the task being placed on each PE."""
    now, best = s.clock[lane], best_pe(lane, c, s, row)
    least = end_on(lane, c, s, row, best)
    for p in range(c.num_pes[s.instance[lane]]):
        end = end_on(lane, c, s, row, p)
        if end < 0:
            continue
        s.pes[lane, p, 10] = ticks_on(lane, c, s, row, p)
        s.pes[lane, p, 11] = begin_on(lane, c, s, row, p) - now
        s.pes[lane, p, 12] = data_time(lane, c, s, row, p, False) - now
        s.pes[lane, p, 13] = end - now
        s.pes[lane, p, 14] = end - least
        s.pes[lane, p, 15] = delay(lane, c, s, row, end)
        s.pes[lane, p, 17] = end + rest_on(lane, c, s, row, p) - now
        s.pes[lane, p, 18] = s.pes[lane, p, 17] - s.task[lane, row, 24]


@helper
def observe_points(lane: int, c: Workloads, s: State, row: int, p: int) -> None:
    """Write what each operating point of the chosen PE means for the task being placed."""
    i, T = s.instance[lane], c.time.shape[2]
    ticks = c.time[i, s.slot_kind[lane, row // T], row % T, p]
    begin, top = begin_on(lane, c, s, row, p), c.num_opps[i, p] - 1
    most = max(1e-9, c.power[i, p, 1, top] * ticks)
    for f in range(c.num_opps[i, p]):
        time = duration(c, i, ticks, p, f)
        s.opp[lane, f, 0] = 1.0
        s.opp[lane, f, 1] = 1.0 / c.slowdown[i, p, f]
        s.opp[lane, f, 2] = time
        s.opp[lane, f, 3] = delay(lane, c, s, row, begin + time)
        s.opp[lane, f, 4] = c.power[i, p, 1, f]
        s.opp[lane, f, 5] = c.power[i, p, 1, f] * time / most


@helper
def observe_context(lane: int, c: Workloads, s: State) -> None:
    """Write the features of the whole lane, and how many rows are real."""
    i, Q = s.instance[lane], s.job.shape[1]
    places, working = 0, 0
    for p in range(c.num_pes[i]):
        places += c.capacity[i, p]
        working += s.pe_running[lane, p]
    s.context[lane, 0] = c.mean_time[i]
    s.context[lane, 1] = c.unit[i]
    s.context[lane, 2] = s.num_active[lane]
    s.context[lane, 3] = s.num_active[lane] >= c.queue[i]
    s.context[lane, 4] = s.num_ready[lane]
    s.context[lane, 5] = s.phase[lane] == CHOOSE_PE
    s.context[lane, 6] = s.phase[lane] == CHOOSE_OPP
    s.context[lane, 7] = c.mode[0] == STATIC
    s.context[lane, 8] = s.action_mask[lane, s.action_mask.shape[1] - 1]
    s.context[lane, 9] = c.num_pes[i]
    s.context[lane, 10] = working / places
    s.context[lane, 11] = c.gap[i] if c.mode[0] != STATIC else 0.0
    s.context[lane, 12] = c.noise[i]
    s.context[lane, 13] = c.comm[0]
    s.num_nodes[lane, 0], s.num_nodes[lane, 1] = s.task.shape[1], Q
    s.num_nodes[lane, 2], s.num_nodes[lane, 3] = c.num_pes[i], s.opp.shape[1]
