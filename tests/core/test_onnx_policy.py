"""Facts about exported policies: what is refused, and that masks hold."""

from __future__ import annotations

import numpy as np
import pytest

from rlsched.core.errors import CheckpointError
from rlsched.core.onnx_policy import GRAPH_KEY, OnnxPolicy
from rlsched.envs.vmr.instances import generate_cluster, generator_config
from rlsched.envs.vmr.observation import GRAPH
from rlsched.envs.vmr.simulator import VMRSimulator

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def write_model(path, graph_json: str | None, outputs=("logits", "value")):
    """Write a model that gives every choice logit 0, legal or not."""
    helper, tensor = onnx.helper, onnx.TensorProto
    mask = helper.make_tensor_value_info("action_mask", tensor.BOOL, ["B", "A"])
    context = helper.make_tensor_value_info("context", tensor.FLOAT, ["B", "C"])
    nodes = [
        helper.make_node("Cast", ["action_mask"], ["ones"], to=tensor.FLOAT),
        helper.make_node("Sub", ["ones", "ones"], [outputs[0]]),
        helper.make_node("ReduceMax", ["context"], [outputs[1]], keepdims=0, axes=[1]),
    ]
    made = [
        helper.make_tensor_value_info(outputs[0], tensor.FLOAT, ["B", "A"]),
        helper.make_tensor_value_info(outputs[1], tensor.FLOAT, ["B"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [context, mask], made),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    if graph_json is not None:
        helper.set_model_props(model, {GRAPH_KEY: graph_json})
    onnx.save_model(model, str(path))
    return path


@pytest.fixture
def sim() -> VMRSimulator:
    out = VMRSimulator([generate_cluster(generator_config("small"), 1)], 2, migration_limit=3)
    out.reset(seed=0)
    return out


def test_scores_are_log_probabilities_of_the_legal_choices(tmp_path, sim):
    policy = OnnxPolicy(write_model(tmp_path / "uniform.onnx", GRAPH.to_json()))
    scores = policy.scores(sim)
    assert (np.isfinite(scores) == sim.action_mask).all()
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    assert policy.name == "uniform"


def test_an_exported_policy_plays_whole_episodes(tmp_path, sim):
    OnnxPolicy(write_model(tmp_path / "uniform.onnx", GRAPH.to_json())).play(sim)
    assert sim.terminated.all()


def test_a_missing_an_empty_and_a_corrupted_file_are_refused(tmp_path):
    good = write_model(tmp_path / "good.onnx", GRAPH.to_json()).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "empty.onnx").touch()
    for name, reason in (
        ("none", "no such file"),
        ("empty", "0 bytes"),
        ("cut", "corrupted"),
        ("text", "corrupted"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            OnnxPolicy(tmp_path / f"{name}.onnx")


@pytest.mark.parametrize("graph_json", [None, "{", '{"nodes": 3}'])
def test_a_foreign_onnx_model_is_refused(tmp_path, graph_json):
    with pytest.raises(CheckpointError, match="no policy of rlsched"):
        OnnxPolicy(write_model(tmp_path / "foreign.onnx", graph_json))


def test_a_model_with_other_outputs_is_refused(tmp_path):
    path = write_model(tmp_path / "other.onnx", GRAPH.to_json(), outputs=("policy", "value"))
    with pytest.raises(CheckpointError, match="outputs"):
        OnnxPolicy(path)


def test_a_policy_of_another_graph_version_is_refused_when_it_is_used(tmp_path, sim):
    older = GRAPH.to_json().replace(f'"version": {GRAPH.version}', '"version": 0')
    policy = OnnxPolicy(write_model(tmp_path / "older.onnx", older))
    with pytest.raises(CheckpointError, match="vmr/0"):
        policy.scores(sim)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("rlsched.core.onnx_policy.MAX_BYTES", 10)
    with pytest.raises(CheckpointError, match="allowed: 1 to 10"):
        OnnxPolicy(write_model(tmp_path / "large.onnx", GRAPH.to_json()))
