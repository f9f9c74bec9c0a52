"""Facts about the VM-rescheduling simulator, one hand-worked episode first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checker import check_plan
from clusters import make_cluster, random_cluster, worked_example
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import of_lane

from rlsched.core.errors import ConfigError, IllegalChoice, InstanceError
from rlsched.core.lanes import num_threads, set_num_threads
from rlsched.envs.vmr.instances import BOTH, AntiAffinitySet, Migration, load_instances
from rlsched.envs.vmr.simulator import VMRSimulator, random_choice
from rlsched.testing import assert_same_state, check_simulator, play_random, random_legal

BANK = [
    random_cluster(s, 4 + s % 3, constrained=s % 2 == 1, binding_memory=s == 2) for s in range(6)
]


def started(*clusters, num_envs=1, **options) -> VMRSimulator:
    sim = VMRSimulator(clusters, num_envs, **options)
    sim.reset(instances=[lane % len(clusters) for lane in range(num_envs)])
    return sim


def move(sim: VMRSimulator, vm: int, pm: int, numa: int) -> None:
    """Make one migration in every lane."""
    for choice in sim.choices_of(0, Migration(vm, pm, numa)):
        sim.step(np.full(sim.num_envs, choice))


def play_moves(sim: VMRSimulator, rounds: int, seed: int = 0):
    """Random legal choices without STOP; yield after every step."""
    for event in range(rounds):
        mask = sim.action_mask.copy()
        mask[:, -1] = ~mask[:, :-1].any(axis=1)
        sim.step(random_legal(mask, seed, event))
        yield


# --- a hand-worked episode -----------------------------------------------------------------------


def test_hand_worked_episode():
    """Free cores 20, 16 | 12, 16: rate 1 - 48/64. VM 3 goes to node 0: 16, 16 | 16, 16, rate 0.

    Then the double VM 2 to PM 0: 8, 8 | 24, 24, rate 1 - 32/64; the limit of two moves ends it.
    """
    sim = started(worked_example(), migration_limit=2)
    seen, s = sim.observation(), sim.state
    assert s.free[0].tolist() == [20, 16, 12, 16]
    assert s.free_mem_mb[0].tolist() == [56 * 1024, 48 * 1024, 48 * 1024, 56 * 1024]
    assert s.rate[0] == 0.25
    assert seen["vm"][0].tolist() == [
        [4, 8, 0, 1, 0, 0, 8, 24],
        [8, 16, 0, 1, 0, 0, 8, 24],
        [8, 8, 1, 1, 0, -16, 12, 44],
        [4, 8, 0, 1, 0, -16, 0, 16],
    ]
    assert seen["numa"][0].tolist() == [
        [20, 4, 56, 24, 1, 2, 0, 0, 0],
        [16, 0, 48, 24, 1, 2, 0, 0, 0],
        [12, 12, 48, 24, 1, 2, 0, 0, 0],
        [16, 0, 56, 24, 1, 2, 0, 0, 0],
    ]
    assert seen["vm__on__numa"][0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 2], [2, 3]]
    assert seen["numa__sibling__numa"][0].tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]
    assert seen["context"][0].tolist() == [0, 2, 1, 0.25, 16, 0, 0, 0]
    assert seen["num_nodes"][0].tolist() == [4, 4]
    assert seen["action_mask"][0].tolist() == [True] * 4 + [False] * 4 + [True]

    sim.step([3])
    assert seen["action_mask"][0].tolist() == [False] * 4 + [True, True, False, True, False]
    assert seen["numa"][0, :, 6:].tolist() == [[1, 0, 0], [1, 16, 12], [0, 0, 0], [1, 16, 12]]
    assert seen["context"][0].tolist() == [1, 2, 1, 0.25, 16, 4, 0, -16]
    assert (sim.reward[0], sim.terminated[0], s.chosen[0], s.moves[0]) == (0, False, 3, 0)

    sim.step([4])
    assert s.free[0].tolist() == [16, 16, 16, 16]
    assert (s.vm_pm[0].tolist(), s.vm_numa[0].tolist()) == ([0, 0, 1, 0], [0, 1, 2, 0])
    assert s.pm_vms[0].tolist() == [3, 1]
    assert (s.rate[0], s.moves[0], s.moved[0], s.touched[0].tolist()) == (0, 1, 3, [1, 0])
    assert (sim.reward[0], sim.terminated[0]) == (1, False)
    assert seen["vm"][0, :, 5:].tolist() == [[0, 4, 20], [0, 8, 24], [0, 16, 48], [0, 4, 20]]
    assert seen["numa"][0].tolist() == [
        [16, 0, 48, 24, 1, 3, 0, 0, 0],
        [16, 0, 48, 24, 1, 3, 0, 0, 0],
        [16, 0, 56, 24, 1, 1, 0, 0, 0],
        [16, 0, 56, 24, 1, 1, 0, 0, 0],
    ]
    assert seen["vm__on__numa"][0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 0], [2, 3]]
    assert seen["context"][0].tolist() == [0, 1, 0.5, 0, 16, 0, 0, 0]

    sim.step([2])
    assert seen["action_mask"][0].tolist() == [False] * 4 + [True, False, False, False, False]
    assert seen["numa"][0, 0, 6:].tolist() == [1, 32, 8]

    sim.step([4])
    assert s.free[0].tolist() == [8, 8, 24, 24]
    assert (sim.reward[0], sim.terminated[0], s.rate[0]) == (-2, True, 0.5)
    assert seen["action_mask"][0].tolist() == [False] * 8 + [True]
    assert {name: value[0] for name, value in sim.metrics().items()} == {
        "fragment_rate": 0.5,
        "fragment_rate_before": 0.25,
        "num_migrations": 2,
    }


def test_published_reward_of_the_hand_worked_move_is_16_of_128_cores():
    sim = started(worked_example(), migration_limit=2, reward="vm2rl")
    move(sim, 3, 0, 0)
    assert sim.reward[0] == 16 / 128


def test_a_move_between_the_nodes_of_one_pm_is_a_migration():
    sim = started(worked_example(), migration_limit=5)
    move(sim, 0, 0, 1)
    assert sim.state.free[0].tolist() == [24, 12, 12, 16]
    assert sim.cluster().vm_numa.tolist() == [1, 1, 2, 0]
    assert sim.state.moves[0] == 1


# --- the promises of every simulator -------------------------------------------------------------


def expected_return(sim: VMRSimulator) -> np.ndarray:
    rows, c, m = sim.state.instance, sim.host_clusters, sim.metrics()
    gain = m["fragment_rate_before"] - m["fragment_rate"]
    if sim.reward_name == "vm2rl":
        return gain * c.free_total[rows] / 128
    reach = c.migration_limit[rows] * 16 / c.free_total[rows]
    return gain / np.minimum(reach, c.start_rate[rows])


@pytest.mark.parametrize("reward", ["simple", "vm2rl"])
def test_promises_of_the_base_class_and_the_sum_of_rewards(reward):
    check_simulator(
        lambda num: VMRSimulator(BANK, num, migration_limit=5, reward=reward),
        expected_return=expected_return,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "0.7*fr16+0.3*fr64d", "goal": 0.3},
        {"objective": "fr64d+mem64", "reward": "vm2rl"},
        {"objective": "empty", "observe": True, "migration_limit": 0.1},
    ],
)
def test_promises_of_the_base_class_under_other_options(options):
    check_simulator(lambda num: VMRSimulator(BANK, num, **{"migration_limit": 7, **options}))


def test_results_do_not_depend_on_threads():
    states, before = [], num_threads()
    try:
        for threads in (1, 4):
            set_num_threads(threads)
            sim = VMRSimulator(BANK, 200, migration_limit=9)
            sim.reset(seed=4)
            choice = np.zeros(200, np.int32)
            for _ in range(20):
                random_choice(200, sim.state, 4, choice)
                sim.step(choice)
            states.append(sim.state)
    finally:
        set_num_threads(before)
    assert_same_state(*states)


def test_reset_draws_every_instance_and_counts_episodes():
    sim = VMRSimulator(BANK, 64)
    sim.reset(seed=0)
    first = sim.state.instance.copy()
    assert set(first.tolist()) == set(range(len(BANK)))
    sim.reset()
    assert (sim.state.instance != first).any()
    sim.reset(seed=0)
    assert (sim.state.instance == first).all()


def test_the_same_instance_in_a_lane_meets_the_same_random_numbers():
    sim = VMRSimulator(BANK, 2)
    sim.reset(instances=[3, 1])
    stream = sim.state.stream.copy()
    sim.reset(seed=None, instances=[3, 1])
    assert (sim.state.stream == stream).all()


# --- what is legal -------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", BANK, ids=lambda c: c.name)
def test_masks_equal_brute_force_over_all_pairs_at_every_step(cluster):
    sim = started(cluster, migration_limit=60)
    V = sim.sizes["vm"]
    for _ in play_moves(sim, 121):
        now = of_lane(sim, 0)
        legal, mask = now.reference.legal(), sim.action_mask[0]
        assert np.flatnonzero(sim.state.vm_legal[0]).tolist() == sorted(legal)
        if sim.terminated[0]:
            assert np.flatnonzero(mask).tolist() == [len(mask) - 1]
        elif now.chosen < 0:
            assert np.flatnonzero(mask).tolist() == [*sorted(legal), len(mask) - 1]
        else:
            assert (np.flatnonzero(mask) - V).tolist() == legal[now.chosen]
        assert sim.state.rate[0] == pytest.approx(now.reference.rate(), abs=1e-12)


def test_the_bank_exercises_every_constraint():
    """Else the brute force above would prove little."""
    reasons = set()
    from checker import data_centre

    for cluster in BANK:
        centre = data_centre(cluster)
        for name, vm in centre.vms.items():
            for host in centre.hosts:
                nodes = [(0, 1)] if len(vm.nodes) == 2 else [(0,), (1,)]
                reasons |= {centre.refusal(name, host, k).replace(name, "") for k in nodes}
    texts = " ".join(reasons)
    for rule in ("pinned", "not active", "cores", "memory", "on that host", "in that rack"):
        assert rule in texts


def test_a_cluster_with_no_legal_move_only_stops():
    full = make_cluster([(8, 64), (8, 64)], [(p, k, 8, 8) for p in (0, 1) for k in (0, 1)])
    sim = started(full)
    assert np.flatnonzero(sim.action_mask[0]).tolist() == [sim.num_choices - 1]
    assert sim.state.rate[0] == 0


def test_pinned_vms_and_inactive_hosts_stay_as_they_are():
    cluster = make_cluster(
        [(24, 64)] * 3,
        [(0, 0, 4, 8), (1, 0, 4, 8), (2, 0, 4, 8)],
        pinned=(0,),
        inactive=(2,),
    )
    sim = started(cluster)
    assert sim.state.vm_legal[0].tolist() == [False, True, False]
    sim.step([1])
    assert np.flatnonzero(sim.action_mask[0]).tolist() == [3, 4, 6]


def test_host_and_rack_sets_forbid_company():
    cluster = make_cluster(
        [(24, 64)] * 4,
        [(0, 0, 4, 8), (1, 0, 4, 8), (2, 0, 4, 8)],
        racks=[0, 0, 1, 1],
        sets=(AntiAffinitySet("host", (0, 1)), AntiAffinitySet("rack", (0, 2))),
    )
    sim = started(cluster)
    sim.step([0])
    assert np.flatnonzero(sim.action_mask[0, 3:]).tolist() == [1]  # own PM's other node
    sim = started(cluster)
    sim.step([2])
    assert np.flatnonzero(sim.action_mask[0, 3:]).tolist() == [5, 6, 7]  # not into rack 0


def test_memory_alone_can_forbid_a_target():
    cluster = make_cluster([(24, 16), (24, 8)], [(0, 0, 4, 9), (1, 0, 1, 1)])
    sim = started(cluster)
    sim.step([0])
    assert np.flatnonzero(sim.action_mask[0, 2:]).tolist() == [1]


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    num_pms=st.integers(2, 6),
    fill=st.floats(0.3, 0.9),
    constrained=st.booleans(),
    binding_memory=st.booleans(),
    limit=st.integers(1, 30),
    luck=st.integers(0, 2**31),
)
def test_random_legal_play_satisfies_the_independent_checker(
    seed, num_pms, fill, constrained, binding_memory, limit, luck
):
    cluster = random_cluster(
        seed, num_pms, fill, constrained=constrained, binding_memory=binding_memory
    )
    sim, plan = started(cluster, migration_limit=limit), []
    while not sim.terminated[0]:
        chosen = sim.state.chosen[0]
        choice = random_legal(sim.action_mask, luck, 2 * len(plan) + int(chosen >= 0))
        if chosen >= 0:
            pm, node = divmod(int(choice[0]) - sim.sizes["vm"], 2)
            plan.append(Migration(int(chosen), pm, BOTH if cluster.vm_numa[chosen] == 2 else node))
        sim.step(choice)
    rate = check_plan(cluster, plan, limit)
    assert sim.metrics()["fragment_rate"][0] == pytest.approx(rate, abs=1e-12)
    assert sim.cluster().migrate([]).vm_pm.tolist() == cluster.migrate(plan).vm_pm.tolist()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            [2, 4],
            r"lane 1 chose node 4; legal: \[0, 1, 2, 3, 8\]\. Use observation\['action_mask'\]",
        ),
        ([-1, 0], r"lane 0 chose node -1"),
        ([9, 0], r"lane 0 chose node 9"),
        ([0], r"choice has shape \(1,\); expected \(2,\)"),
    ],
)
def test_an_illegal_choice_is_refused_before_anything_moves(choice, message):
    sim = started(worked_example(), num_envs=2)
    before = sim.fingerprint()
    with pytest.raises(IllegalChoice, match=message):
        sim.step(choice)
    assert (sim.fingerprint() == before).all()


# --- how an episode ends -------------------------------------------------------------------------


def test_stop_ends_the_episode_where_it_is():
    sim = started(worked_example())
    sim.step([sim.num_choices - 1])
    assert sim.terminated[0]
    assert sim.reward[0] == 0
    assert sim.metrics()["fragment_rate"][0] == 0.25
    assert sim.metrics()["num_migrations"][0] == 0


def test_stop_is_not_offered_between_a_vm_and_its_node():
    sim = started(worked_example())
    sim.step([0])
    assert not sim.action_mask[0, -1]


def test_the_limit_is_a_number_a_share_or_one_per_instance():
    clusters = [worked_example(), random_cluster(0)]
    share = VMRSimulator(clusters, migration_limit=0.3).limits
    assert share == [2, int(np.ceil(0.3 * clusters[1].num_vms))]
    assert VMRSimulator(clusters, migration_limit=[3, 4]).limits == [3, 4]
    sim = started(worked_example(), migration_limit=3)
    for _ in play_moves(sim, 6):
        pass
    assert sim.terminated[0]
    assert sim.state.moves[0] == 3


def test_a_limit_of_zero_ends_at_once():
    assert started(worked_example(), migration_limit=0).terminated[0]


def test_goal_ends_the_episode_and_counts_its_migrations():
    sim = started(worked_example(), migration_limit=4, goal=0.1, num_envs=2)
    assert sim.metric == "migrations_to_goal"
    for choice in ([3, 0], [4, 6]):
        sim.step(choice)
    assert sim.terminated.tolist() == [True, False]
    assert sim.metrics()["migrations_to_goal"].tolist() == [1, 5]
    haste = 1 - 0.5 * 1 / 4
    assert sim.reward[0] == pytest.approx(0.25 / (0.25 - 0.1) * haste)


def test_a_cluster_already_at_the_goal_needs_no_migration():
    sim = started(worked_example(), goal=0.25)
    assert sim.terminated[0]
    assert sim.metrics()["migrations_to_goal"][0] == 0


# --- twins, permutations, copies -----------------------------------------------------------------


def test_fingerprint_ignores_the_order_of_independent_moves():
    first, second = (started(worked_example()) for _ in range(2))
    for sim, plan in ((first, [(3, 0, 0), (1, 1, 1)]), (second, [(1, 1, 1), (3, 0, 0)])):
        for vm, pm, numa in plan:
            move(sim, vm, pm, numa)
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != started(worked_example()).fingerprint()


def test_fingerprint_counts_moves_made():
    sim = started(worked_example())
    start = sim.fingerprint()
    move(sim, 3, 0, 0)
    move(sim, 3, 1, 0)
    assert sim.cluster().vm_pm.tolist() == worked_example().vm_pm.tolist()
    assert sim.fingerprint() != start


TWINS = [(0, 0, 4, 8), (0, 0, 4, 8), (1, 0, 4, 8)]


@pytest.mark.parametrize(
    ("constraint", "equal"),
    [({}, True), ({"pinned": (2,)}, True), ({"sets": (AntiAffinitySet("host", (1, 2)),)}, False)],
)
def test_fingerprint_of_interchangeable_twins_is_equal(constraint, equal):
    cluster = make_cluster([(24, 64)] * 3, TWINS, **constraint)
    prints = []
    for vm in (0, 1):
        sim = started(cluster)
        sim.step([vm])
        chosen = sim.fingerprint()[0]
        sim.step([sim.sizes["vm"] + 4])
        prints.append((chosen, sim.fingerprint()[0]))
    assert (prints[0][0] == prints[1][0]) == equal
    assert (prints[0][1] == prints[1][1]) == equal


def test_fingerprint_tells_all_placements_of_a_small_cluster_apart():
    cluster = make_cluster([(24, 64)] * 3, [(0, 0, 4, 8), (1, 0, 8, 8), (2, 1, 2, 2)])
    prints = set()
    for a in range(6):
        for b in range(6):
            for c in range(6):
                pm, numa = np.array([a, b, c]) // 2, np.array([a, b, c]) % 2
                placed = replace(cluster, vm_pm=pm.astype("i4"), vm_numa=numa.astype("i4"))
                prints.add(int(started(placed).fingerprint()[0]))
    assert len(prints) == 6**3


def test_fork_makes_lanes_that_go_their_own_ways():
    sim = started(worked_example(), num_envs=3)
    sim.step([3, 0, 1])
    sim.fork([0, 0, 2])
    assert sim.state.chosen.tolist() == [3, 3, 1]
    sim.step([4, 5, 7])
    assert sim.state.rate[[0, 1]].tolist() == [0, 0.25]
    alone = started(worked_example())
    move(alone, 3, 0, 1)
    assert_same_state(alone.state, type(sim.state)(*(a[1:2] for a in sim.state)))


def test_like_gives_unset_lanes_over_the_same_bank():
    sim = started(*BANK, num_envs=2, migration_limit=4, objective="fr64d")
    twin = sim.like(5)
    assert twin.num_envs == 5
    assert twin.terminated.all()
    assert twin.clusters is sim.clusters
    twin.reset(instances=[0, 1, 2, 3, 4])
    assert twin.metrics()["fragment_rate"][0] == sim.metrics()["fragment_rate"][0]
    play_random(twin, rounds=4)
    assert (sim.state.moves == 0).all()


def test_lanes_of_different_sizes_play_as_they_would_alone():
    mixed = started(*BANK, num_envs=len(BANK), migration_limit=20)
    alone = [started(cluster, migration_limit=20) for cluster in BANK]
    for event in range(40):
        choices = np.zeros(len(BANK), np.int32)
        for lane, sim in enumerate(alone):
            choice = random_legal(sim.action_mask, lane, event)
            V = sim.sizes["vm"]
            is_node = V <= choice[0] < V + sim.sizes["numa"]
            choices[lane] = choice[0] + (mixed.sizes["vm"] - V) * is_node
            if choice[0] == sim.num_choices - 1:
                choices[lane] = mixed.num_choices - 1
            sim.step(choice)
        mixed.step(choices)
        assert mixed.reward.tolist() == [float(sim.reward[0]) for sim in alone]
        assert mixed.state.rate.tolist() == [float(sim.state.rate[0]) for sim in alone]


# --- options, speed of starting, data ------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "big"}, "reward='big'; allowed: simple, vm2rl"),
        ({"num_envs": 0}, "num_envs=0; must be >= 1"),
        ({"device": "tpu"}, "device='tpu'; allowed: cpu, cuda"),
        ({"goal": 1.5}, r"goal=1.5; give a rate in \[0, 1\]"),
        ({"objective": "fr"}, "Objective 'fr'"),
        ({"migration_limit": -1}, "migration_limit=-1; give one number >= 0"),
        (
            {"migration_limit": [1, 2]},
            r"migration_limit=\[1, 2\]; give one number >= 0, or one per",
        ),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        VMRSimulator([worked_example()], **options)


def test_an_empty_bank_and_unknown_rows_are_refused():
    with pytest.raises(InstanceError, match="bank is empty"):
        VMRSimulator([])
    for rows in ([1], [-1], [0, 0]):
        with pytest.raises(InstanceError, match=r"give 1 rows in \[0, 1\)"):
            VMRSimulator([worked_example()]).reset(instances=rows)


SECOND_START = """
import sys; sys.path.insert(0, "tests/envs/vmr")
from clusters import worked_example
from rlsched.core import simulator as core
from rlsched.envs.vmr import simulator as vmr
sim = vmr.VMRSimulator([worked_example()], 2)
sim.reset(seed=0)
sim.step([3, 3])
for lanes in (vmr.start, vmr.step, core.check_choice):
    stats = lanes._loop.stats
    print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_a_second_start_compiles_nothing(run_python):
    run_python("-c", SECOND_START)
    assert run_python("-c", SECOND_START).split() == ["1", "0"] * 3


def test_the_debuggers_way_gives_the_same_episode(run_python):
    """``NUMBA_DISABLE_JIT=1`` steps through the lane functions as written."""
    code = SECOND_START.split("for lanes")[0] + "print(sim.fingerprint().tolist())"
    assert run_python("-c", code, NUMBA_DISABLE_JIT="1") == run_python("-c", code)


def test_public_medium_snapshot_in_the_simulator(data):
    """279 PMs, 2,089 VMs at FR16 0.977 (counted from the file); random play obeys the checker."""
    path = data / "vmr" / "bytedance" / "reset_vm_pm_id_clear2.json.gz"
    _check_snapshot(path, 0.977)


def test_public_snapshot_with_sets_and_pinned_vms_in_the_simulator(data):
    """The raw form: 288 anti-affinity sets, 134 pinned VMs, one PM out of service."""
    path = data / "vmr" / "bytedance" / "json_stream_c1_2022-03-28_32c.json.gz"
    _check_snapshot(path, 0.977)


def _check_snapshot(path, rate):
    import gzip
    import json

    document = json.loads(gzip.decompress(path.read_bytes()))
    (cluster,) = load_instances(path)
    sim, plan = started(cluster, migration_limit=50), []
    assert sim.state.rate[0] == pytest.approx(rate, abs=5e-4)
    for _ in play_moves(sim, 100):
        if sim.state.moved[0] >= 0:
            vm = int(sim.state.moved[0])
            pm, numa = int(sim.state.vm_pm[0, vm]), int(sim.state.vm_numa[0, vm])
            plan.append((cluster.vm_ids[vm], cluster.pm_ids[pm], numa))
    assert len(plan) == 50
    assert check_plan(document, plan, limit=50) == pytest.approx(sim.state.rate[0], abs=1e-12)
