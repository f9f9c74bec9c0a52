"""Facts about dispatch: a file in, a legal plan with the file's own ids out."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from checker import check_plan
from clusters import make_cluster

from rlsched.core.errors import ConfigError, InstanceError, UnknownName
from rlsched.envs.vmr.dispatch import check_plan as replay_check
from rlsched.envs.vmr.dispatch import dispatch, records
from rlsched.envs.vmr.instances import (
    Migration,
    generate_cluster,
    generator_config,
    write_clusters,
)
from rlsched.envs.vmr.problem import VMRConfig

PATH_KEYS = {"vm", "from_pm", "from_numa", "to_pm", "to_numa"}


@pytest.fixture
def snapshot(tmp_path):
    path = tmp_path / "cluster.json.gz"
    write_clusters(path, [generate_cluster(generator_config("small-constrained"), 7)])
    return path


def checked_rate(path, plan, limit=None) -> float:
    """Replay a plan on the raw document, each move from where the plan says the VM is."""
    document = json.loads(gzip.decompress(path.read_bytes()))
    where = {
        str(v["instance_id"]): (str(v["host_id"]), sorted(n["node"] for n in v["numa"]))
        for entry in document["cluster_list"]
        for v in entry["vm_instance"]
    }
    nodes = {0: [0], 1: [1], "both": [0, 1]}
    for move in plan["migrations"]:
        assert set(move) == PATH_KEYS
        assert where[move["vm"]] == (move["from_pm"], nodes[move["from_numa"]])
        where[move["vm"]] = (move["to_pm"], nodes[move["to_numa"]])
    moves = [
        (m["vm"], m["to_pm"], 2 if m["to_numa"] == "both" else m["to_numa"])
        for m in plan["migrations"]
    ]
    return check_plan(document, moves, limit)


@pytest.mark.parametrize("policy", [None, "ha", "alpha_vbpp", "potential:beam_8", "random"])
def test_a_plan_without_budget_is_the_policys_own_and_legal(snapshot, policy):
    plan = dispatch(VMRConfig(), policy, snapshot, limit=6)
    assert checked_rate(snapshot, plan, limit=6) == pytest.approx(plan["fragment_rate_after"])
    assert plan["fragment_rate_after"] <= plan["fragment_rate_before"]
    assert plan == json.loads(json.dumps(plan))
    assert plan["found_by"] in ((policy or "potential"), "start")


def test_the_portfolio_is_never_worse_than_its_parts(snapshot):
    parts = [dispatch(VMRConfig(), p, snapshot, 6) for p in ("ha", "potential:beam_8")]
    plan = dispatch(VMRConfig(), "ha", snapshot, 6, budget_s=2.0)
    assert checked_rate(snapshot, plan, limit=6) == pytest.approx(plan["fragment_rate_after"])
    best = min(part["fragment_rate_after"] for part in parts)
    assert plan["fragment_rate_after"] <= best + 1e-12


def test_the_curve_only_improves_and_ends_at_the_plan(snapshot):
    plan = dispatch(VMRConfig(), None, snapshot, 6, budget_s=1.0)
    rates = [point["fragment_rate"] for point in plan["curve"]]
    seconds = [point["seconds"] for point in plan["curve"]]
    assert rates[0] == plan["fragment_rate_before"]
    assert rates[-1] == plan["fragment_rate_after"]
    assert rates == sorted(rates, reverse=True)
    assert seconds == sorted(seconds)
    assert plan["curve"][-1]["found_by"] == plan["found_by"]


def test_the_portfolio_proves_a_small_plan_optimal_and_stops_early(snapshot):
    pytest.importorskip("ortools")
    plan = dispatch(VMRConfig(), None, snapshot, 2, budget_s=60.0)
    assert plan["bound"] == pytest.approx(plan["fragment_rate_after"])
    assert plan["seconds"] < 30


def test_the_portfolio_works_without_or_tools(snapshot, monkeypatch):
    monkeypatch.setattr("rlsched.envs.vmr.dispatch.find_spec", lambda name: None)
    plan = dispatch(VMRConfig(), None, snapshot, 4, budget_s=0.5)
    assert plan["bound"] is None
    assert plan["found_by"].startswith("potential")
    assert checked_rate(snapshot, plan, 4) == pytest.approx(plan["fragment_rate_after"])


def test_the_limit_comes_from_the_options_where_none_is_given(snapshot):
    plan = dispatch(VMRConfig(migration_limit=1), "best_pair", snapshot)
    assert len(plan["migrations"]) == 1


def test_a_goal_is_met_with_few_moves(snapshot):
    whole = dispatch(VMRConfig(), None, snapshot, 8)
    goal = (whole["fragment_rate_before"] + whole["fragment_rate_after"]) / 2
    plan = dispatch(VMRConfig(goal=goal), None, snapshot, 8, budget_s=1.0)
    assert plan["fragment_rate_after"] <= goal
    assert len(plan["migrations"]) <= len(whole["migrations"])


def test_a_vm_that_moves_twice_leaves_from_where_it_then_is():
    cluster = make_cluster(pms=[(16, 64)] * 3, vms=[(0, 0, 4, 4), (1, 2, 4, 4)])
    out = records(cluster, [Migration(0, 1, 1), Migration(0, 2, 0), Migration(1, 2, 2)])
    assert [(m["from_pm"], m["from_numa"]) for m in out] == [
        ("pm0", 0),
        ("pm1", 1),
        ("pm1", "both"),
    ]
    assert out[2]["to_numa"] == "both"


def test_an_illegal_plan_is_never_returned():
    cluster = make_cluster(pms=[(16, 64)] * 2, vms=[(0, 0, 4, 4), (1, 0, 16, 4)])
    with pytest.raises(AssertionError, match="not enough free cores"):
        replay_check(cluster, [Migration(0, 1, 0)], 5)
    with pytest.raises(AssertionError, match="limit is 0"):
        replay_check(cluster, [Migration(0, 1, 1)], 0)


def test_unknown_policies_searches_and_files_of_several_clusters_are_refused(tmp_path, snapshot):
    with pytest.raises(UnknownName, match="Did you mean 'potential'"):
        dispatch(VMRConfig(), "potentail", snapshot, 3)
    with pytest.raises(ConfigError, match="beam_<width>"):
        dispatch(VMRConfig(), "potential:beem_3", snapshot, 3)
    two = tmp_path / "two.json"
    clusters = [generate_cluster(generator_config("small"), seed) for seed in (1, 2)]
    write_clusters(two, clusters)
    with pytest.raises(InstanceError, match=r"merge|twice"):
        dispatch(VMRConfig(merge_clusters=False), None, two, 3)


def test_dispatch_imports_neither_torch_nor_ray(snapshot, run_python):
    code = (
        "import sys; from rlsched.core.registry import problem; p = problem('vmr');"
        f"p.dispatch(p.config(), None, {str(snapshot)!r}, 3, 0.2);"
        "print([m for m in ('torch', 'ray') if m in sys.modules])"
    )
    assert run_python("-c", code).strip() == "[]"


def test_the_public_medium_snapshot_is_rescheduled_to_its_optimum(data):
    """Rate .977 as found; .575 is proven optimal for 50 migrations."""
    pytest.importorskip("ortools")
    path = data / "vmr" / "bytedance" / "reset_vm_pm_id_clear2.json.gz"
    plan = dispatch(VMRConfig(), None, path, 50, budget_s=20.0)
    assert checked_rate(path, plan, 50) == pytest.approx(plan["fragment_rate_after"])
    assert plan["fragment_rate_before"] == pytest.approx(0.977, abs=5e-4)
    assert np.round(plan["fragment_rate_after"], 4) == 0.5753
