from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rlsched.core.errors import ConfigError, UnknownName

tune = pytest.importorskip("rlsched.agents.tune")


def test_a_list_is_drawn_from_and_a_range_is_sampled(config):
    assert set(tune.domain(config, "trainer.clip", [0.1, 0.3]).categories) == {0.1, 0.3}
    lr = tune.domain(config, "trainer.lr", {"low": 1e-4, "high": 1e-2, "log": True})
    assert all(1e-4 <= lr.sample() <= 1e-2 for _ in range(20))
    gamma = tune.domain(config, "trainer.gamma", {"low": 0.5, "high": 1.0})
    assert all(0.5 <= gamma.sample() <= 1.0 for _ in range(20))
    layers = tune.domain(config, "agent.layers", {"low": 1, "high": 2})
    assert {layers.sample() for _ in range(50)} == {1, 2}


@pytest.mark.parametrize(
    ("key", "spec", "error", "words"),
    [
        ("trainer.ls", [1e-3], UnknownName, r"trainer\.ls.*Did you mean 'trainer\.lr'"),
        ("trainer", [1], UnknownName, "Unknown sweep.space setting 'trainer'"),
        ("seed.x", [1], UnknownName, "Unknown sweep.space setting 'seed.x'"),
        ("trainer.lr", 1e-3, ConfigError, "give a list of values, or"),
        ("trainer.lr", [], ConfigError, "give a list of values, or"),
        ("trainer.lr", {"low": 1e-3}, ConfigError, "give a list of values, or"),
        ("trainer.lr", {"low": 1e-3, "high": 1e-4}, ConfigError, "low must be below high"),
        ("trainer.lr", {"low": 0, "high": 1e-4, "log": True}, ConfigError, "above 0 for log"),
        ("trainer.clip", [0.2, -1.0], ConfigError, r"trainer\.clip=-1.0; must be > 0"),
        ("agent.aggr", ["sum", "median"], UnknownName, "median"),
    ],
)
def test_a_malformed_space_is_refused_with_what_is_allowed(config, key, spec, error, words):
    with pytest.raises(error, match=words):
        tune.domain(config, key, spec)


def test_settings_change_copies_only(config):
    changed = tune.changed(config, {"trainer.lr": 0.5, "env.num_pms": 3, "seed": 4})
    assert (changed.trainer.lr, changed.env.num_pms, changed.seed) == (0.5, 3, 4)
    assert (config.trainer.lr, config.env.num_pms, config.seed) == (3e-3, 6, 0)


def test_a_sweep_without_a_space_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match=r"sweep\.space is empty"):
        tune.sweep(config, tmp_path)


def test_a_sweep_trains_each_sample_in_its_folder_and_returns_the_best(shared_ray, small, tmp_path):
    small.env.num_pms = 3
    small.trainer.total_steps, small.trainer.eval_instances = 128, 2
    sweep = replace(small.sweep, name="tune", num_samples=2, space={"trainer.lr": [1e-3, 3e-3]})
    best = tune.sweep(replace(small, sweep=sweep), tmp_path)
    ranking = json.loads((tmp_path / "sweep.json").read_text())
    assert len(ranking) == 2
    assert ranking[0]["score"] <= ranking[1]["score"]
    assert best == Path(ranking[0]["folder"])
    assert {Path(r["folder"]).name for r in ranking} == {"trial_0", "trial_1"}
    for result in ranking:
        assert (Path(result["folder"]) / "checkpoint/best/weights.safetensors").exists()
        assert result["config"]["trainer.lr"] in (1e-3, 3e-3)
