"""Facts about workloads: what they refuse, and the small ones typed in from the literature."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import workloads
from soc_optimum import proven_makespan

from rlsched.core.errors import InstanceError
from rlsched.envs.soc.workload import Job, Workload, topological_order


def with_soc(**change) -> Workload:
    base = workloads.fork()
    return replace(base, soc=replace(base.soc, **change))


def with_edges(*edges) -> Workload:
    base = workloads.fork()
    return replace(base, jobs=(replace(base.jobs[0], edges=edges),))


@pytest.mark.parametrize(
    ("build", "makespan"),
    [
        (workloads.topcuoglu, 73),
        (workloads.peft_paper, 113),
        (workloads.chain, 9),
        (workloads.fork, 7),
        (workloads.masked, 11),
        (workloads.single, 3),
    ],
)
def test_the_best_makespan_is_what_cp_sat_proves(build, makespan):
    """73 and 113 are proven optima of the published graphs; the others are worked by hand."""
    assert proven_makespan(build()) == makespan


def test_times_are_tasks_by_pes():
    workload = workloads.masked()
    np.testing.assert_array_equal(workload.times(workload.jobs[0]), [[1, -1], [-1, 5]])
    assert workload.num_pes == 2


def test_the_topcuoglu_graph_has_its_published_mean_times():
    """Means over the PEs of Topcuoglu et al. (2002), first and last task."""
    workload = workloads.topcuoglu()
    mean = workload.times(workload.jobs[0]).mean(axis=1)
    assert mean[0] == pytest.approx(13)
    assert mean[9] == pytest.approx(44 / 3)


def test_data_on_the_same_pe_are_there_at_once():
    assert workloads.topcuoglu().soc.bandwidth[1] == (1.0, math.inf, 1.0)


def test_tasks_are_ordered_after_what_they_need_lowest_number_first():
    job = Job("j", ("a",) * 4, ((3, 0, 1.0), (2, 1, 1.0)))
    assert topological_order(job) == [2, 1, 3, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pes": ()}, "has 0 PEs; must be 1 to 256"),
        ({"bandwidth": ((1.0, 0.0), (1.0, 1.0))}, r"bandwidth\[0, 1\] = 0.0; must be > 0"),
        ({"bandwidth": ((1.0, math.nan), (1.0, 1.0))}, r"bandwidth\[0, 1\] = nan"),
        ({"bandwidth": ((1.0,), (1.0,))}, "bandwidth must be 2 x 2"),
        ({"startup": ((0, -1), (0, 0))}, r"startup\[0, 1\] = -1"),
        ({"memory_bandwidth": ((1.0, 1.0), (1.0, 0.0))}, "memory_bandwidth must be 2 x 2 values"),
        ({"times": {"t0": (1, 1), "t1": (1,), "t2": (1, 1)}}, r"times\['t1'\] = \[1\]; give 2"),
        ({"times": {"t0": (1, 1), "t1": (1, -2), "t2": (1, 1)}}, r"times\['t1'\]"),
        ({"times": {"t0": (1, 1), "t1": (-1, -1), "t2": (1, 1)}}, "task 1: no PE of 'fork' can"),
        ({"times": {"t0": (1, 1), "t1": (1, 1)}}, "task 2: soc 'fork' has no times of 't2'"),
    ],
)
def test_an_impossible_soc_is_refused(change, words):
    with pytest.raises(InstanceError, match=words):
        with_soc(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"capacity": 0}, "capacity = 0; must be 1 to 64"),
        ({"power": (1.0, 2.0)}, "power = .*; give 1 values in W"),
        ({"power": (-1.0,)}, "give 1 values in W"),
        ({"opps": ()}, "give \\(MHz, mV\\) > 0, ascending"),
        ({"opps": ((2000, 900), (1000, 900))}, "ascending"),
    ],
)
def test_an_impossible_pe_is_refused(change, words):
    pes = workloads.fork().soc.pes
    with pytest.raises(InstanceError, match=rf"PE 0 \(P1\): .*{words}"):
        with_soc(pes=(replace(pes[0], **change), pes[1]))


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ([(0, 3, 1.0)], "edge 0: 0 -> 3; tasks are 0 to 2"),
        ([(0, 1, 1.0), (1, 1, 1.0)], "edge 1: 1 -> 1"),
        ([(0, 1, 1.0), (0, 1, 2.0)], "edge 1: 0 -> 1 stands there twice"),
        ([(0, 1, -1.0)], "edge 0: volume = -1.0"),
        ([(0, 1, math.nan)], "edge 0: volume = nan"),
        ([(0, 1, 1.0), (1, 2, 1.0), (2, 0, 1.0)], "task 0 waits for itself; break the cycle"),
    ],
)
def test_impossible_precedences_are_refused(edges, words):
    with pytest.raises(InstanceError, match=words):
        topological_order(with_edges(*edges).jobs[0])


@pytest.mark.parametrize("weights", [(1.0, 1.0), (-1.0,), (0.0,), (math.nan,)])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(InstanceError, match=r"give one >= 0 per job \(1\), not all 0"):
        replace(workloads.fork(), weights=weights)


def test_a_workload_without_jobs_is_refused():
    with pytest.raises(InstanceError, match="0 jobs; must be 1 to 1000"):
        replace(workloads.fork(), jobs=())


def test_a_job_whose_times_add_up_beyond_the_clock_is_refused():
    ticks = 100_000_000
    with pytest.raises(InstanceError, match="takes 600000000 ticks on the slowest PEs; at most"):
        workloads.static("long", [(ticks,)] * 6)
    assert workloads.static("long", [(ticks,)] * 5).jobs[0].num_tasks == 5


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ([(5, 0), (4, 0)], r"fork: trace\[1\] comes at 4; must be 5 to 100000000"),
        ([(0, 0), (1, 1)], r"fork: trace\[1\] is of job 1; give 0 to 0"),
        ([(0, -1)], r"fork: trace\[0\] is of job -1; give 0 to 0"),
    ],
)
def test_a_trace_that_goes_back_or_names_no_job_is_refused(trace, message):
    with pytest.raises(InstanceError, match=message):
        replace(workloads.fork(), trace=tuple(trace))
