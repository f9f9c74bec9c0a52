from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rlsched.agents.encoder import HARMONICS, EdgeConv, Features
from rlsched.agents.policy import MASKED, GraphPolicy, TorchPolicy
from rlsched.agents.rollout import Collector, observe
from rlsched.core.graph import ACTION_MASK, NUM_NODES, Feature


def test_messages_carry_the_features_of_their_edges():
    """mean over the two edges into node 0 of relu(x_j + e), by hand."""
    conv = EdgeConv(1, 1, "mean")
    for layer in (conv.source, conv.edge, conv.joined):
        torch.nn.init.ones_(layer.weight)
    for layer in (conv.source, conv.joined):
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.zeros_(conv.own.weight)
    source, target = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)
    edges, features = torch.tensor([[0, 1], [0, 0]]), torch.tensor([[3.0], [-4.0]])
    out = conv((source, target), edges, features)
    assert out.flatten().tolist() == [(4.0 + 0.0) / 2, 0.0]


@pytest.fixture
def scene(small, make):
    """Lanes in the middle of an episode, half of them choosing a node, and a network."""
    scene = make(small)
    Collector(scene.sim, 0).collect(scene.network, 3, 1.0, 0.95)
    return scene


def test_permuting_the_vms_permutes_their_logits_and_nothing_else(scene):
    observation = observe(scene.sim)
    num_vms, num_nodes = scene.sim.sizes["vm"], scene.sim.sizes["numa"]
    num_real = int(observation[NUM_NODES][:, 0].min())
    order = torch.cat([torch.randperm(num_real), torch.arange(num_real, num_vms)])
    place = torch.argsort(order)  # row of the VM that was row i
    place = torch.cat([place, torch.tensor([num_vms])])  # padding edges keep pointing at nothing

    shuffled = dict(observation)
    shuffled["vm"] = observation["vm"][:, order]
    edges = observation["vm__on__numa"].clone()
    edges[..., 0] = place[edges[..., 0].long()].to(edges.dtype)
    shuffled["vm__on__numa"] = edges
    choices = torch.cat([order, torch.arange(num_vms, num_vms + num_nodes + 1)])
    shuffled[ACTION_MASK] = observation[ACTION_MASK][:, choices]

    logits, value = scene.network(observation)
    logits_after, value_after = scene.network(shuffled)
    assert torch.allclose(logits_after, logits[:, choices], atol=1e-5)
    assert torch.allclose(value_after, value, atol=1e-5)


def test_padding_rows_change_no_logit(scene):
    observation = observe(scene.sim)
    V, N = scene.sim.sizes["vm"], scene.sim.sizes["numa"]
    padded = _padded(observation, V, N, extra_vms=5, extra_nodes=3)
    logits, value = scene.network(observation)
    logits_after, value_after = scene.network(padded)
    kept = [*range(V), *range(V + 5, V + 5 + N), V + 5 + N + 3]
    assert torch.allclose(logits_after[:, kept], logits, atol=1e-5)
    assert torch.allclose(value_after, value, atol=1e-5)
    assert (logits_after[:, V : V + 5] == MASKED).all()


def _padded(observation, V: int, N: int, extra_vms: int, extra_nodes: int) -> dict[str, Tensor]:
    out = dict(observation)
    out["vm"] = _more_rows(observation["vm"], extra_vms, 0)
    out["numa"] = _more_rows(observation["numa"], extra_nodes, 0)
    for key, old, new in (
        ("vm__on__numa", (V, N), (V + extra_vms, N + extra_nodes)),
        ("numa__sibling__numa", (N, N), (N + extra_nodes, N + extra_nodes)),
    ):
        edges = observation[key].clone()
        nowhere = edges[..., 1] == old[1]
        edges[nowhere] = torch.tensor(new, dtype=edges.dtype)
        more = torch.tensor(new, dtype=edges.dtype).expand(len(edges), 4, 2)
        out[key] = torch.cat([edges, more], dim=1)
    mask = observation[ACTION_MASK]
    vms, nodes, stop = mask[:, :V], mask[:, V : V + N], mask[:, V + N :]
    out[ACTION_MASK] = torch.cat(
        [_more_rows(vms, extra_vms, 0), _more_rows(nodes, extra_nodes, 0), stop], 1
    )
    return out


def _more_rows(rows: Tensor, num: int, value: float) -> Tensor:
    return torch.cat(
        [rows, torch.full((len(rows), num, *rows.shape[2:]), value, dtype=rows.dtype)], 1
    )


def test_lanes_do_not_see_each_other(scene):
    observation = observe(scene.sim)
    logits, _ = scene.network(observation)
    alone, _ = scene.network({key: x[3:4] for key, x in observation.items()})
    assert torch.allclose(alone[0], logits[3], atol=1e-5)


def test_a_masked_choice_has_probability_zero_and_is_never_sampled(small, make):
    scene = make(small)
    for _ in range(5):
        # The simulator raises IllegalChoice on any masked choice.
        rollout = Collector(scene.sim, 1).collect(scene.network, 40, 1.0, 0.95)
        mask = rollout.observation[ACTION_MASK]
        assert (rollout.logits[~mask] == MASKED).all()
        assert (torch.softmax(rollout.logits, -1)[~mask] == 0).all()
        assert mask[torch.arange(len(mask)), rollout.actions].all()


def test_periodic_features_are_the_scaled_value_and_its_harmonics():
    features = Features(
        (Feature("cores", "core", 8, ""), Feature("fragment", "core", 16, "", 16.0)), ()
    )
    assert features.width == 2 + 2 * len(HARMONICS)
    x, same_residue = features(torch.tensor([[4.0, 3.0], [4.0, 19.0]]), torch.zeros(2, 0))
    assert x[:2].tolist() == [0.5, 3 / 16]
    expected = [math.sin(2 * math.pi * k * 3 / 16) for k in HARMONICS]
    assert x[2:6].tolist() == pytest.approx(expected, abs=1e-6)
    assert x[6].item() == pytest.approx(math.cos(2 * math.pi * 3 / 16), abs=1e-6)
    assert torch.allclose(x[2:], same_residue[2:], atol=1e-5)
    assert x[1] != same_residue[1]


def test_relative_features_are_measured_in_a_feature_of_the_context():
    """30 ticks are 2 per scale 3 where the mean time is 5, and 1 where it is 10."""
    context = (Feature("jobs", "1", 10), Feature("mean_time", "tick", 50))
    features = Features(
        (Feature("time", "tick", 3, per="mean_time"), Feature("count", "1", 2)), context
    )
    raw = torch.tensor([[[30.0, 4.0]], [[30.0, 4.0]]])
    x = features(raw, torch.tensor([[7.0, 5.0], [7.0, 10.0]]))
    assert x.tolist() == [[[2.0, 2.0]], [[1.0, 2.0]]]


def test_squashed_features_grow_by_their_logarithm_beyond_their_scale():
    both = Feature("x", "tick", 10, is_squashed=True), Feature("y", "tick", 10)
    raw = torch.tensor([[5.0, 5.0], [-10.0, -10.0], [10 * math.e, 40.0], [-10 * math.e**2, 0.0]])
    context = (Feature("jobs", "1", 1),)
    seen = Features(both, context)(raw, torch.zeros(4, 1))
    assert seen[:, 0].tolist() == pytest.approx([0.5, -1.0, 2.0, -3.0])
    assert seen[:, 1].tolist() == pytest.approx([0.5, -1.0, 4.0, 0.0])


def test_a_policy_scores_illegal_choices_minus_infinity_and_takes_the_best(scene):
    policy = TorchPolicy(scene.network)
    scores = policy.scores(scene.sim)
    mask = np.asarray(scene.sim.action_mask)
    assert np.isneginf(scores[~mask]).all()
    assert np.isfinite(scores[mask]).all()
    assert (policy.choose(scene.sim) == scores.argmax(axis=1)).all()


def test_a_network_fits_clusters_of_any_size(small, make, scene):
    small.env.num_pms = 9
    larger = make(small)
    logits, value = GraphPolicy.forward(scene.network, observe(larger.sim))
    assert logits.shape == (larger.sim.num_envs, larger.sim.num_choices)
    assert torch.isfinite(value).all()
