"""Facts about generated workloads: reproducible, in range, and of the shape asked for."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsched.core.errors import ConfigError, UnknownName
from rlsched.envs.soc.instances import (
    PRESETS,
    GeneratorConfig,
    Job,
    Workload,
    generate_workload,
    generator_config,
)
from rlsched.envs.soc.layered import layered_dag
from rlsched.envs.soc.workload import topological_order


def workloads_of(name: str, count: int) -> list[Workload]:
    return [generate_workload(generator_config(name), seed) for seed in range(count)]


def ends(job: Job) -> tuple[list[int], list[int]]:
    """Return the tasks without predecessors and those without successors."""
    tasks = range(job.num_tasks)
    targets, sources = {b for _, b, _ in job.edges}, {a for a, _, _ in job.edges}
    return [t for t in tasks if t not in targets], [t for t in tasks if t not in sources]


def depth(size: int, edges: list[tuple[int, int]]) -> int:
    """Return the number of tasks on the longest path."""
    longest = [1] * size
    for a, b in sorted(edges, key=lambda pair: pair[1]):
        longest[b] = max(longest[b], longest[a] + 1)
    return max(longest)


@settings(max_examples=100)
@given(
    name=st.sampled_from(sorted(PRESETS)),
    tasks=st.integers(1, 30),
    pes=st.integers(1, 8),
    more=st.integers(0, 4),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_preset_at_any_size_is_in_range(name, tasks, pes, more, seed):
    config = generator_config(f"{name}-{tasks}x{pes}-{tasks + more}x{pes + more}")
    workload = generate_workload(config, seed)  # Workload checks itself
    assert pes <= workload.num_pes <= pes + more
    assert config.jobs[0] <= len(workload.jobs) <= config.jobs[1]
    for job in workload.jobs:
        assert tasks <= job.num_tasks <= tasks + more
        assert all(a < b for a, b, _ in job.edges)
        assert len(topological_order(job)) == job.num_tasks
        if config.is_closed:
            assert ends(job) == ([0], [job.num_tasks - 1])


@pytest.mark.parametrize("name", PRESETS)
def test_the_same_seed_is_the_same_workload_and_another_seed_is_not(name):
    first, again, other = (generate_workload(PRESETS[name], seed) for seed in (7, 7, 8))
    assert first == again
    assert replace(first, name="") != replace(other, name="")
    assert first.name == f"{name}-7"


def test_the_global_random_state_plays_no_part():
    np.random.seed(1)  # noqa: NPY002
    first = generate_workload(PRESETS["mix"], 0)
    np.random.seed(2)  # noqa: NPY002
    assert generate_workload(PRESETS["mix"], 0) == first


def test_sizes_are_drawn_from_the_whole_range():
    found = workloads_of("layered-2x5-4x6", 60)
    assert {workload.jobs[0].num_tasks for workload in found} == {2, 3, 4}
    assert {workload.num_pes for workload in found} == {5, 6}


def test_top_like_jobs_have_the_size_and_numbers_of_top():
    found = workloads_of("top_like", 100)
    assert {len(workload.jobs[0].edges) for workload in found} == {12, 13, 14, 15}
    times = {t for workload in found for row in workload.soc.times.values() for t in row}
    volumes = {v for workload in found for _, _, v in workload.jobs[0].edges}
    assert times == set(range(5, 22))
    assert volumes == set(range(9, 28))
    assert found[0].num_pes == 3
    assert found[0].jobs[0].num_tasks == 10


def test_a_mix_is_3_to_6_jobs_of_8_to_16_tasks_of_common_types():
    found = workloads_of("mix", 60)
    assert {len(workload.jobs) for workload in found} == {3, 4, 5, 6}
    assert {job.num_tasks for workload in found for job in workload.jobs} == set(range(8, 17))
    assert {len(workload.soc.times) for workload in found} == set(range(12, 21))
    types = Counter(kind for job in found[0].jobs for kind in set(job.tasks))
    assert max(types.values()) > 1


def test_layered_tasks_have_types_of_their_own():
    (workload,) = workloads_of("layered", 1)
    assert len(set(workload.jobs[0].tasks)) == workload.jobs[0].num_tasks


def test_heterogeneity_bounds_how_far_times_differ():
    config = replace(PRESETS["layered"], times=(1000, 1000), heterogeneity=(0.5, 0.5))
    times = np.array(list(generate_workload(config, 0).soc.times.values()))
    assert 750 <= times.min() < 800
    assert 1200 < times.max() <= 1250
    same = generate_workload(replace(config, heterogeneity=(0.0, 0.0)), 0)
    assert set(same.soc.times.values()) == {(1000,) * 4}


@pytest.mark.parametrize("bandwidth", [1.0, 4.0])
@pytest.mark.parametrize("ccr", [0.1, 5.0])
def test_communication_takes_its_share_of_computation(ccr, bandwidth):
    config = replace(
        generator_config("layered-400x4"), ccr=(ccr, ccr), bandwidth=(bandwidth, bandwidth)
    )
    workload = generate_workload(config, 0)
    comm = np.mean([volume / bandwidth for _, _, volume in workload.jobs[0].edges])
    assert comm / workload.times(workload.jobs[0]).mean() == pytest.approx(ccr, rel=0.1)


def test_accelerators_run_some_types_fast_and_others_not_at_all():
    accelerated, tried = 0, 0
    for workload in workloads_of("accelerators", 30):
        rows = list(workload.soc.times.values())
        accelerators = [p for p, pe in enumerate(workload.soc.pes) if pe.kind == "ACC"]
        assert 1 <= len(accelerators) <= 3
        assert accelerators[-1] == workload.num_pes - 1
        assert not any(workload.soc.pes[p].leaks for p in accelerators)
        assert all(min(row[: accelerators[0]]) > 0 for row in rows)
        tried += len(rows) * len(accelerators)
        accelerated += sum(row[p] >= 0 for row in rows for p in accelerators)
        assert all(row[p] <= max(row[: accelerators[0]]) for row in rows for p in accelerators)
    assert accelerated / tried == pytest.approx(0.3, abs=0.04)


def test_partly_supported_types_have_a_pe_each():
    config = replace(PRESETS["layered"], tasks=(200, 200), support=0.3)
    times = np.array(list(generate_workload(config, 0).soc.times.values()))
    assert (times > 0).any(axis=1).all()
    assert (times > 0).mean() == pytest.approx(0.3 + 0.7 / 4, abs=0.05)
    alone = generate_workload(replace(config, support=0.0), 0)
    assert {sum(t > 0 for t in row) for row in alone.soc.times.values()} == {1}


def test_bandwidth_and_startup_are_the_same_both_ways():
    config = replace(PRESETS["mix"], bandwidth=(1.0, 9.0), startup=(1, 5), capacity=(2, 3))
    soc = generate_workload(config, 0).soc
    bandwidth, startup = np.array(soc.bandwidth), np.array(soc.startup)
    np.testing.assert_array_equal(bandwidth, bandwidth.T)
    np.testing.assert_array_equal(startup, startup.T)
    assert set(np.diag(bandwidth)) == {math.inf}
    assert set(np.diag(startup)) == {0}
    off = ~np.eye(len(soc.pes), dtype=bool)
    assert 1 <= bandwidth[off].min() < bandwidth[off].max() <= 9
    assert set(startup[off]) <= set(range(1, 6))
    assert {pe.capacity for pe in soc.pes} <= {2, 3}


@pytest.mark.parametrize(("shape", "levels"), [(0.5, 20), (1.0, 10), (2.0, 5)])
def test_shape_is_broad_above_1_and_long_below(shape, levels):
    """A job of 100 tasks has sqrt(100) / shape levels."""
    edges = layered_dag(np.random.default_rng(0), 100, shape, 150, 100, True)
    assert depth(100, edges) == levels


@given(
    size=st.integers(1, 40),
    shape=st.floats(0.1, 10),
    wanted=st.integers(0, 2000),
    span=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_open_dags_have_the_edges_asked_for_within_their_span(size, shape, wanted, span, seed):
    edges = layered_dag(np.random.default_rng(seed), size, shape, wanted, span, False)
    level = [0] * size
    for a, b in sorted(edges, key=lambda pair: pair[1]):
        level[b] = max(level[b], level[a] + 1)
    possible = sum(0 < x - y <= span for x in level for y in level)
    least = sum(number > 0 for number in level)
    assert all(0 < level[b] - level[a] <= span for a, b in edges)
    assert len(set(edges)) == len(edges) == min(max(wanted, least), possible)


def test_a_size_replaces_the_presets_and_nothing_else():
    config = generator_config("layered-6x5-10x8")
    assert config == replace(PRESETS["layered"], name="layered-6x5-10x8", tasks=(6, 10), pes=(5, 8))
    assert generator_config("mix-20x3").tasks == (20, 20)
    assert generator_config("mix") is PRESETS["mix"]


def test_unknown_presets_are_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match=r"Unknown generator 'layerd'\. Did you mean 'layered'"):
        generator_config("layerd-10x3")


@pytest.mark.parametrize("name", ["mix-10", "mix-axb", "mix-", "mix-2x2-3x3-4x4"])
def test_sizes_that_cannot_be_read_are_refused(name):
    with pytest.raises(ConfigError, match=r"give a size as mix-10x5 \(tasks x pes\)"):
        generator_config(name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tasks": (0, 3)}, r"tasks\[0\] = 0; allowed: 1 to 2000"),
        ({"tasks": (4, 3)}, r"tasks\[1\] = 3; allowed: 4 to 2000"),
        ({"pes": (1, 65)}, r"pes\[1\] = 65"),
        ({"jobs": (1,)}, r"give \(lowest, highest\)"),
        ({"shape": (0.0, 1.0)}, r"shape\[0\] = 0.0; allowed: 0.05 to 20"),
        ({"out_degree": (-1.0, 1.0)}, r"out_degree\[0\] = -1.0"),
        ({"span": 0}, "span = 0; allowed: 1 to"),
        ({"types": (0, 1)}, r"types\[0\] = 0"),
        ({"times": (0, 9)}, r"times\[0\] = 0; allowed: 1 to"),
        ({"heterogeneity": (0.0, 2.5)}, r"heterogeneity\[1\] = 2.5; allowed: 0 to 2"),
        ({"support": 1.5}, "support = 1.5; allowed: 0 to 1"),
        ({"accelerators": (-1, 0)}, r"accelerators\[0\] = -1"),
        ({"accelerated": -0.1}, "accelerated = -0.1"),
        ({"acceleration": (0.5, 1.0)}, r"acceleration\[0\] = 0.5; allowed: 1 to"),
        ({"capacity": (1, 17)}, r"capacity\[1\] = 17"),
        ({"ccr": (0.0, 1.0)}, r"ccr\[0\] = 0.0; allowed: 0.001 to"),
        ({"volumes": (3, 2)}, r"volumes\[1\] = 2"),
        ({"bandwidth": (0.0, 1.0)}, r"bandwidth\[0\] = 0.0"),
        ({"startup": (-1, 0)}, r"startup\[0\] = -1"),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        replace(GeneratorConfig("mine"), **change)


def test_clusters_are_slow_and_fast_and_their_accelerators_run_the_long_types():
    """Over many systems: most types are short, slow PEs are slow for all, 3 x at most."""
    short, ratios, lengths = [], [], {True: [], False: []}
    for seed in range(60):
        workload = generate_workload(generator_config("clusters"), seed)
        pes = workload.soc.pes
        cores = [p for p, pe in enumerate(pes) if pe.kind == "CPU"]
        times = np.array(list(workload.soc.times.values()))[:, cores].astype(float)
        for row, at in zip(times, workload.soc.times.values(), strict=True):
            least = row[row >= 0].min()
            short.append(least < 100)
            for p in set(range(len(pes))) - set(cores):
                lengths[at[p] >= 0].append(least)
        known = (times > 20).all(axis=1)
        if len(cores) > 1 and known.sum() > 2:
            speeds = np.median(times[known] / times[known].min(axis=1, keepdims=True), axis=0)
            ratios.append(speeds.max() / speeds.min())
    assert 0.5 < np.mean(short) < 0.9
    assert 1.4 < np.mean(ratios) < 3
    assert np.mean(lengths[True]) > 2 * np.mean(lengths[False])
