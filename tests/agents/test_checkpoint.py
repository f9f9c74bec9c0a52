from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rlsched.agents.checkpoint import (
    TRAINER,
    WEIGHTS,
    load_checkpoint,
    load_policy,
    load_tensors,
    save_checkpoint,
    save_tensors,
)
from rlsched.agents.rollout import observe
from rlsched.core.errors import CheckpointError


@pytest.fixture
def saved(small, make, tmp_path):
    """Return (folder, scene) of a checkpoint just written."""
    scene = make(small)
    save_checkpoint(
        tmp_path, scene.network, small.env, {"steps": 12, "validation_fragment_rate": 0.5}
    )
    return tmp_path, scene


def rewrite(folder, **changes: str) -> None:
    """Replace entries of a checkpoint's metadata."""
    path = folder / WEIGHTS
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata() | changes
    save_file(tensors, path, metadata)


def test_a_checkpoint_gives_back_network_and_what_it_was_made_for(saved, small):
    folder, scene = saved
    network, info = load_checkpoint(folder)
    theirs = network.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in scene.network.state_dict().items())
    assert info.graph.to_json() == scene.sim.graph.to_json()
    assert info.agent == small.agent
    assert info.env["num_pms"] == small.env.num_pms
    assert info.figures == {"steps": 12.0, "validation_fragment_rate": 0.5}
    observation = observe(scene.sim)
    assert torch.equal(network(observation)[0], scene.network.eval()(observation)[0])


def test_an_infinite_option_comes_back_as_it_was(small, make, tmp_path):
    env = replace(small.env, goal=math.inf)
    save_checkpoint(tmp_path, make(small).network, env, {})
    assert type(env)(**load_checkpoint(tmp_path)[1].env) == env


def test_a_checkpoint_loads_as_a_policy_that_plays(saved):
    folder, scene = saved
    scene.sim.reset(seed=0)
    load_policy(folder).play(scene.sim)
    assert scene.sim.terminated.all()


def test_a_checkpoint_is_one_safetensors_file_without_pickle(saved, monkeypatch):
    folder, _ = saved

    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    assert [p.name for p in folder.iterdir()] == [WEIGHTS]
    load_checkpoint(folder)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"nowhere.*there is no such checkpoint file; give a folder"
    ):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(saved, kept):
    folder, _ = saved
    path = folder / WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "content", [b"\x80\x04K\x01.", b"{}", b"\xff" * 64], ids=["pickle", "json", "noise"]
)
def test_another_kind_of_file_is_refused(saved, content):
    folder, _ = saved
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(folder)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    save_file({"w": torch.zeros(2)}, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match="it was not written by rlsched"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("key", ["graph", "agent"])
@pytest.mark.parametrize("value", ["", "{", "[]", "null", '{"unknown": 1}'])
def test_an_inconsistent_graph_or_agent_is_refused(saved, key, value):
    folder, _ = saved
    rewrite(folder, **{key: value})
    with pytest.raises(CheckpointError, match="the checkpoint is inconsistent"):
        load_checkpoint(folder)


@pytest.mark.parametrize("key", ["env", "figures"])
def test_unreadable_options_or_figures_are_refused(saved, key):
    folder, _ = saved
    rewrite(folder, **{key: "{"})
    with pytest.raises(CheckpointError, match="the checkpoint is inconsistent"):
        load_checkpoint(folder)


def test_weights_of_another_size_of_network_are_refused(saved, small):
    folder, _ = saved
    rewrite(folder, agent=json.dumps(vars(small.agent) | {"hidden": 9}))
    with pytest.raises(CheckpointError, match="the checkpoint is inconsistent"):
        load_checkpoint(folder)


def test_a_checkpoint_of_another_graph_version_says_what_to_do(saved):
    folder, scene = saved
    graph = scene.sim.graph
    text = graph.to_json().replace(f'"version": {graph.version}', f'"version": {graph.version + 1}')
    rewrite(folder, graph=text)
    _, info = load_checkpoint(folder)  # loads: only who has a simulator can tell
    with pytest.raises(
        CheckpointError, match=r"graph schema vmr/\d+, this build has vmr/\d+; retrain"
    ):
        graph.check_schema(info.graph.to_json(), str(folder))


def test_a_failed_write_leaves_the_checkpoint_before_it(saved, monkeypatch):
    folder, scene = saved

    def half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("rlsched.agents.checkpoint.save_file", half)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(folder, scene.network, {}, {})
    load_checkpoint(folder)


def test_tensors_and_metadata_come_back_as_written(tmp_path):
    tensors = {"a": torch.arange(3.0), "b": torch.zeros(0)}
    save_tensors(tmp_path / "x" / TRAINER, tensors, {"k": "v"})
    loaded, metadata = load_tensors(tmp_path / "x" / TRAINER)
    assert metadata == {"k": "v"}
    assert all(torch.equal(loaded[k], v) for k, v in tensors.items())
