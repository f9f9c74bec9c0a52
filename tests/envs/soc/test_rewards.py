"""What rewards sum to, figures of the field, and energy, by hand and on random play."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import workloads
from hypothesis import given, settings
from hypothesis import strategies as st
from soc_plays import BANK, follow, play_out, ruled, small, started, static, streaming

from rlsched.core.errors import ConfigError
from rlsched.envs.soc.power import leakage_w, power_table
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.workload import Pe, Workload

TEN = {"arrivals": "fixed", "scale": "4", "num_jobs": 4, "queue": 2}
"""With one task of 10 ticks on one PE: ends at 10, 20, 30, 40, see test_arrivals."""


def two_tasks() -> Workload:
    """Return a task of 4 ticks and two of 6 that need it, on one PE: 16 ticks, 10 at best."""
    return workloads.static("two", [(4,), (6,), (6,)], [(0, 1, 0), (0, 2, 0)])


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reward", "earned"),
    [
        # The first choice comes at 4; both are in the system until 16: 12 ticks of one job.
        ("simple", -12 / 10),
        # The critical path is 4 + 6; from 10 on the job is late.
        ("bound", -6 / 10),
        ("makespan", -12),
        ("duration", -12 / 1e4),
        ("completion", -12 / 2 + 50),
    ],
)
def test_rewards_by_hand(reward, earned):
    sim = streaming(two_tasks(), reward=reward)
    assert sim.state.clock[0] == 4
    assert sum(follow(sim, [1])) == pytest.approx(earned)
    assert sim.terminated[0]


def test_duration_reward_is_the_jobs_time_over_the_jobs_that_are_done():
    """Source: DeepSoCS. Three jobs of 4 ticks come at 0 to one PE: 12 ticks at 0 or 1 done, etc."""
    workload = workloads.static("four", [(4,)])
    sim = streaming(workload, num_jobs=3, queue=3, fill=True, reward="duration")
    assert follow(sim, [0, 1])[-1] == pytest.approx(-(4 * 3 + 4 * 2 / 1 + 4 * 1 / 2) / 1e4)


def test_a_wait_that_counts_is_paid_for_as_the_job_is_let_in():
    """Jobs of 10 ticks at 0, 4, 8, 12, two at once: time in the system 10 + 16 + 22 + 28."""
    sim = streaming(workloads.static("ten", [(10, 10)]), admission="queue", **TEN)
    before = int(sim.state.time_in_system[0])
    total, _ = play_out(sim)
    assert total == pytest.approx(-(sim.state.latency[0] - before) / (10 * 2))


# --- sums -----------------------------------------------------------------------------------------

OPTIONS = {
    "preset": st.sampled_from(("layered", "mix", "top_like", "accelerators")),
    "seed": st.integers(0, 2**20),
    "noise": st.sampled_from(("0", "0.3")),
    "admission": st.sampled_from(("defer", "queue", "drop")),
    "comm": st.sampled_from(("pe", "memory")),
    "defer": st.booleans(),
    "fill": st.booleans(),
    "queue": st.integers(1, 4),
}


@settings(max_examples=100)
@given(**OPTIONS)
def test_simple_rewards_sum_to_minus_the_time_in_the_system_and_that_is_all_latencies(
    preset, seed, **options
):
    """Little's law; what had passed before the first choice is no reward."""
    sim = streaming(small(preset, seed), num_jobs=6, scale="15", observe=False, **options)
    before = int(sim.state.time_in_system[0])
    total, stream = play_out(sim, seed)
    s, unit = sim.state, float(sim.host_work.unit[0])
    spent = -total * unit * sim.sizes["job"]
    assert spent == pytest.approx(s.time_in_system[0] - before, rel=1e-4, abs=1e-2)
    assert s.time_in_system[0] == s.latency[0] == s.latencies[0].sum()
    done = int(s.num_counted[0])
    assert len(stream.ends()) == done
    figures = sim.metrics()
    in_system = s.time_in_system[0] / max(1, s.clock[0])
    littles = figures["throughput"][0] / 1000 * figures["latency"][0]
    assert littles == pytest.approx(in_system)


@settings(max_examples=100)
@given(**OPTIONS)
def test_bound_rewards_sum_to_minus_the_ticks_beyond_critical_paths(preset, seed, **options):
    """Whatever had to be before the first choice is no reward."""
    options |= {"num_jobs": 6, "scale": "15", "observe": False, "reward": "bound"}
    sim = streaming(small(preset, seed), **options)
    unit = float(sim.host_work.unit[0])
    before = beyond(sim) - float(sim.state.paid[0]) * unit
    total, _ = play_out(sim, seed)
    assert total * unit == pytest.approx(before - beyond(sim), rel=1e-4, abs=1e-2)


def beyond(sim: SocSimulator) -> int:
    """Return the ticks by which the jobs that have left exceeded their critical paths."""
    inside = set(sim.state.slot_job[0].tolist())
    kinds = {job: kind for job, kind, *_ in sim.executions().tolist() if job not in inside}
    paths = sum(int(sim.host_work.critical_path[0, kind]) for kind in kinds.values())
    return int(sim.state.latency[0]) - paths


@settings(max_examples=60)
@given(preset=OPTIONS["preset"], seed=OPTIONS["seed"], noise=OPTIONS["noise"])
def test_static_rewards_sum_to_minus_the_excess_of_the_makespan(preset, seed, noise):
    """``simple`` and ``bound`` are the same there."""
    for reward in ("simple", "bound"):
        sim = static(small(preset, seed), noise=noise, reward=reward, observe=False)
        if sim.terminated[0]:
            continue
        path, unit = sim.host_work.critical_path[0, 0], float(sim.host_work.unit[0])
        before = path - float(sim.state.paid[0]) * unit
        total, _ = play_out(sim, seed)
        found = before - sim.metrics()["makespan"][0]
        assert total * unit == pytest.approx(found, rel=1e-4, abs=1e-2)


def test_elapsed_sums_to_the_clock_over_the_critical_path():
    sim, total = streaming(*BANK, num_jobs=4, queue=2), np.zeros(len(BANK))
    before = sim.state.clock.copy()
    while not sim.terminated.all():
        sim.step(sim.action_mask.argmax(axis=1).astype(np.int32))
        total += sim.elapsed
    unit = sim.host_work.unit[sim.state.instance]
    np.testing.assert_allclose(total * unit, sim.state.clock - before, rtol=1e-4, atol=1e-3)


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["streaming", "static"])
def test_latency_never_comes_without_throughput(mode):
    sim = started(workloads.topcuoglu(), mode=mode)
    assert {"latency", "throughput", "num_jobs", "makespan"} <= sim.metrics().keys()
    assert next(iter(sim.metrics())) == sim.metric


def test_quantiles_are_those_of_every_latency():
    sim = ruled(streaming(*BANK, num_jobs=25, queue=4, scale="10"), "etf")
    figures = sim.metrics()
    for lane in range(sim.num_envs):
        latencies = sim.state.latencies[lane]
        assert len(latencies) == figures["num_jobs"][lane] == 25
        assert figures["latency"][lane] == pytest.approx(latencies.mean())
        assert figures["p95"][lane] == pytest.approx(np.quantile(latencies, 0.95))
        assert figures["p99"][lane] == pytest.approx(np.quantile(latencies, 0.99))


# --- energy ---------------------------------------------------------------------------------------

POINTS = ((500, 800), (1000, 1000))


def powered() -> Workload:
    """Return a task of 10 ticks on P1 only, then one of 5 on P2 only, data there at once.

    P1 has two points and 2 W at the higher one; P2 is an accelerator of 0.5 W without leakage.
    """
    workload = workloads.static("powered", [(10, -1), (-1, 5)], [(0, 1, 0)])
    pes = (Pe("P1", opps=POINTS, power=(2.0,)), Pe("P2", "ACC", power=(0.5,), leaks=False))
    return replace(workload, soc=replace(workload.soc, pes=pes))


def test_leakage_of_a_core_at_1_volt_and_42_degrees():
    """1 V x (0.002488 x 315^2 x exp(-2660 / 315) + 0.000519) W, as DS3: 53.5 mW."""
    assert leakage_w(1.0) == pytest.approx(0.0535, abs=5e-4)


def test_power_at_a_lower_point():
    """Half the frequency, 0.8 of the voltage: 0.5 x 0.8^2 = 0.32 of the dynamic power."""
    table = power_table(Pe("P", opps=POINTS, power=(2.0,)))
    low, high = leakage_w(0.8), leakage_w(1.0)
    np.testing.assert_allclose(table, [[low, high], [low + 0.32 * (2 - high), 2.0]])
    np.testing.assert_allclose(
        power_table(Pe("P", capacity=2, power=(1.0, 1.5), leaks=False)), [[0], [1], [1.5]]
    )


@pytest.mark.parametrize("mode", ["streaming", "static"])
def test_energy_by_hand(mode):
    """P1 works 10 ticks and rests 5, leaking; P2 rests for nothing and works 5."""
    sim = started(powered(), mode=mode, length=0, num_jobs=1, fill=False)
    figures = sim.metrics()
    assert figures["idle_energy"][0] == pytest.approx(5 * leakage_w(1.0))
    assert figures["energy"][0] == pytest.approx(10 * 2 + 5 * 0.5 + 5 * leakage_w(1.0))
    assert figures["edp"][0] == pytest.approx(figures["energy"][0] * 15)


@pytest.mark.parametrize(("dvfs", "choices"), [("powersave", []), ("600", []), ("choose", [0])])
def test_energy_at_the_lower_point(dvfs, choices):
    """P1 works 20 ticks at half the frequency, then rests 5 at the voltage it was set to."""
    sim = streaming(powered(), dvfs=dvfs)
    first = sim.sizes["task"] + sim.sizes["pe"]
    follow(sim, [first + point for point in choices])
    assert sim.executions()[:, 4:].tolist() == [[0, 20, 0], [20, 25, 0]]
    busy = power_table(sim.workload_of().soc.pes[0])[1, 0]
    idle = 5 * leakage_w(0.8)
    assert sim.metrics()["idle_energy"][0] == pytest.approx(idle)
    assert sim.metrics()["energy"][0] == pytest.approx(20 * busy + 5 * 0.5 + idle)


@pytest.mark.parametrize("reward", ["makespan", "simple", "bound"])
@pytest.mark.parametrize("point", [0, 1])
def test_energy_with_a_weight_is_taken_off_the_reward(reward, point):
    """A critical path, 15 ticks, of 2 + 0.5 W, the power of both PEs at work, costs the weight."""
    plain, weighted = (
        streaming(powered(), dvfs="choose", reward=reward, energy_weight=weight)
        for weight in (0.0, 3.0)
    )
    first = plain.sizes["task"] + plain.sizes["pe"]
    without, earned = (sum(follow(sim, [first + point])) for sim in (plain, weighted))
    energy = weighted.metrics()["energy"][0]
    assert earned == pytest.approx(without - 3 * energy / (15 * 2.5))


def test_energy_with_a_weight_is_taken_off_the_reward_of_a_plan():
    """Where one DAG is planned too; the lower point takes longer and less energy."""
    rewards, energies = [], []
    for point in (0, 1):
        sim = static(powered(), dvfs="choose", energy_weight=3.0)
        first = sim.sizes["task"] + sim.sizes["pe"]
        rewards.append(sum(follow(sim, [first + point])))
        energies.append(sim.metrics()["energy"][0])
    assert energies[0] < energies[1]
    slower = -10 / 15  # 25 ticks instead of 15
    saved = 3 * (energies[1] - energies[0]) / (15 * 2.5)
    assert rewards[0] - rewards[1] == pytest.approx(slower + saved)


def test_a_system_without_power_has_no_energy_to_weigh():
    workload = workloads.fork()
    pes = tuple(replace(pe, power=(0.0,) * pe.capacity, leaks=False) for pe in workload.soc.pes)
    none = replace(workload, soc=replace(workload.soc, pes=pes))
    with pytest.raises(ConfigError, match=r"no PE takes power; give them power, or use energy_w"):
        streaming(none, energy_weight=1.0)


def test_energy_of_a_cluster_is_that_of_as_many_tasks_as_run():
    """Three tasks of 4 ticks on a PE for two: 4 ticks with two at 1.5 W, 4 with one at 1 W."""
    workload = workloads.static("cluster", [(4,)] * 3, capacity=[2])
    pes = (Pe("P1", capacity=2, power=(1.0, 1.5), leaks=False),)
    sim = streaming(replace(workload, soc=replace(workload.soc, pes=pes)))
    follow(sim, [0, 1])
    assert sim.metrics()["energy"][0] == pytest.approx(4 * 1.5 + 4 * 1.0)
    assert sim.metrics()["utilization"][0] == pytest.approx(12 / (2 * 8))
