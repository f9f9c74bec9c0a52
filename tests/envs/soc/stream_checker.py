"""Checks what ran in a stream of jobs, in plain Python; knows nothing of the simulator.

Rules: a task runs once per job, on a PE that can run it, for its time, once its data are there; a
PE runs at most as many tasks at any instant as it has places. Commit on ready: a task is placed the
instant its last predecessor ends, so it begins when its data are there unless its PE is full.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from rlsched.envs.soc.workload import Workload


class Run(NamedTuple):
    """One execution: job number, kind of job, task, PE, begin and end in ticks, operating point."""

    job: int
    kind: int
    task: int
    pe: int
    begin: int
    end: int
    point: int


class Stream:
    """The executions of a stream.

    Args:
        workload: the instance.
        rows: executions, each the numbers of a :class:`Run`.
        comm: data go from ``pe`` to PE, or through shared ``memory``.
        admitted: job number -> tick of its admission, where that is known.
    """

    def __init__(
        self,
        workload: Workload,
        rows: Iterable[Sequence[int]],
        comm: str = "pe",
        admitted: Mapping[int, int] | None = None,
    ) -> None:
        self.workload, self.comm, self.admitted = workload, comm, admitted or {}
        self.runs = [Run(*map(int, row)) for row in rows]
        self.by_task = {(run.job, run.task): run for run in self.runs}
        self.on_pe = [[r for r in self.runs if r.pe == p] for p in range(workload.num_pes)]

    def check(self, is_noisy: bool = False, is_eager: bool = False, oldest: bool = False) -> None:
        """Fail where a rule is broken.

        Args:
            is_noisy: times differ from those expected.
            is_eager: all executions are here and no ready task is left for later: commit on ready
                is checked as well.
            oldest: of those that could begin on a PE, the task of the oldest job does.
        """
        assert len(self.by_task) == len(self.runs), "a task ran twice"
        assert [run.begin for run in self.runs] == sorted(run.begin for run in self.runs)
        for run in self.runs:
            self.check_duration(run, is_noisy)
            self.check_data(run)
            self.check_capacity(run)
            if is_eager:
                self.check_no_idling(run)
            if oldest:
                self.check_oldest_first(run)

    def check_duration(self, run: Run, is_noisy: bool) -> None:
        soc, job = self.workload.soc, self.workload.jobs[run.kind]
        ticks, opps = soc.times[job.tasks[run.task]][run.pe], soc.pes[run.pe].opps
        assert ticks >= 0, f"{run}: the PE cannot run it"
        assert 0 <= run.point < len(opps), f"{run}: there is no such operating point"
        slowed = math.ceil(ticks * opps[-1][0] / opps[run.point][0] - 1e-9)
        if not is_noisy or ticks == 0:
            assert run.end - run.begin == slowed, f"{run}: takes {slowed} ticks"
        assert run.end - run.begin >= min(ticks, 1), f"{run}: takes no time"

    def data_at(self, run: Run) -> int | None:
        """Return when a task can begin if its PE has a place, None if that is not known."""
        soc, before = self.workload.soc, []
        for source, target, volume in self.workload.jobs[run.kind].edges:
            if target == run.task:
                before.append((self.by_task[run.job, source], volume))
        if not before:
            return self.admitted.get(run.job)
        if self.comm == "pe":
            return max(
                u.end + soc.startup[u.pe][run.pe] + math.floor(v / soc.bandwidth[u.pe][run.pe])
                for u, v in before
            )
        to_memory, from_memory = soc.memory_bandwidth
        written = max(u.end + math.floor(v / to_memory[u.pe]) for u, v in before)
        return written + max(math.floor(v / from_memory[run.pe]) for _, v in before)

    def check_data(self, run: Run) -> None:
        at = self.data_at(run)
        assert at is None or run.begin >= at, f"{run}: its data are there at {at}"

    def num_running(self, pe: int, at: int) -> int:
        """Return the tasks that run on a PE from that tick to the next."""
        return sum(run.begin <= at < run.end for run in self.on_pe[pe])

    def check_capacity(self, run: Run) -> None:
        """The most tasks that run at once do so as one of them begins."""
        capacity = self.workload.soc.pes[run.pe].capacity
        if run.begin < run.end:
            count = self.num_running(run.pe, run.begin)
        else:
            count = 1 + sum(u.begin < run.begin < u.end for u in self.on_pe[run.pe])
        assert count <= capacity, f"{run}: {count} tasks on a PE with {capacity} places"

    def check_no_idling(self, run: Run) -> None:
        """From when its data are there until it begins, its PE is full."""
        at = self.data_at(run)
        if at is None:
            return
        ends = {u.end for u in self.on_pe[run.pe] if at <= u.end < run.begin}
        for tick in {at, *ends} if at < run.begin else ():
            count = self.num_running(run.pe, tick)
            assert count == self.workload.soc.pes[run.pe].capacity, f"{run}: could begin at {tick}"

    def check_oldest_first(self, run: Run) -> None:
        for other in self.on_pe[run.pe]:
            if other.begin > run.begin and other.job < run.job:
                at = self.data_at(other)
                assert at is None or at >= run.begin, f"{run}: passed {other}"

    def ends(self) -> dict[int, int]:
        """Return the last end of each job."""
        return {job: max(r.end for r in self.runs if r.job == job) for job in self.jobs()}

    def jobs(self) -> list[int]:
        """Return the job numbers."""
        return sorted({run.job for run in self.runs})

    def jobs_over_time(self) -> list[tuple[int, int]]:
        """Return (ticks, jobs in the system) of each span between admissions and ends."""
        ends = self.ends()
        steps = [(self.admitted[job], 1) for job in ends] + [(end, -1) for end in ends.values()]
        steps.sort()
        spans, inside = [], 0
        for (tick, change), (later, _) in pairwise(steps):
            inside += change
            spans.append((later - tick, inside))
        return spans
