"""An exported policy scores systems of any size as the network does, operating points or not."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxruntime")

import torch

from rlsched.agents.checkpoint import save_checkpoint
from rlsched.agents.export import TOLERANCE, export
from rlsched.agents.policy import GraphPolicy
from rlsched.config.schema import AgentConfig
from rlsched.core.registry import problem


@pytest.mark.parametrize("mode", ["static", "streaming"])
def test_a_fresh_network_is_exported_as_it_is(mode, tmp_path):
    soc = problem("soc")
    config = soc.config(mode=mode)
    sized = [soc.make(c, 1, seed=0).sizes for c in soc.sizes(config)]
    assert {size["opp"] for size in sized} == {1, 8}
    torch.manual_seed(0)
    network = GraphPolicy(soc.make(config, 1).graph, AgentConfig(hidden=8, layers=1))
    save_checkpoint(tmp_path, network, config, {})
    parity = export(tmp_path, tmp_path / "policy.onnx")
    assert parity.holds
    assert max(parity.logit_difference) <= TOLERANCE
