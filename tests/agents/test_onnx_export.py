"""The exported policy scores and decides as the network does."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rlsched.core.onnx_policy")
pytest.importorskip("onnxruntime")

from rlsched.agents.checkpoint import save_checkpoint
from rlsched.agents.export import TOLERANCE, export
from rlsched.agents.policy import TorchPolicy
from rlsched.agents.ppo import ReferencePhase
from rlsched.core.onnx_policy import OnnxPolicy


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Hold what is exported once for the module: tracing takes seconds."""
    return {"folder": tmp_path_factory.mktemp("onnx")}


@pytest.fixture
def pair(exported, small, make):
    """Return (network, its ONNX policy, parity) after a few updates."""
    if "parity" not in exported:
        scene = make(small)
        phase = ReferencePhase(scene.network, scene.sim, small.trainer, 0)
        for _ in range(3):
            phase.iterate()
        save_checkpoint(exported["folder"], scene.network, small.env, {})
        exported["network"] = scene.network.eval()
        exported["parity"] = export(exported["folder"], exported["folder"] / "policy.onnx")
    return exported["network"], OnnxPolicy(exported["folder"] / "policy.onnx"), exported["parity"]


def test_onnx_equals_torch_on_three_sizes_and_over_whole_episodes(pair):
    parity = pair[2]
    assert parity.holds
    assert len(parity.sizes) == 3
    assert sorted(set(parity.sizes)) == list(parity.sizes)
    assert max(parity.logit_difference) <= TOLERANCE
    assert all(count > 0 for count in parity.choices)


def test_the_file_names_no_path_of_the_machine(pair, exported):
    content = (exported["folder"] / "policy.onnx").read_bytes()
    assert b"rlsched/agents" not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize("num_envs", [1, 3])
def test_onnx_scores_any_number_of_lanes_and_any_size(num_envs, pair, small, make):
    network, onnx_policy, _ = pair
    small.env.num_pms, small.trainer.num_envs = 11, num_envs
    sim = make(small).sim
    sim.reset(seed=5)
    ours, theirs = TorchPolicy(network).scores(sim), onnx_policy.scores(sim)
    legal = np.array(sim.action_mask)
    assert np.abs(ours[legal] - theirs[legal]).max() <= TOLERANCE
    assert np.isneginf(theirs[~legal]).all()
