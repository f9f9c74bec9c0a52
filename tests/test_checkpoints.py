"""Every shipped policy can be loaded, fits its environment, and says how it was made."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("torch")

from rlsched.agents.checkpoint import load_checkpoint
from rlsched.core.onnx_policy import OnnxPolicy
from rlsched.evaluation.curve import read_runs

FOLDERS = sorted(p.parent for p in Path(__file__).parents[1].glob("checkpoints/**/card.md"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: "/".join(p.parts[-2:]))
def test_a_shipped_policy_fits_the_graph_of_its_environment(folder):
    network, info = load_checkpoint(folder)
    graph = import_module(f"rlsched.envs.{info.env['name']}.observation").GRAPH
    graph.check_schema(network.graph.to_json(), str(folder))
    pytest.importorskip("onnxruntime")
    assert b".py" not in (folder / "policy.onnx").read_bytes()
    graph.check_schema(OnnxPolicy(folder / "policy.onnx")._graph, str(folder))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: "/".join(p.parts[-2:]))
def test_its_card_counts_its_parameters_and_its_curve_is_beside_it(folder):
    network, _ = load_checkpoint(folder)
    card = (folder / "card.md").read_text()
    assert f"{sum(p.numel() for p in network.parameters()):,} parameters" in card
    assert "python -m rlsched.train" in card
    assert len(read_runs([folder / "curve.csv"])) >= 2
    assert (folder / "curve.png").stat().st_size > 1000
    assert (folder / "config.yaml").is_file()
