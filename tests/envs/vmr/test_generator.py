"""Facts about generated clusters: valid, reproducible, on target, and as fragmented as asked."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlsched.core.errors import ConfigError, UnknownName
from rlsched.envs.vmr import generator
from rlsched.envs.vmr.instances import (
    BOTH,
    GENERATORS,
    Cluster,
    Flavor,
    GeneratorConfig,
    generate_cluster,
    generator_config,
)
from rlsched.envs.vmr.objectives import parse_objective


def assert_sets_hold(cluster: Cluster) -> None:
    for group in cluster.anti_affinity:
        place = cluster.vm_pm[list(group.vms)]
        if group.granularity == "rack":
            place = cluster.pm_rack[place]
        assert len(set(place.tolist())) == len(group.vms)


def mean_rate(config: GeneratorConfig, seeds: int = 20) -> float:
    fr16 = parse_objective("fr16")
    return float(np.mean([fr16.rate(generate_cluster(config, seed)) for seed in range(seeds)]))


shares = st.floats(0, 1)
ranges = st.tuples(shares, shares).map(lambda pair: (min(pair), max(pair)))


@settings(max_examples=60, deadline=None)
@given(
    config=st.builds(
        GeneratorConfig,
        num_pms=st.integers(1, 30),
        utilization=st.floats(0.05, 0.97),
        churn=ranges,
        scatter=ranges,
        num_racks=st.integers(1, 40),
        anti_affinity_share=shares,
        rack_set_share=shares,
        pinned_share=shares,
    ),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_cluster_is_valid_on_target_and_keeps_its_sets(config, seed):
    cluster = generate_cluster(config, seed).validate()
    target = config.utilization * 88 * config.num_pms
    assert target - 3 < cluster.utilization * 88 * config.num_pms < target + 1e-6
    assert_sets_hold(cluster)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_preset_makes_a_valid_cluster(name):
    config = generator_config(name)
    cluster = generate_cluster(config, 1).validate()
    assert config.name == name
    assert cluster.name == f"{name}-1"
    assert cluster.num_pms == config.num_pms
    assert cluster.utilization == pytest.approx(config.utilization, abs=2e-3)
    assert_sets_hold(cluster)


def test_the_same_seed_is_the_same_cluster_and_another_seed_is_not():
    config = generator_config("small-constrained")
    a, b, c = (generate_cluster(config, seed) for seed in (7, 7, 8))
    for field in fields(Cluster):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))
    assert a.num_vms != c.num_vms or (a.vm_pm != c.vm_pm).any()


def test_compiled_placement_equals_the_plain_python(monkeypatch):
    config = replace(generator_config("small"), num_pms=6)
    compiled = [generate_cluster(config, seed) for seed in range(3)]
    monkeypatch.setattr(generator, "_place", getattr(generator._place, "py_func", generator._place))
    monkeypatch.setattr(
        generator, "_find_node", getattr(generator._find_node, "py_func", generator._find_node)
    )
    for seed, cluster in enumerate(compiled):
        plain = generate_cluster(config, seed)
        np.testing.assert_array_equal(cluster.vm_pm, plain.vm_pm)
        np.testing.assert_array_equal(cluster.vm_numa, plain.vm_numa)


def test_medium_clusters_have_the_snapshots_size_and_mix():
    """The snapshot: 2,089 VMs, 13.9 % double, 94.3 % of the cores in use."""
    bank = [generate_cluster(generator_config("medium"), seed) for seed in range(20)]
    assert np.mean([c.num_vms for c in bank]) == pytest.approx(2089, rel=0.05)
    assert np.mean([(c.vm_numa == BOTH).mean() for c in bank]) == pytest.approx(0.139, abs=0.01)


def test_medium_clusters_start_between_30_and_65_percent_fragments():
    fr16 = parse_objective("fr16")
    config = generator_config("medium")
    rates = [fr16.rate(generate_cluster(config, seed)) for seed in range(60)]
    assert 0.25 < np.quantile(rates, 0.1) < 0.40
    assert 0.52 < np.quantile(rates, 0.9) < 0.68


def test_a_shuffled_placement_is_as_fragmented_as_the_authors():
    """Their shuffled Medium mapping has FR16 0.598."""
    assert mean_rate(generator_config("medium-shuffled")) == pytest.approx(0.598, abs=0.05)


def test_more_scatter_is_more_fragments():
    config = generator_config("medium")
    rates = [mean_rate(replace(config, scatter=(s, s)), 8) for s in (0.0, 0.5, 1.0)]
    assert rates[0] < rates[1] < rates[2]


@pytest.mark.parametrize(
    ("name", "idle", "below_90"),
    [("medium-low", 0.35, 0.95), ("medium-mid", 0.07, 0.70), ("medium-high", 0.0, 0.30)],
)
def test_workload_levels_load_the_pms_as_in_the_paper(name, idle, below_90):
    """Shares of PMs that use at most 20 % and at most 90 % of their cores, read off a figure."""
    bank = [generate_cluster(generator_config(name), seed) for seed in range(5)]
    load = np.concatenate([1 - c.free_cores.sum(axis=1) / 88 for c in bank])
    assert (load <= 0.2).mean() == pytest.approx(idle, abs=0.05)
    assert (load <= 0.9).mean() == pytest.approx(below_90, abs=0.05)


def test_constraint_shares_are_met():
    cluster = generate_cluster(generator_config("medium-constrained"), 3)
    members = [vm for group in cluster.anti_affinity for vm in group.vms]
    assert len(members) == len(set(members))
    assert len(members) / cluster.num_vms == pytest.approx(0.5, abs=0.02)
    assert (~cluster.vm_movable).mean() == pytest.approx(0.06, abs=0.02)
    assert {group.granularity for group in cluster.anti_affinity} == {"host", "rack"}
    assert all(2 <= len(group.vms) <= 10 for group in cluster.anti_affinity)


def test_racks_are_contiguous_and_of_nearly_equal_size():
    cluster = generate_cluster(generator_config("small"), 0)
    assert cluster.pm_rack.tolist() == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_pms": 0}, "num_pms = 0; allowed: 1 to"),
        ({"utilization": 1.2}, "utilization = 1.2; allowed: 0.01 to 0.99"),
        ({"churn": (0.5, 0.2)}, r"churn\[0\] = 0.5; allowed: 0 to 0.2"),
        ({"scatter": (0.0, 2.0)}, r"scatter\[1\] = 2.0"),
        ({"pinned_share": -0.1}, "pinned_share = -0.1"),
        ({"flavors": ()}, "flavors is empty"),
        ({"flavors": (Flavor(45, False, 1, 1.0),)}, "must have a weight > 0 and fit an empty node"),
        ({"flavors": (Flavor(4, False, 1, 0.0),)}, "must have a weight > 0"),
    ],
)
def test_impossible_settings_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        replace(generator_config("small"), **change)


def test_a_mix_that_cannot_fill_the_gaps_is_refused():
    """Two 16-core VMs leave 12 of 44 cores of a node idle, so 73 % is the most."""
    config = replace(generator_config("small"), flavors=(Flavor(16, False, 32768, 1.0),))
    with pytest.raises(ConfigError, match=r"utilization 0.943 is out of reach.*lower utilization"):
        generate_cluster(config, 0)


def test_unknown_presets_are_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="Did you mean 'medium'"):
        generator_config("medum")
