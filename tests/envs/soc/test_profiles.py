"""Facts about the field's SoCs and jobs: the numbers of their sources, and their optima."""

from __future__ import annotations

import pytest
import workloads
from soc_optimum import proven_makespan

from rlsched.core.errors import InstanceError, UnknownName
from rlsched.envs.soc.instances import (
    Workload,
    builtin_jobs,
    builtin_soc,
    builtin_workload,
    job_names,
    load_instances,
    soc_names,
)

TOP_OPTIMA = [73, 81, 80, 87, 85, 80, 72, 65, 72, 74]
"""Best makespans of the ten Top jobs on P3, proven by CP-SAT."""
NUM_TASKS = {
    "ds3/WiFi_TX": 27,
    "ds3/WiFi_RX": 34,
    "ds3/range_detection": 7,
    "ds3/SC_TX": 8,
    "ds3/SC_RX": 8,
    "ds3/temporal_mitigation": 10,
}


def longest_path(workload: Workload) -> int:
    """Return the critical path of the first job with each task on its fastest PE, without data."""
    job = workload.jobs[0]
    end = [0] * job.num_tasks
    for task in range(job.num_tasks):  # the built-in jobs are numbered in topological order
        fastest = min(t for t in workload.soc.times[job.tasks[task]] if t >= 0)
        end[task] = fastest + max((end[a] for a, b, _ in job.edges if b == task), default=0)
    return max(end)


def test_the_names_are_those_of_the_module():
    assert soc_names() == (
        "gym_ds3/Top",
        "ds3/Top",
        "ds3/MULTIPLE_BAL",
        "ds3/BAL_only",
        "ds3/MULTIPLE_BAL_cores",
        "ds3/BAL_only_cores",
    )
    assert job_names() == (*(f"gym_ds3/Top_{n}" for n in range(1, 11)), *NUM_TASKS)


@pytest.mark.parametrize("number", range(1, 11))
def test_the_top_jobs_have_their_proven_optima(number):
    workload = builtin_workload(f"gym_ds3/Top_{number}")
    assert proven_makespan(workload) == TOP_OPTIMA[number - 1]


def test_top_1_is_the_graph_of_topcuoglu():
    top, graph = builtin_workload("gym_ds3/Top"), workloads.topcuoglu()
    assert top.jobs[0].edges == graph.jobs[0].edges
    assert top.times(top.jobs[0]).tolist() == graph.times(graph.jobs[0]).tolist()


@pytest.mark.parametrize("number", range(1, 11))
def test_top_jobs_have_ten_types_of_task_and_12_to_15_edges(number):
    (job,) = builtin_jobs(f"gym_ds3/Top_{number}")
    assert job.tasks == tuple(f"task_{n}" for n in range(1, 11))
    assert 12 <= len(job.edges) <= 15
    assert {b for _, b, _ in job.edges} == set(range(1, 10))
    assert {a for a, _, _ in job.edges} == set(range(9))


def test_the_top_socs_differ_in_bandwidth_within_a_pe_and_in_operating_points():
    ours, ds3 = builtin_soc("gym_ds3/Top"), builtin_soc("ds3/Top")
    assert ours.bandwidth == ((100, 1, 1), (1, 100, 1), (1, 1, 100))
    assert ds3.bandwidth == ((10000, 1, 1), (1, 10000, 1), (1, 1, 10000))
    assert ours.times == ds3.times
    assert [len(pe.opps) for pe in ours.pes] == [8, 8, 8]
    assert ds3.pes[0].opps == ((1000, 900),)
    assert ours.memory_bandwidth == ((2, 2, 2), (2, 2, 2))


@pytest.mark.parametrize("name", NUM_TASKS)
def test_ds3_jobs_have_their_numbers_of_tasks(name):
    assert builtin_jobs(name)[0].num_tasks == NUM_TASKS[name]


@pytest.mark.parametrize(
    ("name", "ticks"),
    [
        ("ds3/WiFi_TX", 10 + 4 + 8 + 3 + 16 + 3),
        ("ds3/WiFi_RX", 5 + 4 + 12 + 4 + 95 + 9 + 4 + 2 + 2 + 39),
        ("ds3/range_detection", 60 + 30 + 6 + 30 + 20),
        ("ds3/SC_TX", 2 + 9 + 3 + 3 + 8 + 2 + 9 + 20),
        ("ds3/SC_RX", 20 + 20 + 3 + 96 + 7 + 3 + 2 + 2),
        ("ds3/temporal_mitigation", 6 + 22 + 8 + 5 + 22 + 16),
    ],
)
def test_the_fastest_pes_of_ds3_bound_its_jobs_from_below(name, ticks):
    """Latencies of the SoC file of DS3 v1; SC-TX takes 56 and SC-RX 154 there."""
    assert longest_path(builtin_workload(name)) == ticks


def test_clusters_are_pes_of_capacity_four():
    soc = builtin_soc("ds3/MULTIPLE_BAL")
    assert [(pe.name, pe.capacity, pe.leaks) for pe in soc.pes] == [
        ("A7", 4, True),
        ("A15", 4, True),
        ("MM", 2, False),
        ("FFT", 4, False),
        ("VIT", 2, False),
    ]
    assert soc.pes[1].power == (3.32, 5.05, 6.15, 6.91)
    assert soc.bandwidth[0] == (10000, 1000, 1000, 10, 1000)
    assert soc.times["fft"] == (289, 114, -1, 12, -1)


def test_bal_only_has_no_accelerators_and_slow_filters():
    soc = builtin_soc("ds3/BAL_only")
    assert [pe.name for pe in soc.pes] == ["A7", "A15"]
    assert soc.times["fir_filter"] == (6468, 1393)
    assert builtin_soc("ds3/MULTIPLE_BAL").times["fir_filter"][:2] == (30, 20)


def test_cores_are_pes_with_the_bandwidth_of_their_cluster_between_them():
    soc = builtin_soc("ds3/MULTIPLE_BAL_cores")
    assert [pe.name for pe in soc.pes[3:6]] == ["A7_3", "A15_4", "A15_5"]
    assert len(soc.pes) == 16
    assert {pe.capacity for pe in soc.pes} == {1}
    assert soc.bandwidth[4][3:7] == (1000, 10000, 1000, 1000)
    assert soc.bandwidth[4][10:14] == (10, 10, 10, 10)
    assert soc.times["fft"] == (289,) * 4 + (114,) * 4 + (-1,) * 2 + (12,) * 4 + (-1,) * 2
    assert soc.pes[4].power == (3.32,)


@pytest.mark.parametrize("soc", ["ds3/MULTIPLE_BAL", "ds3/BAL_only", "ds3/BAL_only_cores"])
def test_the_real_socs_run_all_jobs_of_ds3(soc):
    assert len(builtin_workload("ds3/all", soc).jobs) == 6


def test_names_stand_for_one_several_or_all_jobs_each_once():
    assert builtin_jobs("gym_ds3/Top") == builtin_jobs("gym_ds3/Top_1")
    assert len(builtin_jobs("gym_ds3/all")) == 10
    names = [job.name for job in builtin_jobs("ds3/SC_TX, gym_ds3/Top_2, ds3/SC_TX")]
    assert names == ["ds3/SC_TX", "gym_ds3/Top_2"]
    assert builtin_jobs(["gym_ds3/all", "gym_ds3/Top"]) == builtin_jobs("gym_ds3/all")


def test_jobs_load_by_name_on_their_own_soc_or_on_another():
    (workload,) = load_instances("gym_ds3/Top_2")
    assert (workload.name, workload.soc.name) == ("gym_ds3/Top_2", "gym_ds3/Top")
    (workload,) = load_instances("ds3/SC_TX,ds3/SC_RX@ds3/BAL_only")
    assert workload.soc.name == "ds3/BAL_only"
    assert len(workload.jobs) == 2


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UnknownName, match=r"Unknown job 'gym_ds3/Tp'\. Did you mean 'gym_ds3/Top'"):
        builtin_jobs("gym_ds3/Tp")
    with pytest.raises(UnknownName, match=r"Unknown soc 'ds3/BAL'\. Did you mean 'ds3/BAL_only'"):
        builtin_soc("ds3/BAL")
    with pytest.raises(UnknownName, match="Unknown soc 'gym_ds3/Top_cores'"):
        builtin_soc("gym_ds3/Top_cores")


def test_a_soc_that_cannot_run_a_job_is_refused():
    with pytest.raises(InstanceError, match="soc 'gym_ds3/Top' has no times of 'scrambler'"):
        builtin_workload("ds3/SC_TX", "gym_ds3/Top")
