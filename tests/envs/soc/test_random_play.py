"""Random legal play of generated workloads, under all options, passes independent checkers."""

from __future__ import annotations

import numpy as np
import pytest
import workloads
from dag_checker import check_schedule
from hypothesis import given, settings
from hypothesis import strategies as st
from soc_plays import BANK, play_out, ruled, small, static, streaming
from stream_checker import Run, Stream


@settings(max_examples=400)
@given(
    preset=st.sampled_from(("layered", "mix", "top_like", "accelerators")),
    seed=st.integers(0, 2**20),
    tasks=st.integers(1, 6),
    pes=st.integers(1, 4),
    noise=st.sampled_from(("0", "0.3")),
    comm=st.sampled_from(("pe", "memory")),
    order=st.sampled_from(("fifo", "oldest_job")),
    admission=st.sampled_from(("defer", "queue", "drop")),
    arrivals=st.sampled_from(("poisson", "fixed")),
    scale=st.sampled_from(("2", "30", "10-100")),
    defer=st.booleans(),
    dvfs=st.sampled_from(("performance", "powersave", "800", "choose")),
    queue=st.integers(1, 4),
    fill=st.booleans(),
)
def test_random_legal_play_satisfies_the_independent_checker(
    preset, seed, tasks, pes, noise, comm, order, defer, **options
):
    sim = streaming(
        small(preset, seed, tasks, pes),
        num_jobs=7,
        noise=noise,
        comm=comm,
        order=order,
        defer=defer,
        observe=False,
        **options,
    )
    _, stream = play_out(sim, seed)
    stream.check(noise != "0", is_eager=not defer, oldest=order == "oldest_job" and not defer)
    done = sim.metrics()["num_jobs"][0]
    assert done + sim.metrics()["num_dropped"][0] == 7
    assert len(stream.jobs()) == done
    ends = stream.ends()
    assert sim.state.makespan[0] == max(ends.values())
    waited = sum(ends[job] - stream.admitted[job] for job in ends if job in stream.admitted)
    if options["admission"] != "queue" and stream.admitted.keys() >= ends.keys():
        assert sim.state.latency[0] == sim.state.time_in_system[0] == waited
        counts = stream.jobs_over_time()
        assert max(count for _, count in counts) <= options["queue"]
        assert sum(ticks * count for ticks, count in counts) == waited


@settings(max_examples=200)
@given(
    preset=st.sampled_from(("layered", "mix", "top_like", "accelerators")),
    seed=st.integers(0, 2**20),
    tasks=st.integers(1, 8),
    pes=st.integers(1, 4),
    noise=st.sampled_from(("0", "0.3")),
    comm=st.sampled_from(("pe", "memory")),
    dvfs=st.sampled_from(("performance", "choose")),
)
def test_random_static_play_satisfies_the_independent_checkers(
    preset, seed, tasks, pes, noise, **options
):
    workload = small(preset, seed, tasks, pes)
    sim = static(workload, noise=noise, observe=False, **options)
    _, stream = play_out(sim, seed)
    stream.check(is_noisy=noise != "0")
    rows = sim.executions()[np.argsort(sim.executions()[:, 2])]
    assert sim.metrics()["makespan"][0] == rows[:, 5].max()
    if (noise, *options.values()) == ("0", "pe", "performance"):
        times = (rows[:, column].tolist() for column in (3, 4, 5))
        assert check_schedule(workload, *times) == sim.metrics()["makespan"][0]


def test_an_episode_ends_at_its_length_whatever_is_under_way():
    sim = ruled(streaming(BANK[0], num_jobs=0, length=100, fill=True, queue=3), "etf")
    assert sim.state.clock[0] == 100
    s = sim.state
    assert s.num_active[0] == s.num_arrived[0] - s.num_completed[0] > 0
    assert (sim.executions()[:, 5] < 100).all()


# --- the checker ----------------------------------------------------------------------------------

FORK = [[0, 0, 0, 0, 0, 2, 0], [0, 0, 1, 0, 2, 5, 0], [0, 0, 2, 1, 4, 7, 0]]
"""Task 0 on P1, then task 1 there; task 2 on P2, where its data are at 4."""


def test_the_checker_takes_the_fork_by_hand():
    stream = Stream(workloads.fork(), FORK, admitted={0: 0})
    stream.check(is_eager=True, oldest=True)
    assert stream.ends() == {0: 7}
    assert stream.jobs_over_time() == [(7, 1)]


@pytest.mark.parametrize(
    ("row", "change", "message"),
    [
        (2, {"task": 1}, "a task ran twice"),
        (1, {"end": 6}, "takes 3 ticks"),
        (1, {"point": 1}, "no such operating point"),
        (2, {"begin": 3, "end": 6}, "its data are there at 4"),
        (2, {"begin": 5, "end": 8}, "could begin at 4"),
        (2, {"pe": 0}, "2 tasks on a PE with 1 places"),
        (0, {"begin": 1, "end": 3}, "could begin at 0"),
    ],
)
def test_the_checker_refuses(row, change, message):
    rows = [Run(*r) for r in FORK]
    rows[row] = rows[row]._replace(**change)
    with pytest.raises(AssertionError, match=message):
        Stream(workloads.fork(), rows, admitted={0: 0}).check(is_eager=True)


def test_the_checker_refuses_a_task_that_passes_one_of_an_older_job():
    """One PE: both jobs' second tasks have their data at 8."""
    workload = workloads.static("order", [(4,), (3,)], [(0, 1, 0)])
    rows = [[0, 0, 0, 0, 0, 4, 0], [1, 0, 0, 0, 4, 8, 0]]
    rows += [[1, 0, 1, 0, 8, 11, 0], [0, 0, 1, 0, 11, 14, 0]]
    stream = Stream(workload, rows)
    stream.check(is_eager=True)
    with pytest.raises(AssertionError, match="passed"):
        stream.check(oldest=True)


def test_the_checker_refuses_a_pe_that_cannot_run_a_task():
    rows = [[0, 0, 0, 0, 0, 1, 0], [0, 0, 1, 0, 1, 6, 0]]
    with pytest.raises(AssertionError, match="the PE cannot run it"):
        Stream(workloads.masked(), rows).check()
